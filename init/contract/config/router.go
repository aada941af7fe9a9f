package config

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Router is the section router.
type Router struct {
	Mode     string          `yaml:"mode,omitempty"` // proxy-arp or nat
	Uplink   RouterUplink    `yaml:"uplink,omitempty"`
	Shelf    RouterShelf     `yaml:"shelf,omitempty"`
	Leases   []RouterLease   `yaml:"leases,omitempty"`
	Forwards []RouterForward `yaml:"forwards,omitempty"`
	DNS      RouterDNS       `yaml:"dns,omitempty"`
}

// RouterUplink is the section router.uplink.
type RouterUplink struct {
	Interface string `yaml:"interface,omitempty"` // name or hardware address
	SSH       bool   `yaml:"ssh,omitempty"`
}

// RouterShelf is the section router.shelf.
type RouterShelf struct {
	Interface string `yaml:"interface,omitempty"` // name or hardware address
	Address   string `yaml:"address,omitempty"`   // of the router there, with its prefix length
	Range     string `yaml:"range,omitempty"`     // FIRST-LAST
}

// RouterLease is an item of router.leases.
type RouterLease struct {
	MAC     string `yaml:"mac,omitempty"`
	Name    string `yaml:"name,omitempty"`
	Address string `yaml:"address,omitempty"`
}

// RouterForward is an item of router.forwards.
type RouterForward struct {
	Port     int    `yaml:"port,omitempty"`
	To       string `yaml:"to,omitempty"`
	Protocol string `yaml:"protocol,omitempty"` // tcp or udp
}

// The values of router.mode.
const (
	RouterProxyARP = "proxy-arp"
	RouterNAT      = "nat"
)

// Target is where a forwarded port leads; the zero AddrPort if that cannot be read.
func (f RouterForward) Target() netip.AddrPort {
	if to, err := netip.ParseAddrPort(f.To); err == nil {
		return to
	}
	if a, err := netip.ParseAddr(f.To); err == nil && f.Port > 0 && f.Port < 1<<16 {
		return netip.AddrPortFrom(a, uint16(f.Port))
	}
	return netip.AddrPort{}
}

// Network is the router's address on the shelf; the zero Prefix if it cannot be read.
func (r Router) Network() netip.Prefix {
	p, err := netip.ParsePrefix(r.Shelf.Address)
	if err != nil || !p.Addr().Is4() {
		return netip.Prefix{}
	}
	return p
}

// Pool returns the first and the last address that DHCP gives out in mode nat.
func (r Router) Pool() (first, last netip.Addr, ok bool) {
	n := r.Network()
	if !n.IsValid() || n.Bits() > 29 || n.Bits() < 8 {
		return first, last, false
	}
	if r.Shelf.Range == "" { // the upper half, without the broadcast address
		base, size := number(n.Masked().Addr()), uint32(1)<<(32-n.Bits())
		return addressOf(base + size/2), addressOf(base + size - 2), true
	}
	a, b, cut := strings.Cut(r.Shelf.Range, "-")
	first, err := netip.ParseAddr(strings.TrimSpace(a))
	last, err2 := netip.ParseAddr(strings.TrimSpace(b))
	ok = cut && err == nil && err2 == nil && first.Is4() && last.Is4() && !last.Less(first) && n.Masked().Contains(first) && n.Masked().Contains(last)
	return first, last, ok
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func addressOf(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// cardOf returns the hardware address by which an interface is named, "" for one with a name; ok is
// false if it is neither.
func cardOf(text string) (mac string, ok bool) {
	if m, err := net.ParseMAC(text); err == nil && len(m) == 6 {
		return m.String(), true
	}
	return "", text != "auto" && interfaceName(text)
}

// Routed returns the configuration with the shelf's card of a router as the section router has it:
// no DHCP, and in mode nat the router's own address. An entry of network.interfaces for that card
// has no effect.
func (c *Config) Routed() *Config {
	if c.RoleOf("") != "router" {
		return c
	}
	out := *c
	mac, ok := cardOf(c.Router.Shelf.Interface)
	if !ok || c.Router.Shelf.Interface == c.Router.Uplink.Interface {
		return c
	}
	shelf := Interface{Name: c.Router.Shelf.Interface, DHCP6: "false", IgnoreRA: true, IgnoreDNS: true, IgnoreRoutes: true, Optional: true}
	if mac != "" {
		shelf.Name, shelf.MAC = "", mac
	}
	if n := c.Router.Network(); c.Router.Mode == RouterNAT && n.IsValid() {
		shelf.Addresses = []string{n.String()}
	}
	out.Network.Interfaces = slices.DeleteFunc(slices.Clone(c.Network.Interfaces), func(i Interface) bool { return sameCard(i, shelf) })
	out.Network.Interfaces = append(out.Network.Interfaces, shelf)
	return &out
}

func sameCard(a, b Interface) bool {
	return a.MAC != "" && a.MAC == b.MAC || a.MAC == "" && b.MAC == "" && a.Name == b.Name
}

// checkRouter reports what of the section router cannot work.
func (k *checker) checkRouter() {
	if k.role != "router" {
		return // checkEffect reports the section
	}
	r := k.c.Router
	for _, side := range []struct{ key, value string }{{"uplink", r.Uplink.Interface}, {"shelf", r.Shelf.Interface}} {
		if _, ok := cardOf(side.value); !ok {
			k.report(Error, "router."+side.key+".interface", "write it as ip link shows it, for example eth0, or its hardware address", "%s is not the name of an interface", quote(side.value))
		}
	}
	up, _ := cardOf(r.Uplink.Interface)
	shelf, _ := cardOf(r.Shelf.Interface)
	if r.Uplink.Interface == r.Shelf.Interface || up != "" && up == shelf {
		k.report(Error, "router.shelf.interface", "name another card, or a VLAN of network.vlans", "%s is the uplink's card as well", quote(r.Shelf.Interface))
	}
	for i, n := range k.c.Network.Interfaces {
		if sameCard(n, Interface{Name: r.Shelf.Interface, MAC: shelf}) {
			k.report(Warning, index("network.interfaces", i), "remove it; router.shelf has the settings of this card", "it has no effect on the shelf's card of a router")
		}
	}
	radio := r.Uplink.Interface == "wlan0" && len(k.c.AllWiFi()) == 0
	if radio {
		k.report(Error, "router.uplink.interface", "name the network under network.wifi, or another card here", "the uplink is Wi-Fi, and no wireless network is named")
	}
	k.checkDNS(r)
	if r.Mode == RouterNAT {
		k.checkNAT(r)
		return
	}
	for _, path := range []string{"router.uplink.ssh", "router.shelf.address", "router.shelf.range", "router.leases", "router.forwards"} {
		if k.c.where[path] != (place{}) {
			k.report(Warning, path, "remove it, or set router.mode to nat", "it has no effect with %s, where the modem gives the addresses", RouterProxyARP)
		}
	}
}

func (k *checker) checkNAT(r Router) {
	n := r.Network()
	switch {
	case !n.IsValid():
		k.report(Error, "router.shelf.address", "write it like 10.77.0.1/24", "%s is not an IPv4 address with a prefix length", quote(r.Shelf.Address))
		return
	case n.Bits() > 29 || n.Bits() < 8:
		k.report(Error, "router.shelf.address", "write a network from /8 to /29", "the network %s has no place for a shelf", n.Masked())
		return
	case !n.Addr().IsPrivate():
		k.report(Warning, "router.shelf.address", "use 10.77.0.1/24, or another one of RFC 1918", "%s is not a private address; machines on the Internet that have it cannot be reached", n.Addr())
	}
	for i, one := range k.c.Network.Interfaces {
		for j, text := range one.Addresses {
			if p, err := netip.ParsePrefix(text); err == nil && p.Masked().Overlaps(n.Masked()) {
				k.report(Error, index(index("network.interfaces", i)+".addresses", j), "give the shelf another network with router.shelf.address", "%s overlaps the shelf's network %s", p.Masked(), n.Masked())
			}
		}
	}
	first, last, ok := r.Pool()
	if !ok {
		k.report(Error, "router.shelf.range", "write it like 10.77.0.100-10.77.0.199, from the low to the high address", "%s is not a range of addresses in %s", quote(r.Shelf.Range), n.Masked())
	} else if a := n.Addr(); r.Shelf.Range != "" && !a.Less(first) && !last.Less(a) {
		k.report(Error, "router.shelf.range", "leave the router's address out of it", "the range %s contains the router's own address %s", quote(r.Shelf.Range), a)
	}
	macs, names, addresses := map[string]int{}, map[string]int{}, map[string]int{}
	for i, l := range r.Leases {
		here := index("router.leases", i)
		if l.MAC == "" {
			k.report(Error, here, "set mac; it is printed on most boards, and shelf router shows it", "the board has no hardware address")
		}
		if a, err := netip.ParseAddr(l.Address); l.Address == "" && l.Name == "" {
			k.report(Error, here, "set address, name or both", "the board gets neither an address nor a name")
		} else if err == nil && (!n.Masked().Contains(a) || a == n.Masked().Addr() || notOwn(netip.PrefixFrom(a, n.Bits())) != "") {
			k.report(Error, here+".address", "write an address of the shelf's network", "%s is not an address in %s", a, n.Masked())
		} else if err == nil && a == n.Addr() {
			k.report(Error, here+".address", "write another address", "%s is the router's own address", a)
		}
		if l.Name != "" && (len(l.Name) > 63 || !hostName.MatchString(l.Name) || strings.ContainsAny(l.Name, "._")) {
			k.report(Error, here+".name", "use letters, digits and -, 63 at most", "%s is not a name for a board", quote(l.Name))
		}
		for _, u := range []struct {
			seen map[string]int
			key  string
			text string
		}{{macs, ".mac", l.MAC}, {names, ".name", strings.ToLower(l.Name)}, {addresses, ".address", l.Address}} {
			if first, twice := u.seen[u.text]; twice && u.text != "" {
				k.report(Error, here+u.key, "give each board its own", "%s is that of item %d as well", quote(u.text), first)
			}
			u.seen[u.text] = i
		}
	}
	ports := map[string]int{}
	for i, f := range r.Forwards {
		here := index("router.forwards", i)
		to := f.Target()
		id := f.Protocol + "/" + strconv.Itoa(f.Port)
		first, twice := ports[id]
		switch {
		case f.Port == 0:
			k.report(Error, here, "set port, from 1 to 65535", "the port on the uplink is missing")
		case !to.IsValid() || !to.Addr().Is4() || to.Port() == 0:
			k.report(Error, here+".to", "write it like 10.77.0.60:80", "%s is not an address with a port", quote(f.To))
		case !n.Masked().Contains(to.Addr()):
			k.report(Error, here+".to", "write the address of a board on the shelf", "%s is not an address in %s", to.Addr(), n.Masked())
		case twice:
			k.report(Error, here+".port", "keep one of them", "%s is forwarded by item %d already", id, first)
		case id == "tcp/22":
			k.report(Warning, here+".port", "use another port, such as 2222", "ssh to the router does not work from the uplink any more: port 22 leads to %s", to)
		}
		ports[id] = i
	}
}
