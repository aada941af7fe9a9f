package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"imgbuild/init/base/guard"
)

// link is one interface that the kernel has. One that the Manager runs has settings and a
// goroutine.
type link struct {
	name    string
	mac     net.HardwareAddr
	perm    net.HardwareAddr // that it came with, if it is known
	index   int
	wired   bool // hardware with a plug
	radio   bool // Wi-Fi
	m       *Manager
	carrier atomic.Bool
	up      atomic.Bool
	kick    chan struct{} // one slot: carrier changed
	kick6   chan struct{} // the same, or routers ask for something else

	set0   *settings // as arranged last, nil for none; the Manager's mu
	cancel context.CancelFunc
	over   chan struct{} // closed when the goroutine is

	// The state that we gave the kernel, and the newest lease: used by the goroutine alone, or
	// after its end.
	making  sync.Mutex // DHCP and DHCPv6 are two
	static  State
	v4, v6  State
	applied State
	base    int // MTU before we touched it
	ack     *dhcpv4.DHCPv4
	until   time.Time // when it ends; the zero time is never
}

// maxLifetime fits an int of 32 bits in seconds; every lease is renewed long before.
const maxLifetime = 30 * 365 * 24 * time.Hour

// run brings the interface up and keeps it as its settings have it, until ctx ends. The addresses
// stay then: the next one removes what it does not want. ready is closed when all is done that
// needs nobody's answer.
func (l *link) run(ctx context.Context, s settings, ready chan<- struct{}) {
	if err := l.raise(s); err != nil && !l.radio && !gone(err) { // a radio may be blocked until wpa_supplicant runs
		l.say("%v", err)
	}
	if s.claim {
		// The first interface with a link may be the one that the configuration calls auto.
		l.change(s, func() { l.static, l.v4, l.v6 = State{}, State{}, State{} })
		close(ready)
		l.awaitCarrier(ctx)
		if ctx.Err() != nil {
			return
		}
		s = l.m.claim(l)
		ready = nil
	}
	l.change(s, func() {
		l.static = fromConfig(s.Interface, s.metric)
		l.v4 = State{}
		if s.DHCP && l.ack != nil && (l.until.IsZero() || time.Now().Before(l.until)) {
			l.v4 = fromLease(l.ack, s.metric).without(s.Interface) // kept until a server has given the present ones
		} else {
			l.ack = nil
		}
		if s.DHCP6 == "false" || s.port != "" {
			l.v6 = State{}
		}
	})
	if ready != nil {
		close(ready)
	}
	if s.DHCP6 != "false" && s.port == "" {
		over := make(chan struct{})
		guard.Go(func() {
			defer close(over)
			l.run6(ctx, s)
		})
		defer func() { <-over }()
	}
	if !s.DHCP {
		for l.sleep(ctx, maxLifetime); ctx.Err() == nil; {
			l.sleep(ctx, maxLifetime)
		}
		return
	}
	d := &dhcp{
		mac: net.HardwareAddr(s.mac), hostname: l.m.hostname, now: time.Now, last: l.ack, say: l.say, sleep: l.sleep,
		failed: func() { l.m.unanswered(l) },
		dial: func() (net.PacketConn, error) {
			l.awaitCarrier(ctx)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return nclient4.NewRawUDPConn(l.name, nclient4.ClientPort)
		},
		lease: func(ack *dhcpv4.DHCPv4) {
			if ctx.Err() != nil {
				return
			}
			l.change(s, func() {
				l.ack, l.until, l.v4 = ack, time.Time{}, State{}
				if ack != nil {
					l.v4 = fromLease(ack, s.metric).without(s.Interface)
					if l.v4.Lifetime > 0 {
						l.until = time.Now().Add(l.v4.Lifetime)
					}
				}
			})
		},
	}
	if l.ack != nil {
		d.ends = l.until
		if d.ends.IsZero() {
			d.ends = d.now().Add(maxLifetime)
		}
	}
	d.run(ctx)
}

// change changes by f what the interface is to have, makes the kernel have it, and notes it.
func (l *link) change(s settings, f func()) {
	l.making.Lock()
	defer l.making.Unlock()
	f()
	want := l.want()
	l.make(want)
	l.m.update(l, s, want, l.ack)
}

// want is what the interface is to have. making is held.
func (l *link) want() State {
	s := l.static.add(l.v4)
	if !l.until.IsZero() {
		s.Lifetime = max(time.Until(l.until), time.Second)
	}
	return s.join(l.v6)
}

// run6 asks DHCPv6 where the routers or the configuration ask for it, until ctx ends.
func (l *link) run6(ctx context.Context, s settings) {
	d := &dhcp6{
		mac: net.HardwareAddr(s.mac), now: time.Now, say: l.say, sleep: l.sleep6, held: l.v6.Ends,
		await: func(ctx context.Context) mode6 { return l.await6(ctx, s.DHCP6 == "true") },
		dial: func() (net.PacketConn, error) {
			conn, err := nclient6.NewIPv6UDPConn(l.name, dhcpv6.DefaultClientPort)
			if err != nil {
				return nil, errors.New("the interface has no link-local address yet")
			}
			return conn, nil
		},
		lease: func(got *State) {
			if ctx.Err() != nil {
				return
			}
			l.change(s, func() {
				if l.v6 = (State{}); got != nil {
					l.v6 = got.without(s.Interface)
				}
			})
		},
	}
	d.run(ctx)
}

// await6 waits for a link on which DHCPv6 is to be asked.
func (l *link) await6(ctx context.Context, always bool) mode6 {
	for ctx.Err() == nil {
		l.m.mu.Lock()
		mode := l.m.asked6[l.index]
		l.m.mu.Unlock()
		if always {
			mode = stateful
		}
		if l.carrier.Load() && mode != noDHCP6 {
			return mode
		}
		select {
		case <-l.kick6:
		case <-ctx.Done():
		}
	}
	return noDHCP6
}

// sleep6 is sleep for DHCPv6.
func (l *link) sleep6(ctx context.Context, d time.Duration) (kicked bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.kick6:
		return true
	case <-ctx.Done():
	}
	return false
}

// poke6 wakes the goroutines that wait for a change that matters to DHCPv6.
func (l *link) poke6() {
	select {
	case l.kick6 <- struct{}{}:
	default:
	}
}

func (l *link) say(format string, args ...any) { l.m.say(l.name+": "+format, args...) }

// awaitCarrier waits for a link.
func (l *link) awaitCarrier(ctx context.Context) {
	for !l.carrier.Load() {
		select {
		case <-l.kick:
		case <-ctx.Done():
			return
		}
	}
	// A change from before this moment is not news for the next sleep.
	select {
	case <-l.kick:
	default:
	}
}

// sleep waits, and returns early, with true, when the link changes: a cable moved to another
// network must not keep the address of the old one until half the lease is over. State that the
// kernel dropped while the interface was down is put back.
func (l *link) sleep(ctx context.Context, d time.Duration) (kicked bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.kick:
		if l.up.Load() {
			l.restore()
		}
		return true
	case <-ctx.Done():
	}
	return false
}

// restore makes what was made before, without prolonging what has an end.
func (l *link) restore() {
	l.making.Lock()
	defer l.making.Unlock()
	l.make(l.want())
}

// set notes the kernel's state of the link.
func (l *link) set(carrier, up bool) {
	changed := l.carrier.Swap(carrier) != carrier
	if l.up.Swap(up) != up || changed {
		l.poke6()
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
}

// linkSysctls are set for every interface. 2: k3s switches forwarding on, and then 1 would mean
// that router advertisements are ignored. Routes through a dead link would be taken otherwise
// although another interface has one. And an address must not go because another one of its network
// does.
var linkSysctls = []struct{ name, value string }{
	{"net/ipv6/conf/%s/accept_ra", "2"},
	{"net/ipv4/conf/%s/ignore_routes_with_linkdown", "1"},
	{"net/ipv4/conf/%s/promote_secondaries", "1"},
}

// raise switches the interface on.
func (l *link) raise(s settings) error {
	h, err := netlink.LinkByIndex(l.index)
	if err != nil {
		return err
	}
	for _, k := range linkSysctls {
		sysctl(fmt.Sprintf(k.name, l.name), k.value)
	}
	// The kernel's own default routes are in the same order as ours, and after one that is
	// configured.
	metric := max(s.metric, 1)
	for _, r := range fromConfig(s.Interface, s.metric).Routes {
		if r.To.Bits() == 0 && r.To.Addr().Is6() {
			metric = max(metric, r.Metric+1)
		}
	}
	sysctl(fmt.Sprintf("net/ipv6/conf/%s/ra_defrtr_metric", l.name), strconv.Itoa(metric))
	if s.IgnoreRoutes {
		for _, name := range []string{"accept_ra_defrtr", "accept_ra_rt_info_max_plen"} {
			sysctl(fmt.Sprintf("net/ipv6/conf/%s/%s", l.name, name), "0")
		}
	} else {
		sysctl(fmt.Sprintf("net/ipv6/conf/%s/accept_ra_defrtr", l.name), "1")
	}
	if s.IgnoreRA {
		sysctl(fmt.Sprintf("net/ipv6/conf/%s/accept_ra", l.name), "0")
	}
	l.m.appeared(l.name)
	return netlink.LinkSetUp(h)
}

func sysctl(name, value string) {
	// Not fatal, and not there at all when IPv6 is switched off.
	_ = os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0)
}

// make makes the kernel have want, and reports what it refuses.
func (l *link) make(want State) {
	if err := l.apply(want); err != nil && !gone(err) {
		l.say("%v", err)
	}
}

// gone reports whether an interface is not there any more; the kernel's news of that are on their
// way.
func gone(err error) bool {
	var none netlink.LinkNotFoundError
	return errors.As(err, &none)
}

// apply carries out the plan that leads to want.
func (l *link) apply(want State) error {
	h, err := netlink.LinkByIndex(l.index)
	if gone(err) && len(want.Addresses)+len(want.Routes) == 0 {
		return nil // it went before we took from it what it had
	}
	if err != nil {
		return err
	}
	has, err := l.has(h)
	if err != nil {
		return err
	}
	if l.base == 0 {
		l.base = has.MTU
	}
	if want.MTU == 0 && l.applied.MTU != 0 {
		want.MTU = l.base // what is taken out of the configuration leaves nothing behind
	}
	var errs []error
	for _, op := range plan(l.applied, has, want) {
		if err := l.do(h, op); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", op, err))
		}
	}
	l.applied = want
	return errors.Join(errs...)
}

// do carries out one change. Something that is already gone counts as removed.
func (l *link) do(h netlink.Link, op Op) error {
	switch op.Kind {
	case SetMTU:
		return netlink.LinkSetMTU(h, op.MTU)
	case AddAddress:
		a := &netlink.Addr{IPNet: ipNet(op.Address)}
		if op.Lifetime > 0 {
			// The kernel takes it away by itself should nobody be left to renew it.
			seconds := int(min(op.Lifetime, maxLifetime) / time.Second)
			a.ValidLft, a.PreferedLft = seconds, seconds
			if op.Prefer > 0 {
				a.PreferedLft = min(int(min(op.Prefer, maxLifetime)/time.Second), seconds)
			}
		}
		return netlink.AddrReplace(h, a)
	case AddRoute:
		// A replacement would take the route of another interface, or of a router, with the same
		// metric: the plan removes what this interface is not to have any more.
		if err := netlink.RouteAppend(l.route(op.Route)); err != nil && !errors.Is(err, syscall.EEXIST) {
			return err
		}
	case DelRoute:
		if err := netlink.RouteDel(l.route(op.Route)); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	case DelAddress:
		if err := netlink.AddrDel(h, &netlink.Addr{IPNet: ipNet(op.Address)}); err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return err
		}
	}
	return nil
}

// has reads what the kernel has for the interface, whatever put it there.
func (l *link) has(h netlink.Link) (State, error) {
	s := State{MTU: h.Attrs().MTU}
	addrs, err := netlink.AddrList(h, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return s, fmt.Errorf("reading addresses: %w", err)
	}
	for _, a := range addrs {
		s.Addresses = append(s.Addresses, prefixOf(a.IPNet))
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{LinkIndex: l.index, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return s, fmt.Errorf("reading routes: %w", err)
	}
	for _, r := range routes {
		one := Route{To: prefixOf(r.Dst), Metric: r.Priority}
		one.Via, _ = netip.AddrFromSlice(r.Gw)
		one.Via = one.Via.Unmap()
		if !one.To.IsValid() && one.Via.IsValid() {
			one.To = defaultRoute(one.Via)
		}
		s.Routes = append(s.Routes, one)
	}
	return s, nil
}

func (l *link) route(r Route) *netlink.Route {
	out := &netlink.Route{LinkIndex: l.index, Dst: ipNet(r.To), Priority: r.Metric, Protocol: unix.RTPROT_STATIC}
	if r.Via.IsValid() {
		out.Gw = r.Via.AsSlice()
	} else {
		out.Scope = netlink.SCOPE_LINK
	}
	return out
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefixOf is the way back; for nil it returns the zero Prefix.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, ok := netip.AddrFromSlice(n.IP)
	if v4 := n.IP.To4(); v4 != nil {
		a, ok = netip.AddrFromSlice(v4)
	}
	ones, bits := n.Mask.Size()
	if !ok || bits != a.BitLen() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, ones)
}
