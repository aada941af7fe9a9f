package images

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Where a port is open.
const (
	Any   = "any"   // at every address of the node
	Shelf = "shelf" // at the address under which the shelf knows the node, and at no other
	Local = "local" // for programs of the node itself
)

// Port is one that a role listens on, or a range of them: tcp/22@any, tcp/30000-32767@any, and its
// user.
type Port struct {
	Listen string `yaml:"listen" json:"listen"`
	By     string `yaml:"by" json:"by"` // the service
	For    string `yaml:"for" json:"for"`
	// Sometimes: it is open in some configurations only.
	Sometimes bool `yaml:"sometimes" json:"sometimes,omitempty"`

	proto, where string
	first, last  uint16
}

// UnmarshalYAML reads a port and checks it.
func (p *Port) UnmarshalYAML(n *yaml.Node) error {
	type plain Port
	if err := n.Decode((*plain)(p)); err != nil {
		return err
	}
	return p.parse()
}

func (p *Port) parse() error {
	bad := fmt.Errorf("%q is not a port: write tcp/22@any, with tcp or udp, and any, shelf or local", p.Listen)
	proto, rest, ok := strings.Cut(p.Listen, "/")
	number, where, ok2 := strings.Cut(rest, "@")
	if !ok || !ok2 || proto != "tcp" && proto != "udp" || where != Any && where != Shelf && where != Local {
		return bad
	}
	low, high, ranged := strings.Cut(number, "-")
	if !ranged {
		high = low
	}
	first, err := strconv.ParseUint(low, 10, 16)
	last, err2 := strconv.ParseUint(high, 10, 16)
	if err != nil || err2 != nil || first == 0 || last < first {
		return bad
	}
	if p.By == "" || p.For == "" {
		return fmt.Errorf("port %s: add by whom it is used and for what", p.Listen)
	}
	p.proto, p.where, p.first, p.last = proto, where, uint16(first), uint16(last)
	return nil
}

// Covers reports whether the declaration allows a socket that is bound to an address of a node
// whose address on the shelf is shelf.
func (p Port) Covers(proto string, at netip.AddrPort, shelf netip.Addr) bool {
	if proto != p.proto || at.Port() < p.first || at.Port() > p.last {
		return false
	}
	a := at.Addr().Unmap()
	switch p.where {
	case Any:
		return a.IsUnspecified()
	case Local:
		return a.IsLoopback()
	}
	return a == shelf.Unmap()
}
