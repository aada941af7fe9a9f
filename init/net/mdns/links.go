package mdns

import (
	"net/netip"
	"slices"
	"strings"
)

// Interface is one of the node's, as the choice of links needs it.
type Interface struct {
	Name      string
	MAC       string // hardware address
	Index     int
	Kind      string // as `ip -d link` shows it; "device" for hardware
	Multicast bool
	Point     bool   // it has one other end only
	Carrier   bool   // frames get through
	Port      string // the bridge or bond that it belongs to; empty for none
	Uplink    bool   // the way out of a router that translates addresses
	Addresses []netip.Prefix
}

// lanKinds are the kinds of interfaces that are a way into a local network. Pods' (veth, vxlan),
// tunnels (wireguard, tun) and dummies are not among them.
var lanKinds = []string{"device", "bridge", "bond", "vlan", "macvlan"}

// Link is an interface on which the node answers.
type Link struct {
	Index    int
	Name     string
	Prefixes []netip.Prefix // its addresses, at least one
}

// Is reports whether the interface is named, or given by its hardware address.
func (i Interface) Is(ref string) bool {
	return ref != "" && (i.Name == ref || strings.EqualFold(i.MAC, ref))
}

// Choose returns the links, by number: those into a local network where the node has an address of
// its own.
func Choose(list []Interface) []Link {
	var out []Link
	for _, i := range list {
		if !slices.Contains(lanKinds, i.Kind) || !i.Multicast || i.Point || !i.Carrier || i.Port != "" || i.Uplink || i.Index <= 0 {
			continue
		}
		l := Link{Index: i.Index, Name: i.Name}
		for _, p := range i.Addresses {
			a := p.Addr().Unmap()
			if p.IsValid() && !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast() && !slices.Contains(l.Addresses(), a) {
				l.Prefixes = append(l.Prefixes, netip.PrefixFrom(a.WithZone(""), p.Bits()))
			}
		}
		if len(l.Prefixes) > 0 {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b Link) int { return a.Index - b.Index })
	return out
}

// Addresses returns the node's addresses on the link.
func (l Link) Addresses() []netip.Addr {
	var out []netip.Addr
	for _, p := range l.Prefixes {
		out = append(out, p.Addr())
	}
	return out
}

// Source is the node's own address for what it sends to a machine on the link, or to all with the
// zero Addr. It is given to the kernel, which on a card without addresses of IPv4, as a router's
// shelf is, takes the first one of any other card.
func (l Link) Source(to netip.Addr) (own netip.Addr) {
	for _, p := range l.Prefixes {
		near := p.Masked().Contains(to.Unmap())
		if p.Addr().Is4() && (near || !own.IsValid()) {
			own = p.Addr()
		}
		if near {
			break
		}
	}
	return own
}

// Has reports whether the link has an address of IPv4, or of IPv6.
func (l Link) Has(four bool) bool {
	return slices.ContainsFunc(l.Prefixes, func(p netip.Prefix) bool { return p.Addr().Is4() == four })
}

// Near reports whether an address is of this link: others have no business here (section 11).
func (l Link) Near(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.Is6() && a.IsLinkLocalUnicast() {
		return true
	}
	return slices.ContainsFunc(l.Prefixes, func(p netip.Prefix) bool { return p.Masked().Contains(a) })
}
