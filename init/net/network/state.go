package network

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"imgbuild/init/contract/config"
)

// State is what an interface is to be, whether from a lease or from the configuration.
type State struct {
	Addresses []netip.Prefix
	Routes    []Route
	DNS       []netip.Addr
	Search    []string
	NTP       []string
	MTU       int            // 0 leaves the driver's
	Leased    []netip.Prefix // those of Addresses that end by themselves
	Lifetime  time.Duration  // of those; 0 is for ever

	Ends map[netip.Prefix]end // when addresses of DHCPv6 end
}

// Route is one route through an interface.
type Route struct {
	To     netip.Prefix
	Via    netip.Addr // the zero Addr: directly on the link
	Metric int
}

// minMTU is the least that every host must take (RFC 791 and RFC 2132, option 26), maxMTU the most
// that a server is believed; a configuration may ask for more, and what the driver refuses is
// reported.
const minMTU, maxMTU = 576, 9216

// fromConfig returns the state that the configuration has for an interface. Values are checked by
// init/contract/config before they get here; what is unusable all the same is left out.
func fromConfig(c config.Interface, metric int) State {
	s := State{Search: domains(c.Search...)}
	if c.MTU >= minMTU {
		s.MTU = c.MTU
	}
	for _, a := range c.Addresses {
		if p, err := netip.ParsePrefix(a); err == nil {
			s.Addresses = append(s.Addresses, p)
		}
	}
	for _, a := range c.DNS {
		if ip, err := netip.ParseAddr(a); err == nil {
			s.DNS = append(s.DNS, ip)
		}
	}
	for _, g := range []string{c.Gateway, c.Gateway6} {
		if gw, err := netip.ParseAddr(g); err == nil {
			s.route(Route{To: defaultRoute(gw), Via: gw, Metric: metric}, true)
		}
	}
	for _, r := range c.Routes {
		via, _ := netip.ParseAddr(r.Via) // without one: on the link
		to, err := netip.ParsePrefix(r.To)
		if r.To == "default" && via.IsValid() {
			to, err = defaultRoute(via), nil
		}
		if err != nil {
			continue
		}
		m := r.Metric
		if m == 0 {
			m = metric
		}
		s.route(Route{To: to.Masked(), Via: via, Metric: m}, len(s.Addresses) > 0)
	}
	return s
}

// route adds a route, with the way to its gateway where the interface's own networks do not have
// it. The kernel knows one route to a network with one metric; the first that is named counts.
func (s *State) route(r Route, reachable bool) {
	if slices.ContainsFunc(s.Routes, func(o Route) bool { return o.To == r.To && o.Metric == r.Metric }) {
		return
	}
	if r.Via.IsValid() && reachable {
		for _, way := range reach(s.Addresses, r.Via, r.Metric) {
			if !slices.Contains(s.Routes, way) {
				s.Routes = append(s.Routes, way)
			}
		}
	}
	s.Routes = append(s.Routes, r)
}

func defaultRoute(via netip.Addr) netip.Prefix {
	if via.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// reach returns the route to a gateway that is in none of the interface's own networks, as clouds
// and some routers have it.
func reach(own []netip.Prefix, gw netip.Addr, metric int) []Route {
	if gw.IsLinkLocalUnicast() || slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Contains(gw) }) {
		return nil
	}
	return []Route{{To: netip.PrefixFrom(gw, gw.BitLen()), Metric: metric}}
}

// fromLease returns the state in a DHCP server's acknowledgement (RFC 2131, 2132, 3397, 3442).
func fromLease(ack *dhcpv4.DHCPv4, metric int) State {
	var s State
	ip, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok {
		return s
	}
	mask := ack.SubnetMask()
	if mask == nil {
		mask = ack.YourIPAddr.To4().DefaultMask() // of its class, as RFC 950 has it
	}
	ones, bits := mask.Size()
	if bits != 32 {
		ones = 32
	}
	own := netip.PrefixFrom(ip, ones)
	s.Addresses, s.Leased = []netip.Prefix{own}, []netip.Prefix{own}
	s.Lifetime = leaseTimes(ack).lease
	if classless := ack.ClasslessStaticRoute(); len(classless) > 0 {
		// RFC 3442: a client that understands this option must ignore the routers of option 3.
		for _, r := range classless {
			dst, ok := netip.AddrFromSlice(r.Dest.IP.To4())
			if n, bits := r.Dest.Mask.Size(); ok && bits == 32 {
				s.addLeaseRoute(own, netip.PrefixFrom(dst, n).Masked(), r.Router, metric)
			}
		}
	} else {
		// The first router is the preferred one; the kernel would not fail over to the others
		// anyway.
		if list := ack.Router(); len(list) > 0 {
			s.addLeaseRoute(own, netip.PrefixFrom(netip.IPv4Unspecified(), 0), list[0], metric)
		}
	}
	for _, d := range ack.DNS() {
		if a, ok := netip.AddrFromSlice(d.To4()); ok && !a.IsUnspecified() {
			s.DNS = append(s.DNS, a)
		}
	}
	for _, n := range ack.NTPServers() {
		if a, ok := netip.AddrFromSlice(n.To4()); ok && !a.IsUnspecified() {
			s.NTP = append(s.NTP, a.String())
		}
	}
	if l := ack.DomainSearch(); l != nil && len(l.Labels) > 0 {
		s.Search = domains(l.Labels...)
	} else {
		s.Search = domains(strings.Fields(ack.DomainName())...)
	}
	if v := ack.Options.Get(dhcpv4.OptionInterfaceMTU); len(v) == 2 {
		if mtu := int(v[0])<<8 | int(v[1]); mtu >= minMTU && mtu <= maxMTU {
			s.MTU = mtu
		}
	}
	return s
}

// addLeaseRoute adds a route of a lease; the router 0.0.0.0 means the link itself.
func (s *State) addLeaseRoute(own, to netip.Prefix, router net.IP, metric int) {
	via, ok := netip.AddrFromSlice(router.To4())
	if !ok {
		return
	}
	if via.IsUnspecified() {
		s.Routes = append(s.Routes, Route{To: to, Metric: metric})
		return
	}
	for _, r := range reach([]netip.Prefix{own}, via, metric) {
		if !slices.Contains(s.Routes, r) {
			s.Routes = append(s.Routes, r)
		}
	}
	s.Routes = append(s.Routes, Route{To: to, Via: via, Metric: metric})
}

// add appends another source's state of the same interface.
func (s State) add(o State) State {
	s.Addresses = append(slices.Clone(s.Addresses), o.Addresses...)
	s.Routes = append(slices.Clone(s.Routes), o.Routes...)
	s.DNS = append(slices.Clone(s.DNS), o.DNS...)
	s.Search = append(slices.Clone(s.Search), o.Search...)
	s.NTP = append(slices.Clone(s.NTP), o.NTP...)
	for _, p := range o.Leased {
		if !slices.Contains(s.Addresses[:len(s.Addresses)-len(o.Addresses)], p) { // what is configured stays for ever
			s.Leased = append(slices.Clone(s.Leased), p)
		}
	}
	if s.MTU == 0 {
		s.MTU = o.MTU
	}
	s.Lifetime = o.Lifetime
	return s
}

// join appends DHCPv6's state of the same interface.
func (s State) join(o State) State {
	s.Addresses = append(slices.Clone(s.Addresses), o.Addresses...)
	s.DNS = append(slices.Clone(s.DNS), o.DNS...)
	s.Search = append(slices.Clone(s.Search), o.Search...)
	s.NTP = append(slices.Clone(s.NTP), o.NTP...)
	s.Ends = o.Ends
	return s
}

// without leaves out what the configuration refuses of other sources.
func (s State) without(c config.Interface) State {
	if c.IgnoreRoutes {
		s.Routes = nil
	}
	if c.IgnoreDNS {
		s.DNS, s.Search = nil, nil
	}
	return s
}

// times of a lease, from when it was given.
type times struct{ renew, rebind, lease time.Duration }

// leaseTimes returns a lease's times with RFC 2131's defaults (one half and seven eighths) for
// those that are missing or make no sense. The lease 0xffffffff is for ever: nothing is renewed.
func leaseTimes(ack *dhcpv4.DHCPv4) times {
	const forEver = 0xffffffff * time.Second
	lease := ack.IPAddressLeaseTime(time.Hour)
	if lease >= forEver {
		return times{}
	}
	lease = max(lease, 10*time.Second) // less would be a storm of our own
	t := times{renew: ack.IPAddressRenewalTime(lease / 2), rebind: ack.IPAddressRebindingTime(lease / 8 * 7), lease: lease}
	if t.rebind <= 0 || t.rebind >= lease {
		t.rebind = lease / 8 * 7
	}
	if t.renew <= 0 || t.renew >= t.rebind {
		t.renew = min(lease/2, t.rebind/2)
	}
	return t
}

// domains keeps what is a domain name, lower case, without a trailing dot, each once. A server on
// the network may send anything, and this ends in resolv.conf.
func domains(list ...string) []string {
	var out []string
	for _, d := range list {
		d = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(d), "."))
		if validDomain(d) && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

func validDomain(d string) bool {
	if d == "" || len(d) > 253 {
		return false
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || strings.ContainsFunc(label, func(r rune) bool {
			return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_')
		}) {
			return false
		}
	}
	return true
}
