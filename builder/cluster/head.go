package cluster

import (
	"net"
	"net/netip"
	"strings"

	"gopkg.in/yaml.v3"

	"imgbuild/builder/recipe"
	"imgbuild/init/contract/fault"
)

// head reads the keys of a node that are not cloud-config. v has the defaults below it. Recipe
// stays nil where board and role do not go together.
func (r *reader) head(n *Node, v *value) {
	path := "nodes." + n.Name
	text := func(key string) (string, place) {
		w := v.get(key)
		if w == nil || w.isNull() {
			return "", n.at
		}
		if w.kind != yaml.ScalarNode {
			r.fail(w.at, path+"."+key, "write one word", "%s is not a word", key)
			return "", w.at
		}
		return w.text(), w.at
	}
	var at, roleAt place
	n.Board, at = text("board")
	n.Role, roleAt = text("role")
	a, err := recipe.New(n.Board, n.Role, recipe.Choice{})
	if err != nil {
		what, fix := fault.Parts(err)
		key := path + ".board"
		if strings.Contains(what, "role") { // the board is good
			key, at = path+".role", roleAt
		}
		switch {
		case n.Board == "":
			what, key, at = "the node has no board", path+".board", n.at
		case n.Role == "":
			what, key, at = "the node has no role", path+".role", n.at
		}
		r.fail(at, key, fix, "%s", what)
		return
	}
	n.Recipe = a
	if s, at := text("address"); s != "" {
		n.Address = r.address(s, at, path+".address")
	}
	if s, at := text("mac"); s != "" {
		m, err := net.ParseMAC(s)
		if err != nil || len(m) != 6 {
			r.fail(at, path+".mac", "write it like dc:a6:32:01:02:03", "%q is not a hardware address", s)
		}
		n.MAC = m.String()
	}
	if s, at := text("gateway"); s != "" {
		g, err := netip.ParseAddr(s)
		switch {
		case err != nil:
			r.fail(at, path+".gateway", "write it like 192.168.1.1", "%q is not an address", s)
		case !n.Address.IsValid() || g == n.Address.Addr():
			// DHCP names one; and the gateway itself has another.
		case !n.Address.Masked().Contains(g):
			r.fail(v.get("address").at, path+".address", "write an address of the gateway's network, or another gateway: under the node", "the gateway %s is not in the network %s of this address", g, n.Address.Masked())
		default:
			n.Gateway = g
		}
	}
	n.dns = v.get("dns")
}

// address reads a node's address.
func (r *reader) address(s string, at place, key string) netip.Prefix {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		fix := "write it like 192.168.1.11/24"
		if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
			fix = "write the length of the network too, mostly " + s + "/24"
		}
		r.fail(at, key, fix, "%q is not an address with a prefix length", s)
		return netip.Prefix{}
	}
	if a := p.Addr(); p.Bits() < a.BitLen()-1 && (a == p.Masked().Addr() || a.Is4() && last(p) == a) || a.IsMulticast() || a.IsLoopback() || a.IsUnspecified() {
		r.fail(at, key, "write the address of a machine", "%s cannot be the address of a node", s)
		return netip.Prefix{}
	}
	return p
}

// last is the broadcast address of an IPv4 network.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}
