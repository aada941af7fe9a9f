package k3s

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/init/contract/config"
)

// The kubelet's own health check, on every node (kubelet flag --healthz-port).
const kubeletHealth = "http://127.0.0.1:10248/healthz"

// Probe asks whether k3s does its work: the kubelet on every node, which starts up to 7 seconds
// after READY=1 (seen with v1.36.3), and on a server /readyz of the API before it, with the
// administrator's certificate.
func Probe(ctx context.Context, cfg *config.Config, role string) error {
	return probe(ctx, cfg, role, kubeletHealth)
}

func probe(ctx context.Context, cfg *config.Config, role, kubelet string) error {
	if role == Server {
		if err := probeAPI(ctx, cfg); err != nil {
			return err
		}
	}
	return probeKubelet(ctx, cfg, kubelet)
}

// probeKubelet asks the kubelet at url, unless the node is a server without one.
func probeKubelet(ctx context.Context, cfg *config.Config, url string) error {
	if onCommandLine(cfg, "disable-agent") {
		return nil
	}
	return get(ctx, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "the kubelet", url)
}

func probeAPI(ctx context.Context, cfg *config.Config) error {
	c, err := adminClient(filepath.Join(dataDir(cfg), "server", "tls"))
	if err != nil {
		return err
	}
	return get(ctx, c, "the API server", "https://127.0.0.1:"+flag(cfg, "https-listen-port", "", "6443")+"/readyz")
}

// adminClient reads the certificates that k3s makes for itself.
func adminClient(dir string) (*http.Client, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "client-admin.crt"), filepath.Join(dir, "client-admin.key"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("k3s has not made its certificates yet")
	}
	if err != nil {
		return nil, fmt.Errorf("k3s' administrator certificate: %w", err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "server-ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("k3s' certificate authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("k3s' certificate authority %s/server-ca.crt holds no certificate", dir)
	}
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // one question every few seconds, and certificates that change
		TLSClientConfig:   &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}, nil
}

func get(ctx context.Context, c *http.Client, who, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", who, err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s%s", who, resp.Status, failedChecks(string(body)))
	}
	return nil
}

// failedChecks names the lines [-]NAME of a readyz answer.
func failedChecks(body string) string {
	var failed []string
	for line := range strings.SplitSeq(body, "\n") {
		if name, ok := strings.CutPrefix(line, "[-]"); ok {
			name, _, _ = strings.Cut(name, " ")
			failed = append(failed, name)
		}
	}
	if len(failed) == 0 {
		return ""
	}
	return ": " + strings.Join(failed, ", ")
}
