// Package network brings up a node's network and keeps it as configured: links, DHCP or
// static addresses, routes, name servers, Wi-Fi, VLANs, bridges and bonds.
//
// Every wired interface asks DHCP unless the configuration (network.interfaces) sets something
// else, also one that is plugged in later. Nothing here blocks a boot: Start returns immediately,
// Wait has the caller's limit, and an interface whose cable or server is missing goes on trying for
// as long as the node runs. A changed configuration is handed to Apply, which changes what differs
// and leaves the rest alone. IPv6 addresses and routes come from the kernel, which heeds router
// advertisements; the name servers in these are taken from its news.
package network

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/config"
)

// ResolvConf is the file in which programs find the name servers.
const ResolvConf = "/etc/resolv.conf"

// Manager runs the interfaces. All methods may be called from any goroutine.
type Manager struct {
	hostname   string
	resolvConf string
	say        func(format string, args ...any)
	applying   sync.Mutex // one Apply at a time

	mu       sync.Mutex
	ctx      context.Context // of Start
	cfg      *config.Config
	links    map[int]*link // by the kernel's index, all there are
	status   map[string]Status
	auto     string // the interface that took the settings called auto
	made     map[string]device
	madeAs   map[string]int    // the kernel's index of these
	ports    map[string]string // the owners of interfaces that are ports
	lost     bool              // nothing leads to an address: the cards ask DHCP
	losing   stopper           // until that is so
	reported map[string]string // the last message about a device that cannot be made
	changed  chan struct{}     // closed and replaced at each change
	ending   *time.Timer       // for the next end of a router's announcement

	formed map[int]map[netip.Prefix]bool // addresses of IPv6 that the kernel has, by index
	local  map[int]netip.Prefix          // link-local ones of IPv6, by index
	asked6 map[int]mode6                 // what routers ask for, by index
	onLink func(name string)             // see OnLink

	kernel kernel
	after  func(time.Duration, func()) stopper
}

// stopper is a timer.
type stopper interface{ Stop() bool }

// New prepares a Manager. resolvConf is the file to write; say gets lines for the log and may be
// called at any time.
func New(cfg *config.Config, hostname, resolvConf string, say func(format string, args ...any)) *Manager {
	return &Manager{
		cfg: cfg, hostname: hostname, resolvConf: resolvConf, say: say, ctx: context.Background(),
		links: map[int]*link{}, status: map[string]Status{}, made: map[string]device{}, madeAs: map[string]int{},
		reported: map[string]string{}, changed: make(chan struct{}), ports: map[string]string{}, kernel: real,
		formed: map[int]map[netip.Prefix]bool{}, local: map[int]netip.Prefix{}, asked6: map[int]mode6{},
		after: func(d time.Duration, f func()) stopper {
			return time.AfterFunc(d, func() {
				defer guard.Catch()
				f()
			})
		},
	}
}

// Start brings up the loopback and every interface that is to be run, those there are and those to
// come, until ctx ends.
func (m *Manager) Start(ctx context.Context) {
	if lo, err := netlink.LinkByName("lo"); err == nil {
		if err := netlink.LinkSetUp(lo); err != nil {
			m.say("lo: %v", err)
		}
	}
	// Interfaces that are made later take these up, before their own are set.
	for _, s := range linkSysctls {
		sysctl(fmt.Sprintf(s.name, "default"), s.value)
	}
	m.mu.Lock()
	m.ctx = ctx
	m.writeResolvConf()
	m.mu.Unlock()
	guard.Go(func() { m.watch(ctx) })
	guard.Go(func() { m.watchRA(ctx) })
	guard.Go(func() { m.watchAddresses(ctx) })
	guard.Go(func() { m.watchFlags(ctx) })
}

// Apply makes cfg the configuration of the running network. Interfaces whose settings stay the same
// are not touched. When it returns, addresses that are not wanted any more are gone and static ones
// are there; DHCP goes on by itself.
func (m *Manager) Apply(cfg *config.Config) {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.mu.Lock()
	m.cfg = cfg
	if !slices.ContainsFunc(cfg.Network.Interfaces, isAuto) {
		m.auto = ""
	}
	m.mu.Unlock()
	m.devices()
	m.watchReach()
	m.arrangeAll()
	m.mu.Lock()
	m.writeResolvConf()
	m.wake()
	m.mu.Unlock()
}

// arrangeAll arranges every interface. The order decides which one is called auto. applying is
// held.
func (m *Manager) arrangeAll() {
	m.mu.Lock()
	links := slices.SortedFunc(maps.Values(m.links), func(a, b *link) int { return cmp.Compare(a.index, b.index) })
	m.mu.Unlock()
	for _, l := range links {
		m.arrange(l)
	}
}

// rearrange looks at what can be made by now, and arranges what that changes. applying is held.
func (m *Manager) rearrange() {
	changed := m.devices()
	if m.watchReach() || changed {
		m.arrangeAll()
	}
}

// watch follows the kernel's news about interfaces. The stream breaks when the kernel has more
// events than fit; it then starts again with everything there is.
func (m *Manager) watch(ctx context.Context) {
	for ctx.Err() == nil {
		news := make(chan netlink.LinkUpdate, 16)
		stop := make(chan struct{})
		err := netlink.LinkSubscribeWithOptions(news, stop, netlink.LinkSubscribeOptions{
			ListExisting: true,
			ErrorCallback: func(err error) {
				if !errors.Is(err, netlink.ErrDumpInterrupted) { // what came meanwhile is reported by itself
					m.say("network: news about interfaces: %v", err)
				}
			},
		})
		if err != nil {
			m.say("network: %v", err)
			close(stop)
			pause(ctx, time.Second)
			continue
		}
		m.applying.Lock()
		m.rearrange()
		m.applying.Unlock()
		for open := true; open; {
			select {
			case u, ok := <-news:
				if open = ok; ok {
					m.handle(u)
				}
			case <-ctx.Done():
				open = false
			}
		}
		close(stop)
		guard.Go(func() {
			for range news { // until the subscription has noticed
			}
		})
		pause(ctx, 100*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// handle handles one event.
func (m *Manager) handle(u netlink.LinkUpdate) {
	a := u.Attrs()
	if u.IfInfomsg.Family == unix.AF_BRIDGE {
		return // about a port, not an interface: one that leaves its bridge is not gone
	}
	m.mu.Lock()
	l := m.links[a.Index]
	if l != nil && (u.Header.Type == unix.RTM_DELLINK || l.name != a.Name) {
		m.forget(l)
		l = nil
	}
	if u.Header.Type == unix.RTM_DELLINK {
		if m.madeAs[a.Name] == a.Index { // and not one of that name that was made again
			delete(m.made, a.Name) // a VLAN goes with the adapter that carries it, and is made again with it
		}
		m.mu.Unlock()
		m.applying.Lock()
		defer m.applying.Unlock()
		m.rearrange() // what it carried, or was a port of, is something else now
		return
	}
	radio := l != nil && l.radio || l == nil && isRadio(a.Name)
	carrier, up := linked(a.RawFlags, radio), a.RawFlags&unix.IFF_UP != 0
	if l != nil && len(a.HardwareAddr) > 0 && !bytes.Equal(l.mac, a.HardwareAddr) {
		// A bridge or a bond takes over the address of a port that comes later; a lease belongs to
		// an address.
		l.mac = a.HardwareAddr
		defer func() {
			m.applying.Lock()
			defer m.applying.Unlock()
			m.arrange(l)
		}()
	}
	if l != nil {
		l.set(carrier, up)
		if s, run := m.status[l.name]; run && s.Carrier != carrier {
			s.Carrier = carrier
			m.status[l.name] = s
			m.writeResolvConf() // the servers on a dead link come last
			m.wake()
			m.say("%s: %s", l.name, map[bool]string{true: "link is up", false: "link is down"}[carrier])
		}
		m.mu.Unlock()
		return
	}
	l = &link{name: a.Name, mac: a.HardwareAddr, perm: a.PermHWAddr, index: a.Index, m: m, kick: make(chan struct{}, 1), kick6: make(chan struct{}, 1), wired: wired(a), radio: radio}
	l.carrier.Store(carrier)
	l.up.Store(up)
	m.links[a.Index] = l
	m.mu.Unlock()
	m.appeared(l.name)
	m.applying.Lock()
	defer m.applying.Unlock()
	m.rearrange()
	m.arrange(l)
}

// forget ends the life of an interface that is gone. mu is held.
func (m *Manager) forget(l *link) {
	if l.cancel != nil {
		l.cancel()
	}
	delete(m.links, l.index)
	delete(m.formed, l.index)
	delete(m.local, l.index)
	delete(m.asked6, l.index)
	if m.auto == l.name {
		m.auto = ""
	}
	if _, run := m.status[l.name]; run {
		delete(m.status, l.name)
		m.say("%s: gone", l.name)
	}
	m.writeResolvConf()
	m.wake()
}

// linked reports whether frames get through. A radio has a link as soon as the access point knows
// it, long before the passphrase is proven: wpa_supplicant reports when it is, and the kernel then
// calls it running.
func linked(flags uint32, radio bool) bool {
	return flags&unix.IFF_LOWER_UP != 0 && (!radio || flags&unix.IFF_RUNNING != 0)
}

// arrange assigns to an interface the settings that the configuration has for it: it starts,
// changes or ends its goroutine, and returns when the kernel has what does not depend on a server.
// applying is held.
func (m *Manager) arrange(l *link) {
	m.mu.Lock()
	if m.links[l.index] != l {
		m.mu.Unlock()
		return
	}
	want := m.settings(l)
	if want != nil && l.set0 != nil && reflect.DeepEqual(*want, *l.set0) || want == nil && l.set0 == nil {
		m.mu.Unlock()
		return
	}
	old, cancel, over := l.set0, l.cancel, l.over
	l.set0 = want
	m.mu.Unlock()
	if cancel != nil {
		cancel()
		<-over
	}
	if want == nil || !want.DHCP || old != nil && (!reflect.DeepEqual(old.nets, want.nets) || old.mac != want.mac) {
		l.ack = nil // a lease of another network is worth nothing
	}
	if want == nil || old != nil && (!reflect.DeepEqual(old.nets, want.nets) || old.mac != want.mac) {
		l.v6 = State{}
	}
	m.mu.Lock()
	if want == nil {
		l.cancel, l.over = nil, nil
		delete(m.status, l.name)
		m.wake()
		m.mu.Unlock()
		l.static, l.v4, l.v6 = State{}, State{}, State{}
		if err := l.apply(State{}); err != nil {
			m.say("%s: %v", l.name, err)
		}
		return
	}
	ctx, stop := context.WithCancel(m.ctx)
	l.cancel, l.over = stop, make(chan struct{})
	m.status[l.name] = Status{Name: l.name, MAC: l.mac.String(), Carrier: l.carrier.Load(), DHCP: want.DHCP, WiFi: l.radio, of: key(want.Interface), Port: want.port, ra: m.status[l.name].ra, metric: want.metric}
	m.count(l)
	m.wake()
	over = l.over
	m.mu.Unlock()
	ready := make(chan struct{})
	guard.Go(func() {
		defer close(over)
		l.run(ctx, *want, ready)
	})
	<-ready
}

// update notes what an interface has now, and updates resolv.conf and wakes waiting callers.
func (m *Manager) update(l *link, s settings, now State, ack *dhcpv4.DHCPv4) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.links[l.index] != l || l.set0 == nil {
		return // gone meanwhile
	}
	st := m.status[l.name]
	before := slices.Clone(st.Addresses)
	st.DHCP, st.State, st.Gateway, st.Gateway6, st.Server, st.of, st.metric = s.DHCP, now, netip.Addr{}, netip.Addr{}, "", key(s.Interface), s.metric
	st.quietRA = s.IgnoreDNS || s.IgnoreRA
	for _, r := range now.Routes {
		switch {
		case r.To.Bits() != 0 || !r.Via.IsValid():
		case r.Via.Is4() && !st.Gateway.IsValid():
			st.Gateway = r.Via
		case r.Via.Is6() && !st.Gateway6.IsValid():
			st.Gateway6 = r.Via
		}
	}
	if ack != nil {
		st.Server, st.unanswered = ack.ServerIdentifier().String(), false
	}
	m.status[l.name] = st
	m.count(l)
	st = m.status[l.name]
	m.writeResolvConf()
	m.wake()
	if len(st.Addresses) > 0 && !slices.Equal(before, st.Addresses) {
		m.say("network %s", st)
	}
}

// unanswered notes that nobody answers an interface's DHCP: an address of IPv6 is then all that
// there is.
func (m *Manager) unanswered(l *link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, run := m.status[l.name]; run && !s.unanswered {
		s.unanswered = true
		m.status[l.name] = s
		m.wake()
	}
}

// OnLink has f called with the name of every interface that appears, and again after our own kernel
// settings of one that is brought up. It is called before Start.
func (m *Manager) OnLink(f func(name string)) { m.onLink = f }

func (m *Manager) appeared(name string) {
	if m.onLink != nil {
		m.onLink(name)
	}
}

// Note puts what is known about an interface's radio into its status: why it is in no network. An
// empty text removes it.
func (m *Manager) Note(name, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, run := m.status[name]; run && s.Note != text {
		s.Note = text
		m.status[name] = s
		m.wake()
	}
}
