package network

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"imgbuild/init/contract/atomicfile"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Status is what is known about one interface.
type Status struct {
	Name      string
	MAC       string
	Carrier   bool
	DHCP      bool
	WiFi      bool // a radio
	Addresses []netip.Prefix
	Gateway   netip.Addr // of the first default route, IPv4's if there is one
	Gateway6  netip.Addr // of IPv6's, also where a router advertised itself
	Server    string     // that gave the lease; empty without one
	Port      string     // the bridge or bond that it belongs to, "" for none
	Note      string     // why a radio is in no network
	State     State      // all of it

	Local netip.Prefix // the link-local address of IPv6, once the kernel has found it free

	of         string     // key of the settings that it has
	ra         advertised // name servers and domains of routers
	formed     bool       // it has addresses by the kernel
	quietRA    bool       // and it is not wanted
	metric     int        // of its routes
	unanswered bool       // nobody answered its DHCP so far
}

// up reports whether an interface has an address that others may count on. Where DHCP is asked too,
// one of IPv6 alone counts once nobody has answered: in a network with both, advertisements come
// first, and what starts then, such as k3s, would take the address for the only one.
func (s Status) up() bool {
	six := false
	for _, p := range s.Addresses {
		if p.Addr().Is4() {
			return true
		}
		six = six || !p.Addr().IsLinkLocalUnicast()
	}
	return six && (!s.DHCP || s.unanswered)
}

// Way returns the metric of an interface's default route; ok is false when it has none. Where the
// kernel has formed an address from an advertisement, its route has our metric too.
func (s Status) Way() (metric int, ok bool) {
	for _, r := range s.State.Routes {
		if r.To.Bits() == 0 && (!ok || r.Metric < metric) {
			metric, ok = r.Metric, true
		}
	}
	if !ok && s.formed {
		return s.metric, true
	}
	return metric, ok
}

// String is the status as one line for people.
func (s Status) String() string {
	var four, list []string
	for _, a := range s.Addresses {
		if a.Addr().Is4() {
			four = append(four, a.String())
		}
	}
	list = slices.Clone(four)
	for _, a := range s.Addresses {
		if !a.Addr().Is4() {
			list = append(list, a.String())
		}
	}
	text := s.Name + ": " + strings.Join(list, ", ")
	if s.Server != "" && len(four) > 0 {
		text = s.Name + ": " + strings.Join(append([]string{strings.Join(four, ", ") + " by dhcp from " + s.Server}, list[len(four):]...), ", ")
	}
	switch {
	case !s.Carrier && s.Note != "":
		return join(s.Name, list, s.Note)
	case !s.Carrier && s.WiFi:
		return join(s.Name, list, "not in a Wi-Fi network")
	case !s.Carrier:
		return join(s.Name, list, "no cable")
	case s.Port != "":
		return s.Name + ": a port of " + s.Port
	case len(list) > 0:
		return text
	case s.DHCP:
		return s.Name + ": no answer from a dhcp server"
	}
	return s.Name + ": no address"
}

// join reports addresses on a link that is down.
func join(name string, addresses []string, why string) string {
	if len(addresses) == 0 {
		return name + ": " + why
	}
	return fmt.Sprintf("%s: %s (%s)", name, strings.Join(addresses, ", "), why)
}

// Status returns every interface that is run here, by name.
func (m *Manager) Status() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	index := map[string]int{}
	for i, l := range m.links {
		index[l.name] = i
	}
	routers := m.kernel.routers()
	var list []Status
	for _, name := range slices.Sorted(maps.Keys(m.status)) {
		s := m.status[name].withRouter(routers[index[name]])
		s.Local = m.local[index[name]]
		list = append(list, s)
	}
	return list
}

// withRouter adds the router that advertised itself on the interface, if any, where the
// configuration names none.
func (s Status) withRouter(router netip.Addr) Status {
	if !s.Gateway6.IsValid() && s.Port == "" {
		s.Gateway6 = router
	}
	if !s.Gateway.IsValid() {
		s.Gateway = s.Gateway6
	}
	return s
}

// advertisedBy returns by the interface's number the router of its best default route that the
// kernel has from advertisements.
func advertisedBy(routes []netlink.Route) map[int]netip.Addr {
	out, best := map[int]netip.Addr{}, map[int]int{}
	see := func(index, metric int, gw net.IP) {
		a, ok := netip.AddrFromSlice(gw)
		if have, seen := best[index]; ok && a.Is6() && !a.IsUnspecified() && (!seen || metric < have) {
			out[index], best[index] = a, metric
		}
	}
	for _, r := range routes {
		if !isDefault(r) || r.Protocol != unix.RTPROT_RA {
			continue
		}
		if len(r.MultiPath) == 0 {
			see(r.LinkIndex, r.Priority, r.Gw)
		}
		for _, hop := range r.MultiPath { // several routers
			see(hop.LinkIndex, r.Priority, hop.Gw)
		}
	}
	return out
}

// ranked returns the interfaces in the order in which their name servers and time servers are
// asked: those with a link first, of these the way out with the lowest metric, then the others by
// their metrics. mu is held.
func (m *Manager) ranked() []Status {
	rank := func(s Status) (r [3]int) {
		metric, out := s.Way()
		if !out {
			r[1], metric = 1, s.metric
		}
		if !s.Carrier {
			r[0] = 1
		}
		r[2] = metric
		return r
	}
	return slices.SortedFunc(maps.Values(m.status), func(a, b Status) int {
		x, y := rank(a), rank(b)
		return cmp.Or(slices.Compare(x[:], y[:]), cmp.Compare(a.Name, b.Name))
	})
}

// writeResolvConf puts together what there is. mu is held.
func (m *Manager) writeResolvConf() {
	servers, search := m.names()
	if err := atomicfile.Update(m.resolvConf, resolvConf(servers, search), 0o644); err != nil {
		m.say("network: %v", err)
	}
}

// names returns name servers and search domains: the configuration's, then those that it or DHCP
// has for each interface, then what routers advertise, and only when nobody names a server,
// k3os.dns_nameservers. mu is held.
func (m *Manager) names() (servers []netip.Addr, search []string) {
	addrs := func(list []string) {
		for _, s := range list {
			if a, err := netip.ParseAddr(s); err == nil {
				servers = append(servers, a)
			}
		}
	}
	addrs(m.cfg.Network.DNS)
	search = append(search, m.cfg.Network.Search...)
	for _, s := range m.ranked() {
		servers = append(servers, s.State.DNS...)
		search = append(search, s.State.Search...)
	}
	for _, s := range m.ranked() {
		if s.quietRA {
			continue
		}
		servers = append(servers, s.ra.servers()...)
		search = append(search, s.ra.domains()...)
	}
	if len(servers) == 0 {
		addrs(m.cfg.K3OS.DNSNameservers)
	}
	return servers, search
}

// NTPServers returns the time servers that DHCP (option 42) and DHCPv6 name.
func (m *Manager) NTPServers() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for _, s := range m.ranked() {
		for _, n := range s.State.NTP {
			if !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	return list
}
