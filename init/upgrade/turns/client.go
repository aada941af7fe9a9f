package turns

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"imgbuild/init/contract/fault"
)

// Client asks a server.
type Client struct {
	url  string
	http *http.Client
}

// serverName is in the certificate of every API server of k3s. Only servers have its key, whatever
// address leads to them.
const serverName = "kube-apiserver"

// NewClient asks the server at host. pair is the certificate of the node's kubelet, servers the
// authority of the cluster's servers.
func NewClient(host string, pair tls.Certificate, servers *x509.CertPool) *Client {
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(host, Port)
	}
	return &Client{url: "https://" + host + route, http: &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			// The name in the address need not be in it; isServer checks what must be.
			TLSClientConfig: &tls.Config{
				Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, InsecureSkipVerify: true,
				VerifyConnection: func(c tls.ConnectionState) error { return isServer(c.PeerCertificates, servers) },
			},
		},
	}}
}

// isServer reports whether certificates are those of a server of the cluster.
func isServer(chain []*x509.Certificate, servers *x509.CertPool) error {
	if len(chain) == 0 {
		return errors.New("no certificate was shown")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: servers, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return err
	}
	if name := chain[0].Subject.CommonName; name != serverName {
		return fmt.Errorf("%s is no server of this cluster", name)
	}
	return nil
}

// Send asks. Errors are of the kind Network: the server is away, or answers nothing that can be
// used.
func (c *Client) Send(ctx context.Context, q Request) (a Answer, err error) {
	text, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(text))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/json")
	const fix = "look at `shelf logs upgrade-turns` on the server"
	resp, err := c.http.Do(req)
	if err != nil {
		return a, fault.Wrap(err, fault.Network, fix, "the server is away")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return a, fault.Wrap(err, fault.Network, fix, "the server is away")
	}
	if resp.StatusCode != http.StatusOK {
		return a, fault.New(fault.Network, fix, "the server answers %d: %.200s", resp.StatusCode, bytes.TrimSpace(body))
	}
	err = json.Unmarshal(body, &a)
	return a, fault.Wrap(err, fault.Network, fix, "the server's answer")
}
