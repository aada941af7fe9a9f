package network

import (
	"net"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"imgbuild/init/contract/config"
)

func TestLeaseTimes(t *testing.T) {
	sec := func(n int) time.Duration { return time.Duration(n) * time.Second }
	for _, c := range []struct{ renew, rebind, lease, wantRenew, wantRebind, wantLease int }{
		{0, 0, 3600, 1800, 3150, 3600},
		{100, 200, 3600, 100, 200, 3600},
		{4000, 5000, 3600, 1575, 3150, 3600}, // both after the end
		{300, 200, 3600, 100, 200, 3600},     // the wrong way round
		{0, 0, 1, 5, 8, 10},                  // too short to live with
	} {
		ack, err := dhcpv4.New(dhcpv4.WithLeaseTime(uint32(c.lease)))
		if err != nil {
			t.Fatal(err)
		}
		if c.renew != 0 {
			ack.UpdateOption(dhcpv4.OptRenewTimeValue(sec(c.renew)))
			ack.UpdateOption(dhcpv4.OptRebindingTimeValue(sec(c.rebind)))
		}
		got := leaseTimes(ack)
		if got.renew.Truncate(time.Second) != sec(c.wantRenew) || got.rebind.Truncate(time.Second) != sec(c.wantRebind) || got.lease != sec(c.wantLease) {
			t.Errorf("%+v: got %+v", c, got)
		}
	}
}

func TestFromLease(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	_, net10, _ := net.ParseCIDR("10.0.0.0/8")
	_, any4, _ := net.ParseCIDR("0.0.0.0/0")
	q, err := dhcpv4.NewDiscovery(net.HardwareAddr{2, 0, 0, 0, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	ack := reply(q, 1, "192.0.2.50", time.Hour,
		dhcpv4.WithNetmask(net.CIDRMask(25, 32)), dhcpv4.WithRouter(net.IPv4(192, 0, 2, 99)),
		dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
			&dhcpv4.Route{Dest: net10, Router: net.IPv4(192, 0, 2, 2)},
			&dhcpv4.Route{Dest: any4, Router: net.IPv4(203, 0, 113, 1)},
			&dhcpv4.Route{Dest: net10, Router: net.IPv4zero})),
		dhcpv4.WithDNS(net.IPv4(192, 0, 2, 3), net.IPv4zero),
		dhcpv4.WithOption(dhcpv4.OptNTPServers(net.IPv4(192, 0, 2, 4))),
		dhcpv4.WithDomainSearchList("LAN.", "bad name", "x\nnameserver 6.6.6.6", "lan"),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{5, 0xAA})))
	got := fromLease(ack, 5)
	want := State{
		Addresses: []netip.Prefix{p("192.0.2.50/25")},
		Routes: []Route{
			{p("10.0.0.0/8"), a("192.0.2.2"), 5},
			{p("203.0.113.1/32"), netip.Addr{}, 5}, // the gateway is not in our network
			{p("0.0.0.0/0"), a("203.0.113.1"), 5},
			{p("10.0.0.0/8"), netip.Addr{}, 5},
		},
		DNS: []netip.Addr{a("192.0.2.3")}, NTP: []string{"192.0.2.4"}, Search: []string{"lan"}, MTU: 1450, Leased: []netip.Prefix{p("192.0.2.50/25")}, Lifetime: time.Hour,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	// Without a mask the address's class counts, without a router there is no route.
	got = fromLease(reply(q, 1, "10.1.2.3", time.Hour, dhcpv4.WithGeneric(dhcpv4.OptionDomainName, []byte("home.arpa"))), 5)
	if got.Addresses[0] != p("10.1.2.3/8") || got.Routes != nil || !reflect.DeepEqual(got.Search, []string{"home.arpa"}) {
		t.Errorf("got %+v", got)
	}
	// MTU out of range is no MTU.
	got = fromLease(reply(q, 1, "10.1.2.3", time.Hour, dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{0, 68})), 5)
	if got.MTU != 0 {
		t.Errorf("mtu %d", got.MTU)
	}
}

func TestFromConfig(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	got := fromConfig(config.Interface{
		Addresses: []string{"192.168.1.10/24", "fd00::10/64"}, Gateway: "192.168.1.1", DNS: []string{"192.168.1.1", "nonsense"},
		Search: []string{"lan"}, MTU: 1400,
		Routes: []config.Route{{To: "10.8.0.0/16", Via: "192.168.1.2"}, {To: "default", Via: "fd00::1", Metric: 9}, {To: "10.9.0.1/16"}, {To: "rubbish"}},
	}, 100)
	want := State{
		Addresses: []netip.Prefix{p("192.168.1.10/24"), p("fd00::10/64")},
		Routes: []Route{
			{p("0.0.0.0/0"), a("192.168.1.1"), 100}, {p("10.8.0.0/16"), a("192.168.1.2"), 100},
			{p("::/0"), a("fd00::1"), 9}, {p("10.9.0.0/16"), netip.Addr{}, 100},
		},
		DNS: []netip.Addr{a("192.168.1.1")}, Search: []string{"lan"}, MTU: 1400,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestFind(t *testing.T) {
	list := []config.Interface{{Name: "eth0", Metric: 7}, {MAC: "02:00:00:00:00:01", Name: "eth5"}, {Name: "auto"}}
	for _, c := range []struct {
		name, mac string
		want      int // -1: none
		metric    int
	}{
		{"eth0", "02:00:00:00:00:09", 0, 7},
		{"end0", "02:00:00:00:00:01", 1, 101},
		{"eth5", "02:00:00:00:00:08", -1, 0}, // the name does not count where there is a MAC
		{"auto", "02:00:00:00:00:08", -1, 0},
	} {
		s, ok := find(list, c.name, c.mac)
		if ok != (c.want >= 0) || ok && (!reflect.DeepEqual(s.Interface, list[c.want]) || s.metric != c.metric) {
			t.Errorf("%s %s: got %+v %v", c.name, c.mac, s, ok)
		}
	}
	m := New(&config.Config{Network: config.Network{Interfaces: list}}, "", "", nil)
	if s := m.claim(&link{name: "end1"}); s.Name != "auto" || s.metric != 102 {
		t.Errorf("first claim %+v, want Name %q and metric 102", s, "auto")
	}
	if s := m.claim(&link{name: "end2"}); s.Name != "end2" || !s.DHCP || !s.Optional {
		t.Errorf("second claim %+v", s)
	}
	if s := m.claim(&link{name: "end1"}); s.Name != "auto" {
		t.Errorf("third claim %+v, want Name %q", s, "auto")
	}
}

func TestResolvConf(t *testing.T) {
	path := t.TempDir() + "/resolv.conf"
	cfg := &config.Config{K3OS: config.K3OS{DNSNameservers: []string{"8.8.8.8"}}}
	m := New(cfg, "h", path, t.Errorf)
	check := func(want string) {
		t.Helper()
		m.mu.Lock()
		m.writeResolvConf()
		m.mu.Unlock()
		data, err := os.ReadFile(path)
		_, got, _ := strings.Cut(string(data), "\n")
		if err != nil || got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
	check("nameserver 8.8.8.8\n")
	m.status["eth1"] = Status{Name: "eth1", State: State{DNS: []netip.Addr{netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("fe80::1%eth1")}, Search: []string{"lan", "lan"}}}
	check("nameserver 192.0.2.3\nnameserver fe80::1%eth1\nsearch lan\n")
	m.status["eth0"] = Status{Name: "eth0", State: State{DNS: []netip.Addr{netip.MustParseAddr("192.0.2.3")}, Search: []string{"home"}}}
	cfg.Network.DNS, cfg.Network.Search = []string{"9.9.9.9"}, []string{"first"}
	check("nameserver 9.9.9.9\nnameserver 192.0.2.3\nnameserver fe80::1%eth1\nsearch first home lan\n")
	if left, _ := os.ReadDir(t.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v, want length 0", left)
	}
}

// Whatever a server sends, resolv.conf has only lines of ours.
func FuzzLease(f *testing.F) {
	q, _ := dhcpv4.NewDiscovery(net.HardwareAddr{2, 0, 0, 0, 0, 1})
	f.Add(reply(q, 1, "192.0.2.50", time.Hour, dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)), dhcpv4.WithDNS(net.IPv4(1, 1, 1, 1)), dhcpv4.WithDomainSearchList("lan", "a.b")).ToBytes())
	f.Add(reply(q, 1, "192.0.2.50", time.Hour, dhcpv4.WithGeneric(dhcpv4.OptionDomainName, []byte("lan\nnameserver 6.6.6.6"))).ToBytes())
	f.Add(reply(q, 1, "10.0.0.1", 0, dhcpv4.WithGeneric(dhcpv4.OptionSubnetMask, []byte{255, 0, 255, 0}), dhcpv4.WithGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{33, 1, 2, 3, 4, 5, 6, 7, 8})).ToBytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		ack, err := dhcpv4.FromBytes(data)
		if err != nil {
			return
		}
		s := fromLease(ack, 100)
		for _, a := range s.Addresses {
			if !a.IsValid() {
				t.Errorf("address %v", a)
			}
			_ = ipNet(a)
		}
		for _, r := range s.Routes {
			if !r.To.IsValid() {
				t.Errorf("route %v", r)
			}
			_ = ipNet(r.To)
		}
		if lt := leaseTimes(ack); lt.lease != 0 && (lt.renew <= 0 || lt.renew >= lt.rebind || lt.rebind >= lt.lease) {
			t.Errorf("times %+v", lt)
		}
		lines := strings.Split(strings.TrimSuffix(string(resolvConf(s.DNS, s.Search)), "\n"), "\n")
		for i, line := range lines[1:] {
			word, rest, _ := strings.Cut(line, " ")
			if _, err := netip.ParseAddr(rest); word == "nameserver" && err != nil || word != "nameserver" && (word != "search" || i != len(lines)-2 || len(rest) > maxSearchBytes) {
				t.Errorf("line %q", line)
			}
		}
		if len(lines) > 2+maxNameservers {
			t.Errorf("%d lines", len(lines))
		}
	})
}
