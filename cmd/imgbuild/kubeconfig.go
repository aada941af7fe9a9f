package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/builder/kubeconfig"
	"imgbuild/init/contract/fault"
)

var kubeconfigVerb = verb{
	name:     "kubeconfig",
	operands: "HOST",
	summary:  "Fetch a server's access for kubectl, with its address and a name of its own.",
	keys: []key{
		{name: "out", value: "FILE", doc: "Merged into this file; default $KUBECONFIG, else ~/.kube/config; - prints it."},
		{name: "name", value: "NAME", doc: "Of cluster, user and context; default the host's."},
		{name: "address", value: "HOST[:PORT]", doc: "Where kubectl reaches the server; default HOST, on the port that k3s has."},
		userKey, identityKey, hostKey,
	},
	examples: []string{"imgbuild kubeconfig shelf-1", "imgbuild kubeconfig 192.168.1.10 name=shelf out=./kubeconfig"},
	do:       doKubeconfig,
}

func doKubeconfig(ctx context.Context, a *args) error {
	if len(a.operands) != 1 {
		return fault.New(fault.Usage, "say `imgbuild kubeconfig HOST`", "kubeconfig takes one host, not %d", len(a.operands))
	}
	_, host, user := strings.Cut(a.operands[0], "@")
	if !user {
		host = a.operands[0]
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h // that port is ssh's
	}
	address, name := a.values["address"], a.values["name"]
	if address == "" {
		address = host
	}
	if name == "" {
		name = host
	}
	out, err := kubeconfigFile(a.values["out"])
	if err != nil {
		return err
	}
	n, err := login(ctx, a, a.operands[0])
	if err != nil {
		return err
	}
	defer n.Close()
	data, err := n.Output(ctx, "sudo -n cat /etc/rancher/k3s/k3s.yaml", nil)
	switch {
	case err != nil && (ctx.Err() != nil || fault.Code(err) == int(fault.Network)):
		return err
	case err != nil: // the status of cat says nothing about the node
		return fault.New(fault.Unhealthy, "ask a node with the role server, when its k3s has started", "%s gives no access file: %v", host, err)
	}
	fresh, err := kubeconfig.Rewrite(data, address, name)
	if err != nil {
		return err
	}
	if why := reachable(ctx, fresh); why != "" {
		fmt.Fprintln(os.Stderr, "warning: "+why)
	}
	if out == "" {
		_, err = os.Stdout.Write(fresh)
		return err
	}
	if err := mergeInto(out, fresh); err != nil {
		return err
	}
	fmt.Printf("%s: context %s, server %s\n", out, name, address)
	return nil
}

// kubeconfigFile is the file to merge into; empty means standard output.
func kubeconfigFile(out string) (string, error) {
	if out == "-" {
		return "", nil
	}
	if out == "" { // kubectl reads several files and writes to the first
		out, _, _ = strings.Cut(os.Getenv("KUBECONFIG"), string(os.PathListSeparator))
	}
	if out == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fault.Wrap(err, fault.Usage, "say where to with out=FILE", "")
		}
		out = filepath.Join(home, ".kube", "config")
	}
	return out, nil
}

// mergeInto writes the merged file, 0600, whole or not at all. A link stays one.
func mergeInto(path string, fresh []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(err, fault.Input, "", "reading %s", path)
	}
	text, err := kubeconfig.Merge(old, fresh)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.Wrap(err, fault.Input, "", "")
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".kubeconfig-*") // 0600
	if err != nil {
		return fault.Wrap(err, fault.Input, "", "writing %s", path)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return fault.Wrap(err, fault.Device, "", "writing %s", path)
}

// reachable says why kubectl would not get through from here; empty if it would.
func reachable(ctx context.Context, config []byte) string {
	address, ca, err := kubeconfig.Cluster(config)
	if err != nil {
		return ""
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots}}).DialContext(ctx, "tcp", address)
	if err == nil {
		c.Close()
		return ""
	}
	host, _, _ := net.SplitHostPort(address)
	if errors.As(err, new(x509.HostnameError)) {
		return fmt.Sprintf("the server's certificate is not for %s; use one of its addresses, or add --tls-san=%s to k3os.k3s_args", host, host)
	}
	return fmt.Sprintf("%s does not answer from here: %v", address, err)
}
