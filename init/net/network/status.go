package network

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Status is what is known about one interface.
type Status struct {
	Name      string
	MAC       string
	Carrier   bool
	DHCP      bool
	WiFi      bool // a radio
	Addresses []netip.Prefix
	Gateway   netip.Addr
	Server    string // that gave the lease; empty without one
	Port      string // the bridge or bond that it belongs to, "" for none
	Note      string // why a radio is in no network
	State     State  // all of it

	of string     // key of the settings that it has
	ra advertised // what routers say about names
}

// String is the status as one line for people.
func (s Status) String() string {
	var list []string
	for _, a := range s.Addresses {
		list = append(list, a.String())
	}
	text := s.Name + ": " + strings.Join(list, ", ")
	if s.Server != "" {
		text += " by dhcp from " + s.Server
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

// join tells of addresses behind a link that is down.
func join(name string, addresses []string, why string) string {
	if len(addresses) == 0 {
		return name + ": " + why
	}
	return fmt.Sprintf("%s: %s (%s)", name, strings.Join(addresses, ", "), why)
}

// Status gives every interface that is run here, by name.
func (m *Manager) Status() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Status
	for _, name := range slices.Sorted(maps.Keys(m.status)) {
		list = append(list, m.status[name])
	}
	return list
}

// ranked gives the interfaces in the order in which their name servers are asked: those with a link first. mu is held.
func (m *Manager) ranked() []Status {
	list := slices.SortedFunc(maps.Values(m.status), func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(list, func(a, b Status) int {
		return cmp.Compare(down(a), down(b))
	})
	return list
}

func down(s Status) int {
	if s.Carrier {
		return 0
	}
	return 1
}

// writeResolvConf puts together what there is. mu is held.
func (m *Manager) writeResolvConf() {
	servers, search := m.names()
	if err := replaceFile(m.resolvConf, resolvConf(servers, search)); err != nil {
		m.say("network: %v", err)
	}
}

// names gives name servers and search domains: the configuration's, then what it or DHCP says for each interface, then
// what routers advertise, and only when nobody names a server, k3os.dns_nameservers. mu is held.
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
		servers = append(servers, s.ra.servers()...)
		search = append(search, s.ra.domains()...)
	}
	if len(servers) == 0 {
		addrs(m.cfg.K3OS.DNSNameservers)
	}
	return servers, search
}

// NTPServers gives the time servers that DHCP names (option 42).
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
