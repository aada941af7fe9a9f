package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"imgbuild/init/contract/config"
)

// server6 is a DHCPv6 server without a network.
type server6 struct {
	addr    string
	life    time.Duration
	refuse  bool // no address, and NoBinding for one that it gave
	silent  bool
	asked   []string
	clients []string
}

type wire6 struct {
	s    *server6
	in   chan []byte
	done chan struct{}
}

func (w *wire6) WriteTo(p []byte, _ net.Addr) (int, error) {
	m, err := dhcpv6.MessageFromBytes(slices.Clone(p))
	if err != nil {
		return 0, err
	}
	s := w.s
	s.asked = append(s.asked, m.Type().String())
	s.clients = append(s.clients, m.Options.ClientID().String())
	if s.silent {
		return len(p), nil
	}
	var r *dhcpv6.Message
	if m.Type() == dhcpv6.MessageTypeSolicit {
		r, err = dhcpv6.NewAdvertiseFromSolicit(m)
	} else {
		r, err = dhcpv6.NewReplyFromMessage(m)
	}
	if err != nil {
		return 0, err
	}
	r.UpdateOption(dhcpv6.OptServerID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}}))
	if ia := m.Options.OneIANA(); ia != nil {
		out := &dhcpv6.OptIANA{IaId: ia.IaId}
		if s.refuse {
			out.Options.Add(&dhcpv6.OptStatusCode{StatusCode: iana.StatusNoBinding})
		} else {
			out.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(s.addr), PreferredLifetime: s.life / 2, ValidLifetime: s.life})
		}
		r.UpdateOption(out)
	}
	r.UpdateOption(dhcpv6.OptDNS(net.ParseIP("fd00::53")))
	w.in <- r.ToBytes()
	return len(p), nil
}

func (w *wire6) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case b := <-w.in:
		return copy(p, b), &net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 547}, nil
	case <-w.done:
		return 0, nil, net.ErrClosed
	}
}

func (w *wire6) Close() error                     { close(w.done); return nil }
func (w *wire6) LocalAddr() net.Addr              { return &net.UDPAddr{Port: 546} }
func (w *wire6) SetDeadline(time.Time) error      { return nil }
func (w *wire6) SetReadDeadline(time.Time) error  { return nil }
func (w *wire6) SetWriteDeadline(time.Time) error { return nil }

// A lease of DHCPv6 over its life: given, renewed, rebound when its server is silent, lost, given
// again, taken back. Time is a number.
func TestDHCP6(t *testing.T) {
	s := &server6{addr: "fd00::1234", life: time.Hour}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	clock := time.Unix(1e9, 0)
	var log []string
	steps := []func(){
		func() {},                  // T1: renewed
		func() { s.silent = true }, // T1: nobody
		func() {},                  // nobody
		func() { clock = clock.Add(5 * time.Minute) }, // after T2: nobody
		func() { clock = clock.Add(3 * time.Hour) },   // the end
		func() { s.silent, s.addr = false, "fd00::5" },
		func() { s.refuse = true }, // T1: taken back
		func() { stop() },
	}
	d := &dhcp6{
		mac: net.HardwareAddr{2, 0, 0, 0, 0, 1}, wait: 5 * time.Millisecond, now: func() time.Time { return clock },
		await: func(context.Context) mode6 { return stateful },
		dial: func() (net.PacketConn, error) {
			return &wire6{s: s, in: make(chan []byte, 16), done: make(chan struct{})}, nil
		},
		say: func(string, ...any) {},
		sleep: func(_ context.Context, d time.Duration) bool {
			clock = clock.Add(d)
			log = append(log, strings.Join(slices.Compact(s.asked), " "))
			s.asked = nil
			if len(steps) == 0 {
				stop()
				return false
			}
			steps[0]()
			steps = steps[1:]
			return false
		},
		lease: func(got *State) {
			text := "lost"
			if got != nil {
				text = fmt.Sprintf("%v for %s dns %v", got.Addresses, got.Ends[got.Addresses[0]].valid.Sub(clock), got.DNS)
			}
			s.asked = append(s.asked, "<"+text+">")
		},
	}
	d.run(ctx)
	want := []string{
		"SOLICIT REQUEST <[fd00::1234/128] for 1h0m0s dns [fd00::53]>",
		"RENEW <[fd00::1234/128] for 1h0m0s dns [fd00::53]>",
		"RENEW", "RENEW", "REBIND",
		"<lost> SOLICIT",
		"SOLICIT REQUEST <[fd00::5/128] for 1h0m0s dns [fd00::53]>",
		"RENEW <lost> SOLICIT",
	}
	if !slices.Equal(log, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(log, "\n"), strings.Join(want, "\n"))
	}
	if c := slices.Compact(s.clients); len(c) != 1 {
		t.Errorf("the client is called %q, want length 1", c)
	}
}

// A change of the configuration, or a cable that comes back, asks for the same address first.
func TestDHCP6Again(t *testing.T) {
	s := &server6{addr: "fd00::1234", life: time.Hour}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	d := &dhcp6{
		mac: net.HardwareAddr{2, 0, 0, 0, 0, 1}, wait: 5 * time.Millisecond, now: time.Now, say: t.Logf,
		held:  map[netip.Prefix]end{p4("fd00::1234/128"): {valid: time.Now().Add(time.Hour)}},
		await: func(context.Context) mode6 { return stateful },
		dial: func() (net.PacketConn, error) {
			return &wire6{s: s, in: make(chan []byte, 16), done: make(chan struct{})}, nil
		},
		sleep: func(context.Context, time.Duration) bool { stop(); return false }, lease: func(*State) {},
	}
	d.run(ctx)
	if !slices.Equal(s.asked, []string{"REBIND"}) {
		t.Errorf("it asks %q", s.asked)
	}
	// Names alone.
	s.asked = nil
	ctx, stop = context.WithCancel(t.Context())
	var got *State
	d.await, d.lease = func(context.Context) mode6 { return namesOnly }, func(s *State) { got = s }
	d.run(ctx)
	if !slices.Equal(s.asked, []string{"INFORMATION-REQUEST"}) || got == nil || len(got.Addresses) != 0 || len(got.DNS) != 1 {
		t.Errorf("it asks %q and gets %+v", s.asked, got)
	}
	// Nobody there.
	s.silent = true
	ctx, stop = context.WithCancel(t.Context())
	if _, err := d.exchange(ctx, dhcpv6.MessageTypeSolicit, nil); err == nil || err.Error() != "no server answers" {
		t.Errorf("%v", err)
	}
	d.dial = func() (net.PacketConn, error) { return nil, errors.New("no address") }
	if _, err := d.exchange(ctx, dhcpv6.MessageTypeSolicit, nil); err == nil {
		t.Error("it asks without an address")
	}
	stop()
}

func FuzzReply6(f *testing.F) {
	m, _ := dhcpv6.NewMessage()
	m.AddOption(&dhcpv6.OptIANA{Options: dhcpv6.IdentityOptions{Options: dhcpv6.Options{&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("fd00::1"), PreferredLifetime: time.Hour, ValidLifetime: time.Hour}}}})
	f.Add(m.ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := dhcpv6.MessageFromBytes(b)
		if err != nil {
			return
		}
		s := fromReply6(m, time.Unix(0, 0))
		for _, p := range s.Addresses {
			if p.Bits() != 128 || !p.Addr().IsGlobalUnicast() || p.Addr().Is4() {
				t.Errorf("address %s", p)
			}
		}
		if x := times6(m); len(s.Addresses) > 0 && (x.renew <= 0 || x.renew > x.rebind || x.lease < 10*time.Second) {
			t.Errorf("%+v", x)
		}
	})
}

// news makes the kernel's news about an address.
func news6(index int, p string, flags int, isNew bool) netlink.AddrUpdate {
	return netlink.AddrUpdate{LinkAddress: *ipNet(netip.MustParsePrefix(p)), LinkIndex: index, Flags: flags, NewAddr: isNew}
}

// A network of IPv6 alone counts as up; where DHCP may still answer, not before it had its time.
func TestIPv6Counts(t *testing.T) {
	const index = 1 << 30
	for _, c := range []struct {
		name string
		set  config.Interface
		do   func(m *Manager, l *link)
		up   bool
	}{
		{"nothing", config.Interface{DHCP: true}, func(*Manager, *link) {}, false},
		{"formed, no DHCP", config.Interface{DHCP6: "true"}, func(m *Manager, l *link) { m.handleAddress(news6(index, "fd00::2/64", 0, true)) }, true},
		{"formed, DHCP not yet answered", config.Interface{DHCP: true}, func(m *Manager, l *link) { m.handleAddress(news6(index, "fd00::2/64", 0, true)) }, false},
		{"formed, DHCP silent", config.Interface{DHCP: true}, func(m *Manager, l *link) {
			m.handleAddress(news6(index, "fd00::2/64", 0, true))
			m.unanswered(l)
		}, true},
		{"formed, and IPv4", config.Interface{DHCP: true}, func(m *Manager, l *link) {
			m.handleAddress(news6(index, "fd00::2/64", 0, true))
			lease(m, l, 2)
		}, true},
		{"not yet sure", config.Interface{}, func(m *Manager, l *link) {
			m.handleAddress(news6(index, "fd00::2/64", unix.IFA_F_TENTATIVE, true))
		}, false},
		{"somebody else's", config.Interface{}, func(m *Manager, l *link) {
			m.handleAddress(news6(index, "fd00::2/64", unix.IFA_F_DADFAILED, true))
		}, false},
		{"of the link alone", config.Interface{}, func(m *Manager, l *link) { m.handleAddress(news6(index, "fe80::2/64", 0, true)) }, false},
		{"gone again", config.Interface{}, func(m *Manager, l *link) {
			m.handleAddress(news6(index, "fd00::2/64", 0, true))
			m.handleAddress(news6(index, "fd00::2/64", 0, false))
		}, false},
		{"of DHCPv6", config.Interface{DHCP6: "true"}, func(m *Manager, l *link) {
			m.update(l, *l.set0, State{Addresses: []netip.Prefix{p4("fd00::5/128")}}, nil)
			m.handleAddress(news6(index, "fd00::5/128", 0, true))
		}, true},
	} {
		c.set.Name = "eth0"
		m := leased(t, &config.Config{Network: config.Network{Interfaces: []config.Interface{c.set}}}, "eth0")
		l := m.links[index]
		m.update(l, *l.set0, State{}, nil)
		c.do(m, l)
		if len(m.Status()[0].Addresses) > 2 {
			t.Errorf("%s: %s", c.name, m.Status()[0])
		}
		wants := c.set.DHCP || c.set.DHCP6 == "true"
		if err := isUp(m); (err == nil) != c.up && (wants || c.up) {
			t.Errorf("%s: up %v, want %v: %v", c.name, err == nil, c.up, err)
		}
	}
	s := Status{Name: "eth0", Carrier: true, Server: "192.0.2.1", Addresses: []netip.Prefix{p4("fd00::2/64"), p4("192.0.2.2/24")}}
	if got := s.String(); got != "eth0: 192.0.2.2/24 by dhcp from 192.0.2.1, fd00::2/64" {
		t.Error(got)
	}
}

// Name servers and time servers of the way out come first, whatever the interfaces are called.
func TestRanked(t *testing.T) {
	m := New(&config.Config{}, "", t.TempDir()+"/resolv.conf", t.Logf)
	add := func(name string, carrier bool, metric int, gate string) {
		own := netip.MustParseAddr("192.0.2." + name[len(name)-1:])
		s := Status{Name: name, Carrier: carrier, metric: metric, State: State{DNS: []netip.Addr{own}, NTP: []string{own.String()}}}
		if gate != "" {
			g := netip.MustParseAddr(gate)
			s.State.Routes = []Route{{To: defaultRoute(g), Via: g, Metric: metric}}
		}
		m.status[name] = s
	}
	add("eth1", true, 50, "")             // no way out
	add("eth2", true, 300, "192.0.2.254") // the second way out
	add("eth3", false, 1, "192.0.2.254")  // no cable
	add("eth9", true, 100, "fd00::1")     // the first way out
	formed := Status{Name: "eth4", formed: true, Carrier: true, metric: 200, Addresses: []netip.Prefix{p4("fd00::2/64")}, State: State{DNS: []netip.Addr{ip("192.0.2.4")}, NTP: []string{"192.0.2.4"}}}
	m.status["eth4"] = formed // its route is the kernel's
	servers, _ := m.names()
	want := []string{"192.0.2.9", "192.0.2.4", "192.0.2.2", "192.0.2.1", "192.0.2.3"}
	var got []string
	for _, a := range servers {
		got = append(got, a.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("name servers %q, want %q", got, want)
	}
	if got := m.NTPServers(); !slices.Equal(got, want) {
		t.Errorf("time servers %q, want %q", got, want)
	}
}

// Both gateways, and only one route to a network with one metric.
func TestDualStack(t *testing.T) {
	s := fromConfig(config.Interface{Addresses: []string{"10.0.0.2/24", "fd00::2/64"}, Gateway: "10.0.0.1", Gateway6: "fd00::1",
		Routes: []config.Route{{To: "default", Via: "10.0.0.9"}, {To: "default", Via: "fe80::1", Metric: 5}, {To: "10.8.0.0/16", Via: "10.7.0.1"}}}, 100)
	want := []Route{{p4("0.0.0.0/0"), ip("10.0.0.1"), 100}, {p4("::/0"), ip("fd00::1"), 100}, {p4("::/0"), ip("fe80::1"), 5},
		{p4("10.7.0.1/32"), netip.Addr{}, 100}, {p4("10.8.0.0/16"), ip("10.7.0.1"), 100}}
	if !slices.Equal(s.Routes, want) {
		t.Errorf("got %v, want %v", s.Routes, want)
	}
	if s := (State{Routes: want, DNS: []netip.Addr{ip("10.0.0.1")}, Search: []string{"lan"}}).without(config.Interface{IgnoreRoutes: true, IgnoreDNS: true}); len(s.Routes)+len(s.DNS)+len(s.Search) != 0 {
		t.Errorf("%+v is left: got %v, want 0", s, len(s.Routes)+len(s.DNS)+len(s.Search))
	}
}

// A default route of either family is one; one that only means that there is no way is none.
func TestIsDefault(t *testing.T) {
	v4, v6 := ipNet(p4("0.0.0.0/0")), ipNet(p4("::/0"))
	for i, c := range []struct {
		r    netlink.Route
		want bool
	}{
		{netlink.Route{Dst: v4}, true}, {netlink.Route{Dst: v6, Type: unix.RTN_UNICAST}, true}, {netlink.Route{}, true},
		{netlink.Route{Dst: v6, Type: unix.RTN_UNREACHABLE}, false}, {netlink.Route{Dst: ipNet(p4("fd00::/64"))}, false}, {netlink.Route{Dst: ipNet(p4("0.0.0.0/1"))}, false},
	} {
		if isDefault(c.r) != c.want {
			t.Errorf("%d: not %v", i, c.want)
		}
	}
	const dummy = 7
	nowhere := netlink.Route{LinkIndex: dummy, Gw: dummyGate.AsSlice(), Priority: dummyMetric, Dst: v4}
	if !overtaken([]netlink.Route{nowhere, {LinkIndex: 2, Dst: v6, Type: unix.RTN_UNICAST}}, dummy) {
		t.Error("a way out by IPv6 is none")
	}
}

func TestFlags(t *testing.T) {
	attr := func(kind uint16, body []byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(body)))
		return append(binary.NativeEndian.AppendUint16(b, kind), body...)
	}
	make6 := func(index int32, flags uint32) []byte {
		head := make([]byte, unix.SizeofIfInfomsg)
		head[0] = unix.AF_INET6
		binary.NativeEndian.PutUint32(head[4:], uint32(index))
		return append(head, attr(unix.IFLA_PROTINFO, attr(inet6Flags, binary.NativeEndian.AppendUint32(nil, flags)))...)
	}
	m := New(&config.Config{}, "", "", t.Logf)
	l := &link{name: "eth0", index: 3, kick6: make(chan struct{}, 1), m: m}
	l.carrier.Store(true)
	m.links[3] = l
	for _, c := range []struct {
		flags uint32
		want  mode6
	}{{0, noDHCP6}, {raManaged, stateful}, {raOtherConfig, namesOnly}, {raManaged | raOtherConfig, stateful}} {
		m.handleFlags(make6(3, c.flags))
		if m.asked6[3] != c.want {
			t.Errorf("%#x gives %d, want %d", c.flags, m.asked6[3], c.want)
		}
	}
	if len(l.kick6) != 1 || l.await6(t.Context(), false) != stateful {
		t.Error("nobody is woken")
	}
	for _, b := range [][]byte{nil, {10}, make([]byte, 16), make6(3, 0)[:20]} {
		if _, _, ok := parseFlags(b); ok {
			t.Errorf("%x has flags", b)
		}
	}
}
