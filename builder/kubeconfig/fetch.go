package kubeconfig

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/builder/remote"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
)

// Options are the server whose access is fetched and the file that it goes to.
type Options struct {
	Host    string // [USER@]HOST[:PORT] of ssh
	Name    string // of cluster, user and context; empty: the host's
	Address string // HOST[:PORT] at which kubectl reaches the server; empty: the host, at the port that k3s has
	Out     string // merged into this file; "-" for none; empty: see File
	Login   remote.Options
}

// Result is what was fetched.
type Result struct {
	File     string // merged into; empty: none
	Name     string
	Server   string // URL
	Ends     time.Time
	Text     []byte // the entry by itself
	Warnings []string
}

// serverFile is where k3s writes the administrator's access.
const serverFile = "/etc/rancher/k3s/k3s.yaml"

// Fetch logs in on a server, takes the access that k3s wrote there and merges it into the user's
// file. A node without one is a fault of kind Unhealthy.
func Fetch(ctx context.Context, o Options) (*Result, error) {
	host := o.Host
	if _, h, user := strings.Cut(host, "@"); user {
		host = h
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h // that port is ssh's
	}
	r := &Result{Name: o.Name}
	if r.Name == "" {
		r.Name = host
	}
	if o.Address == "" {
		o.Address = host
	}
	var err error
	if r.File, err = File(o.Out); err != nil {
		return nil, err
	}
	n, err := remote.Dial(ctx, o.Host, o.Login)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	data, err := n.Output(ctx, "sudo -n cat "+serverFile, nil)
	switch {
	case err != nil && (ctx.Err() != nil || fault.Code(err) == int(fault.Network)):
		return nil, err
	case err != nil: // the exit code of cat does not show how the node is
		return nil, fault.New(fault.Unhealthy, "ask a node with the role server, when its k3s has started", "%s returns no access file: %v", host, err)
	}
	e, passed, err := Read(data)
	if err != nil {
		return nil, err
	}
	if err := e.At(o.Address); err != nil {
		return nil, err
	}
	r.Server = e.Server
	if len(passed) > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the server's file has %s, which k3s does not write: left out", strings.Join(passed, ", ")))
	}
	if r.Text, err = e.Marshal(r.Name); err != nil {
		return nil, err
	}
	r.Ends = e.ends()
	if why := e.unreachable(ctx); why != "" {
		r.Warnings = append(r.Warnings, why)
	}
	if r.File == "" {
		return r, nil
	}
	return r, mergeInto(r.File, r.Text)
}

// File is the file to merge into for a value of out=: the first of $KUBECONFIG, else
// ~/.kube/config, if it is empty; none for "-".
func File(out string) (string, error) {
	if out == "-" {
		return "", nil
	}
	if out == "" { // kubectl reads several files and writes to the first
		out, _, _ = strings.Cut(os.Getenv("KUBECONFIG"), string(os.PathListSeparator))
	}
	if out == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fault.Wrap(err, fault.Usage, "give the file with out=FILE", "")
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
	text, err := Merge(old, fresh)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.Wrap(err, fault.Input, "", "")
	}
	return fault.Wrap(atomicfile.Write(path, text, 0o600), fault.Device, "", "writing %s", path)
}

// ends is when the first of the client's certificates ends.
func (e *Entry) ends() (first time.Time) {
	for rest := e.Cert; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return first
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && (first.IsZero() || c.NotAfter.Before(first)) {
			first = c.NotAfter
		}
	}
}

// unreachable is why kubectl would not get through from here; empty if it would.
func (e *Entry) unreachable(ctx context.Context) string {
	u, err := url.Parse(e.Server)
	if err != nil {
		return ""
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.CA)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots}}).DialContext(ctx, "tcp", u.Host)
	if err == nil {
		c.Close()
		return ""
	}
	if errors.As(err, new(x509.HostnameError)) {
		return fmt.Sprintf("the server's certificate is not for %s; use one of its addresses, or add --tls-san=%s to k3os.k3s_args", u.Hostname(), u.Hostname())
	}
	return fmt.Sprintf("%s does not answer from here: %v", u.Host, err)
}
