package cluster

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

// Secrets is cluster.secrets.yaml: what must not be in clear in cluster.yaml, in the same shape,
// and the key that signs upgrades.
type Secrets struct {
	File  string
	lock  *lock  // how it was opened; nil for a file in clear
	top   *value // nil while it is sealed
	clear []byte // what top was read from

	shared *value // of defaults
	nodes  map[string]*value
}

// Sealed reports whether the file is there and could not be opened.
func (s *Secrets) Sealed() bool { return s != nil && s.top == nil }

// OpenSecrets reads a file of secrets. nil without an error means that there is none. word is
// asked for the passphrase, or the secret key that begins with AGE-SECRET-KEY-, of an encrypted
// file; nil leaves it sealed. A wrong one is an error of kind Input.
func OpenSecrets(file string, word func() (string, error)) (*Secrets, error) {
	info, err := os.Stat(file)
	if os.IsNotExist(err) {
		return nil, nil
	}
	data, err := userfile.Read("", file)
	if err != nil {
		return nil, err
	}
	s := &Secrets{File: file}
	if isSealed(data) {
		if word == nil {
			return s, nil
		}
		w, err := word()
		if err != nil {
			return nil, err
		}
		if s.lock, err = newLock(w); err != nil {
			return nil, err
		}
		if data, err = s.lock.open(data); err != nil {
			return nil, fault.Wrap(err, fault.Input, "give the passphrase, or the secret key, that it was made with", "%s cannot be opened", file)
		}
	} else if info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Input, "chmod 600 "+file+"; `imgbuild new cluster` makes an encrypted one", "%s is not encrypted and can be read by others", file)
	}
	return s, s.parse(data)
}

// parse reads the clear text.
func (s *Secrets) parse(data []byte) error {
	top, bad := parse(s.File, data)
	if bad != nil {
		return fault.New(fault.Input, bad.fix, "%s:%d: %s", s.File, bad.at.line, bad.message)
	}
	if top == nil || top.isNull() {
		top = newMap(place{s.File, 1, 1})
	}
	if top.kind != yaml.MappingNode {
		return fault.New(fault.Input, "write defaults: and nodes:", "%s is not a map of keys", s.File)
	}
	r := &reader{file: s.File, read: func(string, string) ([]byte, error) {
		return nil, fault.New(fault.Input, "write the keys themselves", "another file is named")
	}}
	s.nodes = map[string]*value{}
	for _, e := range top.keys {
		switch e.name {
		case "defaults":
			s.shared = r.part(e.v, "defaults", true).get("config")
		case "nodes":
			for _, n := range e.v.keys {
				s.nodes[n.name] = r.part(n.v, "nodes."+n.name, false).get("config")
			}
		case "signing_key":
		default:
			r.unknown(e, "", []string{"signing_key", "defaults", "nodes"}, nil)
		}
	}
	if r.failed() {
		var bad []string
		for _, p := range r.sorted() {
			bad = append(bad, p.String())
		}
		return fault.New(fault.Input, "correct it with `imgbuild secrets edit`", "%s cannot be used:\n  %s", s.File, strings.Join(bad, "\n  "))
	}
	s.top, s.clear = top, data
	return nil
}

// node is what belongs to one node; nil for nothing.
func (s *Secrets) node(name string) *value { return s.nodes[name] }

// known reports nodes that the other file does not have.
func (s *Secrets) known(r *reader, c *Cluster) {
	for _, e := range s.top.get("nodes").entries() {
		if c.Node(e.name) == nil {
			r.found = append(r.found, config.Problem{File: s.File, Line: e.at.line, Col: e.at.col, Key: "nodes." + e.name, Severity: config.Warning,
				Message: r.file + " has no such node", Fix: "remove it if the node is gone for good"})
		}
	}
}

func (v *value) entries() []entry {
	if v == nil {
		return nil
	}
	return v.keys
}

// SigningKey is the private key that signs upgrades, in the form of minisign; empty without one.
func (s *Secrets) SigningKey() string {
	if s == nil || s.top == nil {
		return ""
	}
	return s.top.get("signing_key").text()
}

// HostKey is the private ssh host key of a node, in OpenSSH's form; empty without one.
func (s *Secrets) HostKey(node string) string {
	if s == nil || s.top == nil {
		return ""
	}
	return s.node(node).get("shelf", "ssh_host_key").text()
}

// text is the file in clear.
func (s *Secrets) text() ([]byte, error) {
	text, err := s.top.yaml()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The secrets of %s, in the same shape.\n", File)
	b.Write(text)
	return b.Bytes(), nil
}
