package kubeconfig

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/fault"
)

// Entry is a cluster with its access: all that is taken from a server's file. Other entries of such
// a file make kubectl run programs (exec, auth-provider), read files (tokenFile), go through a
// proxy or believe any server.
type Entry struct {
	Server string // URL
	CA     []byte // PEM
	Cert   []byte // PEM
	Key    []byte // PEM
}

// Read takes the one cluster and the one user out of a server's file, and returns the names of what
// it passes over, such as "users.exec", sorted.
func Read(data []byte) (e *Entry, passed []string, err error) {
	doc, err := parse(data)
	if err != nil {
		return nil, nil, err
	}
	pass := func(n *yaml.Node, at string, known ...string) {
		for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if key := n.Content[i].Value; !slices.Contains(known, key) {
				passed = append(passed, at+key)
			}
		}
	}
	one := func(list, inner string, known ...string) (*yaml.Node, error) {
		items := get(doc, list)
		if items == nil || items.Kind != yaml.SequenceNode || len(items.Content) != 1 {
			return nil, fault.New(fault.Input, "", "the server's kubeconfig has not one entry in %s", list)
		}
		pass(items.Content[0], list+".", "name", inner)
		n := get(items.Content[0], inner)
		pass(n, list+".", known...)
		return n, nil
	}
	cluster, err := one("clusters", "cluster", "server", "certificate-authority-data")
	if err != nil {
		return nil, nil, err
	}
	if _, err := one("contexts", "context", "cluster", "user"); err != nil {
		return nil, nil, err
	}
	user, err := one("users", "user", "client-certificate-data", "client-key-data")
	if err != nil {
		return nil, nil, err
	}
	if p := get(doc, "preferences"); p == nil || len(p.Content) == 0 {
		pass(doc, "", "apiVersion", "kind", "clusters", "contexts", "users", "current-context", "preferences")
	} else {
		pass(doc, "", "apiVersion", "kind", "clusters", "contexts", "users", "current-context")
	}
	e = &Entry{}
	at := get(cluster, "server")
	if at == nil {
		return nil, nil, fault.New(fault.Input, "", "the server's kubeconfig names no server")
	}
	u, err := url.Parse(at.Value)
	if err != nil || u.Scheme != "https" || u.Port() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, nil, fault.New(fault.Input, "", "the server's kubeconfig names the server %q", at.Value)
	}
	e.Server = "https://" + u.Host
	for _, f := range []struct {
		from *yaml.Node
		key  string
		to   *[]byte
	}{{cluster, "certificate-authority-data", &e.CA}, {user, "client-certificate-data", &e.Cert}, {user, "client-key-data", &e.Key}} {
		if *f.to, err = pemOf(get(f.from, f.key)); err != nil {
			return nil, nil, fault.New(fault.Input, "", "the server's kubeconfig: %s: %w", f.key, err)
		}
	}
	slices.Sort(passed)
	return e, slices.Compact(passed), nil
}

// pemOf decodes a value that is PEM in base64, and returns nothing but its PEM blocks.
func pemOf(n *yaml.Node) ([]byte, error) {
	if n == nil || n.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("it is missing")
	}
	data, err := base64.StdEncoding.DecodeString(n.Value)
	if err != nil {
		return nil, fmt.Errorf("it is not base64")
	}
	var out bytes.Buffer
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type == "CERTIFICATE" {
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				return nil, fmt.Errorf("it is not a certificate: %w", err)
			}
		}
		if err := pem.Encode(&out, &pem.Block{Type: block.Type, Bytes: block.Bytes}); err != nil {
			return nil, err
		}
	}
	if out.Len() == 0 {
		return nil, fmt.Errorf("it is not PEM")
	}
	return out.Bytes(), nil
}

// At puts another address in the place of the server's own; without a port in it the server's port
// stays.
func (e *Entry) At(address string) error {
	u, err := url.Parse(e.Server)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), u.Port()
	}
	if host == "" || port == "" || strings.ContainsAny(host, "/@?# \t\n") {
		return fault.New(fault.Usage, "write it as node1, 192.168.1.10 or node1:6443", "address=%s is not an address", address)
	}
	e.Server = "https://" + net.JoinHostPort(host, port)
	return nil
}

// Marshal returns a kubeconfig in which the cluster, its user and its context have this name.
func (e *Entry) Marshal(name string) ([]byte, error) {
	type item map[string]any
	doc := struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Clusters   []item `yaml:"clusters"`
		Contexts   []item `yaml:"contexts"`
		Current    string `yaml:"current-context"`
		Users      []item `yaml:"users"`
	}{
		"v1", "Config",
		[]item{{"name": name, "cluster": item{"server": e.Server, "certificate-authority-data": base64.StdEncoding.EncodeToString(e.CA)}}},
		[]item{{"name": name, "context": item{"cluster": name, "user": name}}},
		name,
		[]item{{"name": name, "user": item{"client-certificate-data": base64.StdEncoding.EncodeToString(e.Cert), "client-key-data": base64.StdEncoding.EncodeToString(e.Key)}}},
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return b.Bytes(), enc.Close()
}
