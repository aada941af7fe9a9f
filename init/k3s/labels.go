package k3s

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
)

// LabelsPath keeps the names of the labels that k3os.labels has given the node: k3s sets labels
// when it starts and takes none away.
const LabelsPath = "/var/lib/rancher/k3os/node/labels"

// givenLabels reads the names that were kept.
func givenLabels(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	if err == nil {
		err = json.Unmarshal(data, &names)
	}
	if err != nil {
		return nil, fmt.Errorf("labels of earlier starts: %w", err)
	}
	return names, nil
}

// keepLabels writes the names, unless they are there.
func keepLabels(path string, names []string) error {
	slices.Sort(names)
	names = slices.Compact(names)
	if have, err := givenLabels(path); err == nil && slices.Equal(have, names) {
		return nil
	}
	data, err := json.Marshal(names)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(data, '\n'), 0o600)
}

// noteLabels adds those of a configuration before a start with it.
func noteLabels(path string, cfg *config.Config) error {
	given, err := givenLabels(path)
	return errors.Join(err, keepLabels(path, append(given, slices.Collect(maps.Keys(cfg.UsableLabels()))...)))
}

// staleLabels are those that were given once and that neither k3os.labels nor the user's own
// settings of k3s, below root, give now.
func staleLabels(given []string, cfg *config.Config, root string) []string {
	now := cfg.UsableLabels()
	own := map[string]bool{}
	for _, label := range append(flagValues(cfg, "node-label"), fileValues(cfg, root, "node-label")...) {
		name, _, _ := strings.Cut(label, "=")
		own[name] = true
	}
	return slices.DeleteFunc(slices.Clone(given), func(name string) bool {
		_, configured := now[name]
		return configured || own[name]
	})
}

// dropLabels takes labels off the node that k3s knows as name, as its kubelet, which may.
func dropLabels(ctx context.Context, c cluster, name string, labels []string) error {
	gone := map[string]*string{}
	for _, l := range labels {
		gone[l] = nil
	}
	patch := map[string]any{"metadata": map[string]any{"labels": gone}}
	return c.do(ctx, http.MethodPatch, "/api/v1/nodes/"+url.PathEscape(name), "application/merge-patch+json", patch, nil)
}

// kubeletOf is the API as the node's kubelet reaches it, by the kubeconfig that k3s writes for it.
func kubeletOf(data string) (cluster, error) {
	pair, roots, url, err := identity(data)
	if err != nil {
		return cluster{}, err
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}
	return cluster{client, url}, nil
}

// Identity is what this node shows to servers of its cluster, its kubelet's certificate, and the
// authority that it knows them by.
func Identity(cfg *config.Config) (tls.Certificate, *x509.CertPool, error) {
	pair, roots, _, err := identity(dataDir(cfg))
	return pair, roots, err
}

// identity reads the kubelet's kubeconfig: its certificate, the authority of the servers, and where
// it reaches them.
func identity(data string) (pair tls.Certificate, roots *x509.CertPool, url string, err error) {
	text, err := os.ReadFile(filepath.Join(data, "agent", "kubelet.kubeconfig"))
	if err != nil {
		return pair, nil, "", err
	}
	var c struct {
		Clusters []struct {
			Cluster struct {
				Server string `yaml:"server"`
				CA     string `yaml:"certificate-authority"`
			} `yaml:"cluster"`
		} `yaml:"clusters"`
		Users []struct {
			User struct {
				Cert string `yaml:"client-certificate"`
				Key  string `yaml:"client-key"`
			} `yaml:"user"`
		} `yaml:"users"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil || len(c.Clusters) == 0 || len(c.Users) == 0 {
		return pair, nil, "", fmt.Errorf("the kubelet's kubeconfig cannot be read: %w", errors.Join(err, errors.New("it names no cluster or no user")))
	}
	if pair, err = tls.LoadX509KeyPair(c.Users[0].User.Cert, c.Users[0].User.Key); err != nil {
		return pair, nil, "", fmt.Errorf("the kubelet's certificate: %w", err)
	}
	ca, err := os.ReadFile(c.Clusters[0].Cluster.CA)
	if err != nil {
		return pair, nil, "", fmt.Errorf("the kubelet's authority: %w", err)
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return pair, nil, "", fmt.Errorf("the kubelet's authority %s holds no certificate", c.Clusters[0].Cluster.CA)
	}
	return pair, roots, strings.TrimSuffix(c.Clusters[0].Cluster.Server, "/"), nil
}

// remaining are the names of all that are not among gone.
func remaining(all, gone []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(gone, name) })
}
