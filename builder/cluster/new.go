package cluster

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"aead.dev/minisign"

	"imgbuild/builder/bundle"
	"imgbuild/builder/recipe"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/yamltext"
)

// New is what a new shelf is made of, in the directory where imgbuild runs.
type New struct {
	Board string                   // of the first nodes; rpi4 if empty
	Given bool                     // something was asked for that is for a new file only
	Home  string                   // the user's, whose ssh gets to know the nodes; empty: none
	Keys  func() ([]string, error) // lines of authorized_keys, asked for if there is no file yet
}

// Made is what was made.
type Made struct {
	File    bool     // cluster.yaml; false if it was there
	Secrets []string // for people
}

// Check finds out what can be known before anybody is asked.
func (n New) Check() error {
	for _, role := range []string{"server", "worker"} {
		if _, err := recipe.New(cmp.Or(n.Board, "rpi4"), role, recipe.Choice{}); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(File); err == nil && n.Given {
		return fault.New(fault.Usage, "leave it out, and edit the file", "board= and key= are for a new %s, and there is one", File)
	}
	return nil
}

// Write writes cluster.yaml, unless it is there, and adds to the secrets what its nodes lack. A
// file that cannot be used is not written, and one that is there never replaced.
func (n New) Write(s *Secrets) (made Made, err error) {
	if made.Secrets, err = s.Complete(nil); err != nil {
		return made, err
	}
	if _, err := os.Lstat(File); errors.Is(err, fs.ErrNotExist) {
		if err := n.file(s); err != nil {
			return made, err
		}
		made.File = true
	}
	err = n.secrets(s, &made)
	if err != nil && made.File {
		_ = os.Remove(File)
	}
	return made, err
}

func (n New) file(s *Secrets) error {
	keys, err := n.Keys()
	if err != nil {
		return err
	}
	key, err := bundle.ParseKey(s.File, s.SigningKey())
	if err != nil {
		return err
	}
	text, err := Text(cmp.Or(n.Board, "rpi4"), ownNetwork(), keys, key.Public().(minisign.PublicKey).String())
	if err != nil {
		return err
	}
	schema, err := Schema()
	if err != nil {
		return err
	}
	if err := atomicfile.Update(SchemaFile, schema, 0o644); err != nil {
		return fault.Wrap(err, fault.Device, "", "writing %s", SchemaFile)
	}
	return fault.Wrap(atomicfile.Write(File, text, 0o644), fault.Device, "", "writing %s", File)
}

func (n New) secrets(s *Secrets, made *Made) error {
	c, err := Read(File, &Secrets{File: s.File}) // what is marked may be missing still
	if err != nil {
		return err
	}
	more, err := s.Complete(c.Nodes)
	if err != nil {
		return err
	}
	if made.Secrets = append(made.Secrets, more...); len(made.Secrets) > 0 {
		if err := s.Write(); err != nil {
			return err
		}
	}
	return c.WriteKnownHosts(n.Home, s)
}

// ownNetwork is the first private network of this computer; the zero value if it has none.
func ownNetwork() netip.Prefix {
	cards, _ := net.Interfaces()
	for _, c := range cards {
		if c.Flags&net.FlagUp == 0 || c.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0 || strings.HasPrefix(c.Name, "docker") || strings.HasPrefix(c.Name, "br-") || strings.HasPrefix(c.Name, "virbr") {
			continue
		}
		addresses, _ := c.Addrs()
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsPrivate() {
				return p
			}
		}
	}
	return netip.Prefix{}
}

// SchemaFile is the file, next to cluster.yaml, that editors complete and check by.
const SchemaFile = "cluster.schema.json"

// Text is a first cluster.yaml to be edited: a server and a worker in a network, ssh keys as lines
// of authorized_keys, and the public key that signs upgrades. network is one that this computer is
// in, with its own address, which is not used; the zero value stands for 192.168.1.0/24.
func Text(board string, network netip.Prefix, keys []string, signs string) ([]byte, error) {
	if !network.IsValid() || !network.Addr().Is4() || network.Bits() > 27 {
		network = netip.MustParsePrefix("192.168.1.0/24")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# yaml-language-server: $schema=%s\n", SchemaFile)
	b.WriteString("# The nodes of this shelf; docs/cluster.md describes the file. Correct boards and addresses, and run\n# `imgbuild new cluster` again for the secrets of nodes that you add.\ndefaults:\n")
	if keys == nil {
		b.WriteString("  # ssh_authorized_keys: [ssh-ed25519 AAAA... you@laptop]\n")
	} else {
		text, err := yamltext.Marshal(map[string][]string{"ssh_authorized_keys": keys})
		if err != nil {
			return nil, err
		}
		for _, l := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
			fmt.Fprintf(&b, "  %s\n", l)
		}
	}
	fmt.Fprintf(&b, "  upgrade: {keys: [%s]}\n  gateway: %s\n  dns: [%[2]s]\nnodes:\n", signs, nth(network, 1))
	for i, role := range []string{"server", "worker"} {
		a := netip.PrefixFrom(nth(network, uint32(11+i)), network.Bits())
		if a.Addr() == network.Addr() {
			a = netip.PrefixFrom(nth(network, 15), network.Bits())
		}
		fmt.Fprintf(&b, "  node%d: {board: %s, role: %s, address: %s}\n", i+1, board, role, a)
	}
	return b.Bytes(), nil
}

// nth is an address of a network by its number.
func nth(p netip.Prefix, n uint32) netip.Addr {
	b := p.Masked().Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+n)
	return netip.AddrFrom4(b)
}
