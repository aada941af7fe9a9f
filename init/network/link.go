package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"imgbuild/init/config"
)

// link is one interface that the Manager runs, with its goroutine.
type link struct {
	name    string
	mac     net.HardwareAddr
	index   int
	m       *Manager
	cancel  context.CancelFunc
	carrier atomic.Bool
	kick    chan struct{} // one slot: carrier changed
	applied State         // what the kernel has from us; only the goroutine uses it
}

// maxLifetime fits an int of 32 bits in seconds; every lease is renewed long before.
const maxLifetime = 30 * 365 * 24 * time.Hour

// run brings the interface up and keeps it as its settings say, until ctx ends. The addresses stay then: who ends us may
// still need them.
func (l *link) run(ctx context.Context) {
	if err := l.up(0); err != nil {
		l.m.say("%s: %v", l.name, err)
	}
	settings, explicit := l.m.settings(l.name, l.mac.String())
	if !explicit {
		// Whoever has a link first may be the one that the configuration calls auto.
		l.awaitCarrier(ctx)
		if ctx.Err() != nil {
			return
		}
		settings = l.m.claim(l.name)
	}
	static := fromConfig(settings.Interface, settings.metric)
	if err := l.apply(static); err != nil {
		l.m.say("%s: %v", l.name, err)
	}
	l.m.update(l, settings, static, nil)
	if !settings.DHCP {
		<-ctx.Done()
		return
	}
	d := &dhcp{
		mac: l.mac, hostname: l.m.hostname, now: time.Now,
		say: func(format string, args ...any) { l.m.say(l.name+": "+format, args...) },
		dial: func() (net.PacketConn, error) {
			l.awaitCarrier(ctx)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return nclient4.NewRawUDPConn(l.name, nclient4.ClientPort)
		},
		sleep: l.sleep,
		lease: func(ack *dhcpv4.DHCPv4) {
			want := static
			if ack != nil {
				want = static.add(fromLease(ack, settings.metric))
			}
			if err := l.apply(want); err != nil {
				l.m.say("%s: %v", l.name, err)
			}
			l.m.update(l, settings, want, ack)
		},
	}
	d.run(ctx)
}

// awaitCarrier waits for a link.
func (l *link) awaitCarrier(ctx context.Context) {
	for !l.carrier.Load() {
		select {
		case <-l.kick:
		case <-ctx.Done():
			return
		}
	}
	// A change from before this moment is no news for who sleeps next.
	select {
	case <-l.kick:
	default:
	}
}

// sleep waits, and returns early, with true, when the link changes: a cable moved to another network must not keep the address of the
// old one until half the lease is over.
func (l *link) sleep(ctx context.Context, d time.Duration) (kicked bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.kick:
		return true
	case <-ctx.Done():
	}
	return false
}

// set notes what the kernel says about the link.
func (l *link) set(carrier bool) {
	if l.carrier.Swap(carrier) != carrier {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
}

// up switches the interface on.
func (l *link) up(mtu int) error {
	h, err := netlink.LinkByIndex(l.index)
	if err != nil {
		return err
	}
	if mtu != 0 && h.Attrs().MTU != mtu {
		if err := netlink.LinkSetMTU(h, mtu); err != nil {
			return fmt.Errorf("mtu %d: %w", mtu, err)
		}
	}
	// k3s switches forwarding on, and then 1 would mean that router advertisements are ignored.
	sysctl("net/ipv6/conf/"+l.name+"/accept_ra", "2")
	return netlink.LinkSetUp(h)
}

func sysctl(name, value string) {
	// Not fatal, and not there at all when IPv6 is switched off.
	_ = os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0)
}

// apply makes the kernel have want: first what is new, then away with what is not wanted any more, so that a connection
// survives a change of what it does not use.
func (l *link) apply(want State) error {
	errs := []error{l.up(want.MTU)}
	h, err := netlink.LinkByIndex(l.index)
	if err != nil {
		return err
	}
	for _, p := range want.Addresses {
		a := &netlink.Addr{IPNet: ipNet(p)}
		if want.Lifetime > 0 && !slices.Contains(l.m.static(l.name), p) {
			// The kernel takes it away by itself should nobody be left to renew it.
			seconds := int(min(want.Lifetime, maxLifetime) / time.Second)
			a.ValidLft, a.PreferedLft = seconds, seconds
		}
		if err := netlink.AddrReplace(h, a); err != nil {
			errs = append(errs, fmt.Errorf("address %s: %w", p, err))
		}
	}
	for _, r := range want.Routes {
		if err := netlink.RouteReplace(l.route(r)); err != nil {
			errs = append(errs, fmt.Errorf("route to %s: %w", r.To, err))
		}
	}
	for _, r := range l.applied.Routes {
		if !slices.Contains(want.Routes, r) {
			if err := netlink.RouteDel(l.route(r)); err != nil && !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, fmt.Errorf("removing the route to %s: %w", r.To, err))
			}
		}
	}
	for _, p := range l.applied.Addresses {
		if !slices.Contains(want.Addresses, p) {
			if err := netlink.AddrDel(h, &netlink.Addr{IPNet: ipNet(p)}); err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
				errs = append(errs, fmt.Errorf("removing the address %s: %w", p, err))
			}
		}
	}
	l.applied = want
	return errors.Join(errs...)
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

// wired says whether an interface is a piece of hardware with an Ethernet plug: not loopback, bridge, veth of a pod, or Wi-Fi.
func wired(a *netlink.LinkAttrs) bool {
	if a.Flags&net.FlagLoopback != 0 || a.EncapType != "ether" || len(a.HardwareAddr) != 6 {
		return false
	}
	dir := filepath.Join("/sys/class/net", a.Name)
	for _, radio := range []string{"wireless", "phy80211"} {
		if _, err := os.Stat(filepath.Join(dir, radio)); err == nil {
			return false
		}
	}
	_, err := os.Stat(filepath.Join(dir, "device"))
	return err == nil
}

// settings of an interface: what the configuration says, or DHCP.
type settings struct {
	config.Interface
	metric int
}

// find gives the settings that name an interface by MAC or, where they have none, by name. ok is false when none do.
func find(list []config.Interface, name, mac string) (s settings, ok bool) {
	for i, c := range list {
		if c.MAC != "" && c.MAC == mac || c.MAC == "" && c.Name == name && name != "auto" {
			return settings{c, metricOf(c, i)}, true
		}
	}
	return settings{}, false
}

// The lowest metric wins: what is configured, in its order, before what is not; both behind what somebody sets by hand.
const (
	firstMetric   = 100
	defaultMetric = 1000
)

func metricOf(c config.Interface, i int) int {
	if c.Metric != 0 {
		return c.Metric
	}
	return firstMetric + i
}

// plain is an interface that the configuration does not mention.
func plain(name string, index int) settings {
	return settings{config.Interface{Name: name, DHCP: true, Optional: true}, defaultMetric + index}
}

// key names settings in a list of what a boot waits for.
func key(c config.Interface) string {
	switch {
	case c.MAC != "":
		return c.MAC
	case c.Name != "":
		return c.Name
	}
	return "auto"
}
