// Package newconfig writes a short configuration for a new node: its name, the ssh keys that may
// log in, and what k3s needs to start or to join.
package newconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/builder/image"
	"imgbuild/builder/recipe"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
	"imgbuild/init/contract/yamltext"
)

// SchemaFile is the file, next to the configuration, that editors complete and check by.
const SchemaFile = "shelfos.schema.json"

// Answers are what a new configuration is made of.
type Answers struct {
	Board, Role, Hostname string
	Keys                  []string // lines of authorized_keys
	Server                string   // of a worker: https://HOST:6443, see Join; empty: to be filled in
	Token                 string   // of k3s; empty only for a worker whose server is not known
}

// Made is a configuration that was written.
type Made struct {
	File     string
	Schema   string // empty where a file of that name is the user's own
	Warnings []string
}

// Text is the configuration for a file. Problems that would cost the node a setting are errors of
// kind Input.
func Text(file string, a Answers) (text []byte, warnings []string, err error) {
	asked, err := recipe.New(a.Board, a.Role, recipe.Choice{})
	if err != nil {
		return nil, nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# yaml-language-server: $schema=%s\n", SchemaFile)
	fmt.Fprintf(&b, "# The node %s: %s as %s. All keys are described in docs/config.md.\n", a.Hostname, a.Board, a.Role)
	put := func(v any) error {
		part, err := yamltext.Marshal(v)
		b.Write(part)
		return err
	}
	if err := put(map[string]string{"hostname": a.Hostname}); err != nil {
		return nil, nil, err
	}
	if a.Keys != nil {
		err = put(map[string][]string{"ssh_authorized_keys": a.Keys})
	} else {
		b.WriteString("# ssh_authorized_keys:\n# - ssh-ed25519 AAAA... you@laptop\n")
	}
	if err != nil {
		return nil, nil, err
	}
	switch {
	case !asked.Slot.K3s:
	case a.Role == "worker" && (a.Server == "" || a.Token == ""):
		b.WriteString("# k3os:\n#   server_url: https://SERVER:6443\n#   token: the server's k3os.token\n")
	case a.Role == "worker":
		b.WriteString("k3os:\n")
		for _, s := range [][2]string{{"server_url", a.Server}, {"token", a.Token}} {
			line, err := yamltext.Marshal(map[string]string{s[0]: s[1]})
			if err != nil {
				return nil, nil, err
			}
			b.WriteString("  " + string(line))
		}
	default:
		line, err := yamltext.Marshal(map[string]string{"token": a.Token})
		if err != nil {
			return nil, nil, err
		}
		b.WriteString("k3os:\n  # Workers need this token: imgbuild new worker.yaml server=FILE takes it from here.\n  " + string(line))
	}
	warnings, err = image.CheckConfig("the configuration", asked, false, nil, image.Source{Name: file, Data: b.Bytes()})
	return b.Bytes(), warnings, err
}

// Write writes the configuration, readable for its owner only, and the schema next to it. A file
// that is there is never replaced.
func Write(file string, a Answers) (*Made, error) {
	if err := Free(file); err != nil {
		return nil, err
	}
	text, warnings, err := Text(file, a)
	if err != nil {
		return nil, err
	}
	m := &Made{File: file, Warnings: warnings}
	f, err := atomicfile.Create(filepath.Dir(file), 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "name another file", "writing %s", file)
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return nil, fault.Wrap(err, fault.Device, "", "writing %s", file)
	}
	if err := f.CommitNew(file); errors.Is(err, fs.ErrExist) {
		return nil, taken(file)
	} else if err != nil {
		return nil, fault.Wrap(err, fault.Device, "", "writing %s", file)
	}
	schema := filepath.Join(filepath.Dir(file), SchemaFile)
	old, err := os.ReadFile(schema)
	if ours := err == nil && bytes.Contains(old, []byte(`"title": "cloud-config of ShelfOS"`)); ours || errors.Is(err, fs.ErrNotExist) {
		m.Schema = schema
		return m, fault.Wrap(atomicfile.Update(schema, config.Schema(), 0o644), fault.Device, "", "writing %s", schema)
	}
	return m, nil
}

// Free reports whether a new file may have this name.
func Free(file string) error {
	if _, err := os.Lstat(file); err == nil {
		return taken(file)
	}
	return nil
}

func taken(file string) error {
	return fault.New(fault.Input, "name another one, as in: imgbuild new node2.yaml", "%s exists already", file)
}

// apiPort is where a server listens for its workers.
const apiPort = "6443"

// Join is how a worker finds its server: from the configuration file of the server, which has the
// token too, or from a host name, an address or a URL.
func Join(server string) (url, token string, err error) {
	if server == "" {
		return "", "", nil
	}
	if ext := filepath.Ext(server); ext == ".yaml" || ext == ".yml" {
		return fromFile(server)
	}
	if strings.Contains(server, "://") {
		return server, "", nil // judged with the rest of the configuration
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		host, port = strings.Trim(server, "[]"), apiPort
	}
	return "https://" + net.JoinHostPort(host, port), "", nil
}

func fromFile(name string) (url, token string, err error) {
	data, err := userfile.Read("server", name)
	if err != nil {
		return "", "", err
	}
	layer, problems := config.Parse(name, data)
	for _, p := range problems {
		if p.Severity == config.Error {
			return "", "", fault.New(fault.Input, "correct it; `imgbuild validate FILE` shows the same", "server=%s: %s", name, p.Message)
		}
	}
	c, _ := config.Merge(layer)
	if c.K3OS.ServerURL != "" {
		return "", "", fault.New(fault.Input, "give the file of the server", "server=%s is the file of a node that joins a server itself", name)
	}
	if c.K3OS.Token == "" {
		return "", "", fault.New(fault.Input, "write one under k3os: token: in it, or give token=", "server=%s has no token", name)
	}
	host := c.Hostname
	for _, i := range c.Network.Interfaces {
		for _, a := range i.Addresses {
			if p, err := netip.ParsePrefix(a); err == nil {
				return "https://" + net.JoinHostPort(p.Addr().String(), apiPort), c.K3OS.Token, nil
			}
		}
	}
	if host == "" {
		return "", "", fault.New(fault.Input, "write hostname: or an address into it, or give server=HOST token=TOKEN", "server=%s gives the server neither a name nor an address", name)
	}
	return "https://" + net.JoinHostPort(host, apiPort), c.K3OS.Token, nil
}
