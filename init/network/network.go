// Package network brings up a node's wired network: link, DHCP or static addresses, routes, name servers.
//
// Every wired interface asks DHCP unless the configuration (network.interfaces) says otherwise, also one that is plugged
// in later. Nothing here blocks a boot: Start returns at once, Wait has the caller's limit, and an interface whose cable
// or server is missing goes on trying for as long as the node runs. IPv6 router advertisements are the kernel's.
package network

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"imgbuild/init/config"
	"imgbuild/init/fault"
)

// WaitLimit is how long a boot waits for the network.
const WaitLimit = 30 * time.Second

// ResolvConf is where name servers are told to programs.
const ResolvConf = "/etc/resolv.conf"

// Status is what is known about one interface.
type Status struct {
	Name      string
	MAC       string
	Carrier   bool
	DHCP      bool
	Addresses []netip.Prefix
	Gateway   netip.Addr
	Server    string // that gave the lease; empty without one
	State     State  // all of it
}

// String is the status as one line for people.
func (s Status) String() string {
	var list []string
	for _, a := range s.Addresses {
		list = append(list, a.String())
	}
	switch {
	case len(list) > 0 && s.Server != "":
		return fmt.Sprintf("%s: %s by dhcp from %s", s.Name, strings.Join(list, ", "), s.Server)
	case len(list) > 0:
		return fmt.Sprintf("%s: %s", s.Name, strings.Join(list, ", "))
	case !s.Carrier:
		return s.Name + ": no cable"
	}
	return s.Name + ": no answer from a dhcp server"
}

// Manager runs the interfaces.
type Manager struct {
	cfg        *config.Config
	hostname   string
	resolvConf string
	say        func(format string, args ...any)

	mu      sync.Mutex
	links   map[int]*link // by the kernel's index
	status  map[string]Status
	done    map[string]bool // keys of settings whose interface has an address
	auto    string          // the interface that took the settings called auto
	changed chan struct{}   // closed and replaced at each change
	dns     []netip.Addr    // before the fallback was considered
	running sync.WaitGroup
}

// New prepares a Manager. resolvConf is the file to write; say gets lines for the log and may be called at any time.
func New(cfg *config.Config, hostname, resolvConf string, say func(format string, args ...any)) *Manager {
	return &Manager{
		cfg: cfg, hostname: hostname, resolvConf: resolvConf, say: say,
		links: map[int]*link{}, status: map[string]Status{}, done: map[string]bool{}, changed: make(chan struct{}),
	}
}

// Up starts the network and waits until it is up, at most limit. The Manager goes on until ctx ends; the error, of kind
// Network, says what did not come up in time and is no reason to stop a boot.
func Up(ctx context.Context, cfg *config.Config, hostname string, limit time.Duration, say func(string, ...any)) (*Manager, error) {
	m := New(cfg, hostname, ResolvConf, say)
	m.Start(ctx)
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return m, m.Wait(wait)
}

// Start brings up the loopback and every wired interface, those there are and those to come, until ctx ends.
func (m *Manager) Start(ctx context.Context) {
	if lo, err := netlink.LinkByName("lo"); err == nil {
		if err := netlink.LinkSetUp(lo); err != nil {
			m.say("lo: %v", err)
		}
	}
	// Interfaces that are made later take this up, before their own is set.
	sysctl("net/ipv6/conf/default/accept_ra", "2")
	m.mu.Lock()
	m.writeResolvConf()
	m.mu.Unlock()
	m.running.Go(func() { m.watch(ctx) })
}

// watch follows the kernel's news about interfaces. The stream breaks when the kernel has more to say than fits; it then
// starts anew with everything there is.
func (m *Manager) watch(ctx context.Context) {
	for ctx.Err() == nil {
		news := make(chan netlink.LinkUpdate, 16)
		stop := make(chan struct{})
		err := netlink.LinkSubscribeWithOptions(news, stop, netlink.LinkSubscribeOptions{
			ListExisting:  true,
			ErrorCallback: func(err error) { m.say("network: news about interfaces: %v", err) },
		})
		if err != nil {
			m.say("network: %v", err)
			close(stop)
			pause(ctx, time.Second)
			continue
		}
		for open := true; open; {
			select {
			case u, ok := <-news:
				if open = ok; ok {
					m.hear(ctx, u)
				}
			case <-ctx.Done():
				open = false
			}
		}
		close(stop)
		go func() {
			for range news { // until the subscription has noticed
			}
		}()
		pause(ctx, 100*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// hear takes one piece of news.
func (m *Manager) hear(ctx context.Context, u netlink.LinkUpdate) {
	a := u.Attrs()
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[a.Index]
	if u.Header.Type == unix.RTM_DELLINK {
		if l != nil {
			l.cancel()
			delete(m.links, a.Index)
			delete(m.status, l.name)
			m.tell()
			m.say("%s: gone", l.name)
		}
		return
	}
	carrier := a.RawFlags&unix.IFF_LOWER_UP != 0
	if l != nil {
		l.set(carrier)
		s := m.status[l.name]
		if s.Carrier != carrier {
			s.Carrier = carrier
			m.status[l.name] = s
			m.tell()
			m.say("%s: %s", l.name, map[bool]string{true: "link is up", false: "link is down"}[carrier])
		}
		return
	}
	if _, listed := find(m.cfg.Network.Interfaces, a.Name, a.HardwareAddr.String()); !listed && !wired(a) {
		return
	}
	l = &link{name: a.Name, mac: a.HardwareAddr, index: a.Index, m: m, kick: make(chan struct{}, 1)}
	l.carrier.Store(carrier)
	one, cancel := context.WithCancel(ctx)
	l.cancel = cancel
	m.links[a.Index] = l
	m.status[l.name] = Status{Name: l.name, MAC: l.mac.String(), Carrier: carrier}
	m.tell()
	m.running.Go(func() { l.run(one) })
}

// settings gives what the configuration says about one interface; explicit is false when it must wait for a link, to see
// whether it is the one called auto.
func (m *Manager) settings(name, mac string) (s settings, explicit bool) {
	s, ok := find(m.cfg.Network.Interfaces, name, mac)
	if ok || !slices.ContainsFunc(m.cfg.Network.Interfaces, isAuto) {
		if !ok {
			s = plain(name, m.index(name))
		}
		return s, true
	}
	return settings{}, false
}

func isAuto(c config.Interface) bool { return c.MAC == "" && (c.Name == "auto" || c.Name == "") }

// claim gives an interface with a link the settings called auto if nobody has them yet.
func (m *Manager) claim(name string) settings {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.cfg.Network.Interfaces, isAuto)
	if i >= 0 && (m.auto == "" || m.auto == name) {
		m.auto = name
		c := m.cfg.Network.Interfaces[i]
		return settings{c, metricOf(c, i)}
	}
	for index, l := range m.links {
		if l.name == name {
			return plain(name, index)
		}
	}
	return plain(name, 0)
}

func (m *Manager) index(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	for index, l := range m.links {
		if l.name == name {
			return index
		}
	}
	return 0
}

// static gives the addresses of an interface that do not come from a lease.
func (m *Manager) static(name string) []netip.Prefix {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.status[name]
	if s, ok := find(m.cfg.Network.Interfaces, name, l.MAC); ok {
		return fromConfig(s.Interface, 0).Addresses
	}
	if i := slices.IndexFunc(m.cfg.Network.Interfaces, isAuto); i >= 0 && m.auto == name {
		return fromConfig(m.cfg.Network.Interfaces[i], 0).Addresses
	}
	return nil
}

// update notes what an interface has now, and tells resolv.conf and who waits.
func (m *Manager) update(l *link, s settings, now State, ack *dhcpv4.DHCPv4) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.links[l.index] != l {
		return // gone meanwhile
	}
	st := Status{Name: l.name, MAC: l.mac.String(), Carrier: l.carrier.Load(), DHCP: s.DHCP, Addresses: now.Addresses, State: now}
	for _, r := range now.Routes {
		if r.To.Bits() == 0 && r.Via.IsValid() && !st.Gateway.IsValid() {
			st.Gateway = r.Via
		}
	}
	if ack != nil {
		st.Server = ack.ServerIdentifier().String()
	}
	m.status[l.name] = st
	m.done[key(s.Interface)] = len(now.Addresses) > 0
	m.writeResolvConf()
	m.tell()
}

// tell wakes who waits. mu is held.
func (m *Manager) tell() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// writeResolvConf puts together what there is. mu is held.
func (m *Manager) writeResolvConf() {
	servers, search := m.names()
	if err := replaceFile(m.resolvConf, resolvConf(servers, search)); err != nil {
		m.say("network: %v", err)
	}
}

// names gives name servers and search domains: the configuration's, then the interfaces' by name, and only when
// nobody names a server, k3os.dns_nameservers.
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
	for _, name := range slices.Sorted(maps.Keys(m.status)) {
		servers = append(servers, m.status[name].State.DNS...)
		search = append(search, m.status[name].State.Search...)
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
	for _, name := range slices.Sorted(maps.Keys(m.status)) {
		for _, s := range m.status[name].State.NTP {
			if !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	}
	return list
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

// Changed is closed at the next change of anything that Status or NTPServers tell.
func (m *Manager) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Wait returns when at least one interface has an address, and every configured one that is not optional. When ctx ends
// first, the error says what is missing and why.
func (m *Manager) Wait(ctx context.Context) error {
	for {
		m.mu.Lock()
		missing := m.missing()
		changed := m.changed
		m.mu.Unlock()
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fault.New(fault.Network, "check cable and switch, or give the node a static address under network.interfaces",
				"the network is not up: %s", strings.Join(missing, "; "))
		}
	}
}

// missing says what Wait still waits for. mu is held.
func (m *Manager) missing() []string {
	var list []string
	any := slices.Contains(slices.Collect(maps.Values(m.done)), true)
	for _, c := range m.cfg.Network.Interfaces {
		if !c.Optional && !m.done[key(c)] && (c.DHCP || len(c.Addresses) > 0) {
			list = append(list, m.why(c))
		}
	}
	if any || len(list) > 0 {
		return list
	}
	for _, name := range slices.Sorted(maps.Keys(m.status)) {
		list = append(list, m.status[name].String())
	}
	if len(list) == 0 {
		list = append(list, "this board has no wired network interface, or its driver is missing")
	}
	return list
}

func (m *Manager) why(c config.Interface) string {
	for _, name := range slices.Sorted(maps.Keys(m.status)) {
		if s := m.status[name]; c.MAC != "" && s.MAC == c.MAC || c.MAC == "" && name == c.Name || isAuto(c) && m.auto == name {
			return s.String()
		}
	}
	if isAuto(c) {
		return "no wired interface has a cable"
	}
	return fmt.Sprintf("there is no interface %s", key(c))
}
