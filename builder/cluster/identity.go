package cluster

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"imgbuild/builder/bundle"
	k3stoken "imgbuild/builder/token"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
)

// NewSecrets are those of a file that does not exist yet. word is a passphrase or a secret key of
// age's; empty: the file is not encrypted.
func NewSecrets(file, word string) (*Secrets, error) {
	s := &Secrets{File: file, top: newMap(place{file, 1, 1}), nodes: map[string]*value{}}
	if word == "" {
		return s, nil
	}
	var err error
	s.lock, err = newLock(word)
	return s, err
}

// Complete makes what the nodes have no secrets of yet: the key that signs upgrades, the token of
// k3s, and for each node its ssh host key and its password at the server. It returns what it made,
// for people.
func (s *Secrets) Complete(nodes []*Node) (made []string, err error) {
	at := s.top.at
	add := func(what, text string, path ...string) {
		s.top.set(newText(at, text), path...)
		made = append(made, what)
	}
	if s.SigningKey() == "" {
		text, err := bundle.NewKeyText()
		if err != nil {
			return nil, err
		}
		add("the key that signs upgrades", text, "signing_key")
	}
	k3s := false
	for _, n := range nodes {
		k3s = k3s || n.K3s()
	}
	if k3s && s.shared.get("k3os", "token") == nil {
		add("the token of k3s", k3stoken.New(), "defaults", "k3os", "token")
	}
	for _, n := range nodes {
		own := []string{"nodes", n.Name, "config", "shelf"}
		if s.HostKey(n.Name) == "" {
			key, err := newHostKey(n.Name)
			if err != nil {
				return nil, err
			}
			add("the ssh host key of "+n.Name, key, append(own, "ssh_host_key")...)
		}
		if n.K3s() && s.node(n.Name).get("shelf", "node_password") == nil {
			var random [16]byte
			if _, err := rand.Read(random[:]); err != nil {
				return nil, err
			}
			add("the k3s password of "+n.Name, hex.EncodeToString(random[:]), append(own, "node_password")...)
		}
	}
	if made == nil {
		return nil, nil
	}
	text, err := s.text()
	if err != nil {
		return nil, err
	}
	return made, s.parse(text) // as it will be read
}

func newHostKey(name string) (string, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(key, name)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(block)), nil
}

// Clear is the file as a person edits it.
func (s *Secrets) Clear() []byte { return s.clear }

// Replace puts another text in the place of the whole content. One that cannot be used changes
// nothing.
func (s *Secrets) Replace(text []byte) error {
	next := &Secrets{File: s.File, lock: s.lock}
	if err := next.parse(text); err != nil {
		return err
	}
	*s = *next
	return nil
}

// Encrypted reports whether the file is, or will be.
func (s *Secrets) Encrypted() bool { return s.lock != nil }

// Write writes the file, encrypted as it was opened.
func (s *Secrets) Write() error {
	text := s.clear
	if s.lock != nil {
		var err error
		if text, err = s.lock.seal(text); err != nil {
			return err
		}
	}
	return fault.Wrap(atomicfile.Write(s.File, text, 0o600), fault.Device, "", "writing %s", s.File)
}

// KnownHosts is the file, next to cluster.yaml, with the public host keys of the nodes. It may be
// in Git: ssh and imgbuild know the nodes by it on every computer.
const KnownHosts = "cluster.known_hosts"

// WriteKnownHosts writes KnownHosts next to cluster.yaml for the nodes whose host keys are known,
// and adds them to ssh's own file in the home directory, which may be empty, where it does not have
// them.
func (c *Cluster) WriteKnownHosts(home string, s *Secrets) error {
	var all string
	ours := map[string]bool{}
	for _, n := range c.Nodes {
		signer, err := ssh.ParsePrivateKey([]byte(s.HostKey(n.Name)))
		if err != nil {
			continue // it has none, or one that was reported
		}
		line := knownhosts.Line(n.Names(), signer.PublicKey())
		all += line + "\n"
		for _, name := range n.Names() {
			ours[name] = true
		}
		if home != "" {
			if err := addLine(filepath.Join(home, ".ssh", "known_hosts"), line); err != nil {
				return err
			}
		}
	}
	if all == "" {
		return nil
	}
	file := filepath.Join(filepath.Dir(c.File), KnownHosts)
	old, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return fault.Wrap(err, fault.Device, "", "reading %s", file)
	}
	for l := range strings.Lines(string(old)) { // nodes that made their own keys were noted there too
		names, _, _ := strings.Cut(l, " ")
		if names = strings.TrimSpace(names); names != "" && !slices.ContainsFunc(strings.Split(names, ","), func(n string) bool { return ours[n] }) {
			all += strings.TrimSpace(l) + "\n"
		}
	}
	return fault.Wrap(atomicfile.Update(file, []byte(all), 0o644), fault.Device, "", "writing %s", file)
}

// addLine appends a line to a file that does not have it.
func addLine(file, line string) error {
	wrap := func(err error) error { return fault.Wrap(err, fault.Device, "", "noting host keys in %s", file) }
	old, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return wrap(err)
	}
	if containsLine(string(old), line) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return wrap(err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return wrap(err)
	}
	if len(old) > 0 && old[len(old)-1] != '\n' {
		line = "\n" + line
	}
	_, err = f.WriteString(line + "\n")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return wrap(err)
}

func containsLine(text, line string) bool {
	for l := range strings.Lines(text) {
		if strings.TrimSpace(l) == line {
			return true
		}
	}
	return false
}
