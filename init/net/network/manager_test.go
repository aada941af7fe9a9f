package network

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"imgbuild/init/contract/config"
)

// leased is a Manager with cards that have a lease, as after a boot. The kernel knows none of them.
func leased(t *testing.T, cfg *config.Config, cards ...string) *Manager {
	t.Helper()
	m := New(cfg, "shelf-1", filepath.Join(t.TempDir(), "resolv.conf"), t.Logf)
	for i, name := range cards {
		l := &link{name: name, mac: net.HardwareAddr{2, 0, 0, 0, 0, byte(i + 1)}, index: 1<<30 + i, wired: true, m: m, kick: make(chan struct{}, 1)}
		l.carrier.Store(true)
		m.links[l.index] = l
		m.mu.Lock()
		l.set0 = m.settings(l)
		m.status[name] = Status{Name: name, MAC: l.mac.String(), Carrier: true, DHCP: l.set0.DHCP, of: key(l.set0.Interface)}
		m.mu.Unlock()
		lease(m, l, byte(i+2))
	}
	return m
}

func lease(m *Manager, l *link, host byte) {
	own := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, host}), 24)
	m.update(l, *l.set0, State{Addresses: []netip.Prefix{own}, Leased: []netip.Prefix{own}, Lifetime: time.Hour}, nil)
}

func isUp(m *Manager) error {
	ctx, over := context.WithCancel(context.Background())
	over()
	return m.Wait(ctx)
}

// A change that has nothing to do with the network leaves it up, and what is in the way of an
// interface is still reported.
func TestApplyStaysUp(t *testing.T) {
	m := leased(t, &config.Config{}, "eth0", "eth1")
	if err := isUp(m); err != nil {
		t.Fatal(err)
	}
	m.Apply(&config.Config{Hostname: "other"})
	if err := isUp(m); err != nil {
		t.Errorf("after a change of something else: %v", err)
	}
	want := &config.Config{Network: config.Network{Interfaces: []config.Interface{{Name: "eth9", DHCP: true}}}}
	m.Apply(want)
	if err := isUp(m); err == nil || !strings.Contains(err.Error(), "there is no interface eth9") {
		t.Errorf("an interface that is missing: %v", err)
	}
	want.Network.Interfaces[0].Optional = true
	m.Apply(want)
	if err := isUp(m); err != nil {
		t.Errorf("one that is optional: %v", err)
	}
}

// A port has no address and needs none.
func TestPort(t *testing.T) {
	m := leased(t, &config.Config{}, "eth0", "eth1")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	m.ctx = ctx
	m.cfg = &config.Config{Network: config.Network{Bonds: []config.Bond{{Name: "bond7", Ports: []string{"eth1"}}}}}
	m.kernel = newFakeKernel("eth0", "eth1").kernel()
	m.Apply(m.cfg)
	if s := m.Status(); len(s) != 2 || s[1].String() != "eth1: a port of bond7" {
		t.Errorf("%v", s)
	}
	if err := isUp(m); err != nil {
		t.Error(err)
	}
}

// An interface counts for the settings that it has, whatever way they name it.
func TestWaitFor(t *testing.T) {
	for _, c := range []config.Interface{{Name: "eth1", DHCP: true}, {Name: "auto", DHCP: true}, {MAC: "02:00:00:00:00:02", Name: "auto", DHCP: true}} {
		m := leased(t, &config.Config{Network: config.Network{Interfaces: []config.Interface{c}}}, "eth1")
		if c.MAC != "" {
			m = leased(t, m.cfg, "eth0", "eth1")
		}
		if err := isUp(m); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		for _, l := range m.links {
			m.update(l, *l.set0, State{}, nil)
		}
		if err := isUp(m); err == nil || !strings.Contains(err.Error(), "eth1: no answer from a dhcp server") {
			t.Errorf("%+v without a lease: %v", c, err)
		}
	}
}

// linkEvent makes an event of the kernel.
func linkEvent(kind uint16, family uint8, index int, name string, mac net.HardwareAddr, flags uint32) netlink.LinkUpdate {
	a := netlink.NewLinkAttrs()
	a.Index, a.Name, a.HardwareAddr, a.RawFlags, a.EncapType = index, name, mac, flags, "ether"
	u := netlink.LinkUpdate{Link: &netlink.Device{LinkAttrs: a}}
	u.Header.Type, u.IfInfomsg.Family = kind, family
	return u
}

// A port that leaves its bridge is reported like an interface that goes away, except for the
// family; a real one takes the VLAN on it along.
func TestGone(t *testing.T) {
	m := leased(t, &config.Config{}, "eth0")
	k := newFakeKernel("eth0")
	m.kernel, m.cfg = k.kernel(), &config.Config{Network: config.Network{VLANs: []config.VLAN{{Name: "eth0.5", Parent: "eth0", ID: 5}}}}
	m.made["eth0.5"], m.madeAs["eth0.5"] = device{kind: "vlan", name: "eth0.5", parent: "eth0", id: 5}, 1<<30+7
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	m.handle(linkEvent(unix.RTM_DELLINK, unix.AF_BRIDGE, 1<<30, "eth0", mac, 0))
	if len(m.Status()) != 1 {
		t.Error("it is gone although it only left its bridge")
	}
	m.handle(linkEvent(unix.RTM_DELLINK, unix.AF_UNSPEC, 1<<30+6, "eth0.5", mac, 0))
	if len(m.made) != 1 {
		t.Errorf("the end of an earlier one of that name is taken for the end of what was made again, which makes it again for ever: got %v, want 1", len(m.made))
	}
	delete(k.links, "eth0")
	m.handle(linkEvent(unix.RTM_DELLINK, unix.AF_UNSPEC, 1<<30+7, "eth0.5", mac, 0))
	if len(m.made) != 0 {
		t.Errorf("a VLAN that went with its card is thought to be there, and never made again: got %v, want 0", len(m.made))
	}
	m.handle(linkEvent(unix.RTM_DELLINK, unix.AF_UNSPEC, 1<<30, "eth0", mac, 0))
	if len(m.Status()) != 0 || isUp(m) == nil {
		t.Error("a card that was unplugged is still there")
	}
}

// A bridge takes the address of a port that comes later: a lease of before is not its own.
func TestAddressChanges(t *testing.T) {
	m := leased(t, &config.Config{}, "eth0")
	l := m.links[1<<30]
	l.ack = &dhcpv4.DHCPv4{}
	ctx, stop := context.WithCancel(t.Context())
	m.ctx = ctx
	other := net.HardwareAddr{2, 0, 0, 0, 9, 9}
	m.handle(linkEvent(unix.RTM_NEWLINK, unix.AF_UNSPEC, 1<<30, "eth0", other, unix.IFF_UP|unix.IFF_LOWER_UP))
	if s := m.Status(); len(s) != 1 || s[0].MAC != other.String() || len(s[0].Addresses) != 0 {
		t.Errorf("%+v", s)
	}
	m.mu.Lock()
	over := l.over
	m.mu.Unlock()
	stop()
	<-over
	if l.ack != nil {
		t.Errorf("the lease of the old address is kept: got %v, want nil", l.ack)
	}
}

func TestLinked(t *testing.T) {
	const lower, running = unix.IFF_LOWER_UP, unix.IFF_RUNNING
	for _, c := range []struct {
		flags uint32
		radio bool
		want  bool
	}{{0, false, false}, {lower, false, true}, {lower, true, false}, {lower | running, true, true}, {running, true, false}} {
		if linked(c.flags, c.radio) != c.want {
			t.Errorf("%+v", c)
		}
	}
}

// With two cables in, it is the first card that is called auto, after a change as after a boot.
func TestAuto(t *testing.T) {
	auto := &config.Config{Network: config.Network{Interfaces: []config.Interface{{Name: "auto", Addresses: []string{"192.0.2.9/24"}}}}}
	for range 20 {
		m := leased(t, &config.Config{}, "eth0", "eth1", "eth2")
		ctx, stop := context.WithCancel(t.Context())
		m.ctx = ctx
		m.links[1<<30].carrier.Store(false) // no cable
		m.Apply(auto)
		stop()
		if m.auto != "eth1" {
			t.Fatalf("auto is %q, want %q", m.auto, "eth1")
		}
		if data, err := os.ReadFile(m.resolvConf); err != nil || len(data) == 0 {
			t.Fatal(err)
		}
	}
}

// A way out that comes after k3s is distinguished from the one that leads nowhere.
func TestOvertaken(t *testing.T) {
	const dummy, eth0 = 7, 2
	nowhere := netlink.Route{LinkIndex: dummy, Gw: dummyGate.AsSlice(), Priority: dummyMetric, Dst: ipNet(defaultRoute(dummyGate))}
	out := netlink.Route{LinkIndex: eth0, Gw: net.IPv4(192, 0, 2, 1), Priority: 1002}
	lan := netlink.Route{LinkIndex: eth0, Dst: ipNet(netip.MustParsePrefix("192.0.2.0/24"))}
	dead := out
	dead.Flags = unix.RTNH_F_LINKDOWN
	theirs := netlink.Route{LinkIndex: dummy, Gw: net.IPv4(10, 0, 0, 1)} // of a dummy0 that somebody else made
	for i, c := range []struct {
		routes []netlink.Route
		want   bool
	}{{nil, false}, {[]netlink.Route{nowhere}, false}, {[]netlink.Route{nowhere, lan}, false}, {[]netlink.Route{nowhere, dead}, false},
		{[]netlink.Route{out, lan}, false}, {[]netlink.Route{theirs, out}, false}, {[]netlink.Route{lan, out, nowhere}, true}} {
		if overtaken(c.routes, dummy) != c.want {
			t.Errorf("%d: not %v", i, c.want)
		}
	}
}

// Advice fits what the node has.
func TestAdvice(t *testing.T) {
	m := leased(t, &config.Config{}, "wlan0")
	m.update(m.links[1<<30], *m.links[1<<30].set0, State{}, nil)
	if err := isUp(m); err == nil || strings.Contains(err.Error(), "passphrase") {
		t.Errorf("a cable: %v", err)
	}
	s := m.status["wlan0"]
	s.WiFi, s.Carrier, s.Note = true, false, "none of the configured Wi-Fi networks is in reach"
	m.status["wlan0"] = s
	if err := isUp(m); err == nil || !strings.Contains(err.Error(), "wlan0: none of the configured Wi-Fi networks is in reach; check name and passphrase") {
		t.Errorf("a radio: %v", err)
	}
}
