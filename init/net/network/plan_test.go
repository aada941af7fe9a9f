package network

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/config"
)

var (
	p4 = netip.MustParsePrefix
	ip = netip.MustParseAddr
)

func texts(ops []Op) []string {
	var out []string
	for _, o := range ops {
		out = append(out, o.String())
	}
	return out
}

func TestPlan(t *testing.T) {
	home := State{Addresses: []netip.Prefix{p4("192.168.1.10/24")}, Routes: []Route{{p4("0.0.0.0/0"), ip("192.168.1.1"), 100}}}
	work := State{Addresses: []netip.Prefix{p4("10.0.0.5/8")}, Routes: []Route{{p4("0.0.0.0/0"), ip("10.0.0.1"), 100}}, MTU: 1400}
	lease := home
	lease.Leased, lease.Lifetime = lease.Addresses, time.Hour
	shared := home // the kernel's state: ours, somebody's shared address and the kernel's own route
	shared.Addresses = append(slices.Clone(home.Addresses), p4("192.168.1.250/32"))
	shared.Routes = append(slices.Clone(home.Routes), Route{p4("192.168.1.0/24"), netip.Addr{}, 0})
	far := State{Addresses: home.Addresses, Routes: []Route{{p4("0.0.0.0/0"), ip("10.9.9.9"), 100}, {p4("10.9.9.9/32"), netip.Addr{}, 100}}}
	for _, c := range []struct {
		name            string
		ours, has, want State
		ops             []string
	}{
		{"nothing there", State{}, State{}, home, []string{"address 192.168.1.10/24", "route to 0.0.0.0/0"}},
		{"all there", home, shared, home, nil},
		{"it was flushed", home, State{}, home, []string{"address 192.168.1.10/24", "route to 0.0.0.0/0"}},
		{"only routes are lost, as after down and up", home, State{Addresses: home.Addresses}, home, []string{"route to 0.0.0.0/0"}},
		{"moved", home, shared, work, []string{"mtu 1400", "address 10.0.0.5/8", "route to 0.0.0.0/0",
			"removing the route to 0.0.0.0/0", "removing the address 192.168.1.10/24", "route to 0.0.0.0/0"}},
		{"another address of the same network", home, shared, State{Addresses: []netip.Prefix{p4("192.168.1.11/24")}, Routes: home.Routes},
			[]string{"address 192.168.1.11/24", "removing the address 192.168.1.10/24", "address 192.168.1.11/24", "route to 0.0.0.0/0"}},
		{"given up", home, shared, State{}, []string{"removing the route to 0.0.0.0/0", "removing the address 192.168.1.10/24"}},
		{"given up, and gone already", home, State{}, State{}, nil},
		{"a lease is prolonged", lease, shared, lease, []string{"address 192.168.1.10/24"}},
		{"a lease becomes static", lease, shared, home, []string{"address 192.168.1.10/24"}},
		{"the way to the gateway comes first", State{}, State{}, far, []string{"address 192.168.1.10/24", "route to 10.9.9.9/32", "route to 0.0.0.0/0"}},
	} {
		if got := texts(plan(c.ours, c.has, c.want)); !slices.Equal(got, c.ops) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.ops)
		}
	}
}

// model carries a plan out the way the kernel would: a removed address takes the routes through its
// network along, and the first of a network all others of it.
func model(has State, ops []Op) State {
	has.Addresses, has.Routes = slices.Clone(has.Addresses), slices.Clone(has.Routes)
	for _, o := range ops {
		switch o.Kind {
		case SetMTU:
			has.MTU = o.MTU
		case AddAddress:
			if !slices.Contains(has.Addresses, o.Address) {
				has.Addresses = append(has.Addresses, o.Address)
			}
		case AddRoute:
			if !slices.Contains(has.Routes, o.Route) {
				has.Routes = append(has.Routes, o.Route)
			}
		case DelRoute:
			has.Routes = slices.DeleteFunc(has.Routes, func(r Route) bool { return r == o.Route })
		case DelAddress:
			first := slices.IndexFunc(has.Addresses, func(p netip.Prefix) bool { return p.Masked() == o.Address.Masked() })
			primary := first >= 0 && has.Addresses[first] == o.Address
			has.Addresses = slices.DeleteFunc(has.Addresses, func(p netip.Prefix) bool {
				return p == o.Address || primary && p.Masked() == o.Address.Masked()
			})
			has.Routes = slices.DeleteFunc(has.Routes, func(r Route) bool { return o.Address.Contains(r.Via) })
		}
	}
	return has
}

// From any state to any other: what is wanted is there in the end, what is others' stays, and a
// second plan is empty.
func TestPlanReaches(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	state := func() (s State) {
		for i := range 4 {
			a := netip.AddrFrom4([4]byte{10, byte(i), 0, byte(1 + r.IntN(2))})
			if r.IntN(2) == 0 {
				s.Addresses = append(s.Addresses, netip.PrefixFrom(a, 24))
				if r.IntN(2) == 0 {
					s.Routes = append(s.Routes, Route{netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(r.IntN(3)), 0, 0}), 16), netip.AddrFrom4([4]byte{10, byte(i), 0, 9}), r.IntN(2)})
				}
			}
		}
		s.MTU = r.IntN(2) * 1400
		return s
	}
	for range 5000 {
		ours, want := state(), state()
		has := State{Addresses: slices.Clone(ours.Addresses), Routes: slices.Clone(ours.Routes), MTU: 1500}
		if r.IntN(3) == 0 {
			has.Routes = nil
		}
		theirs := p4("192.0.2.77/32")
		has.Addresses = append(has.Addresses, theirs)
		after := model(has, plan(ours, has, want))
		for _, p := range want.Addresses {
			if !slices.Contains(after.Addresses, p) {
				t.Fatalf("%v -> %v: no %s", ours, want, p)
			}
		}
		for _, w := range want.Routes {
			if !slices.Contains(after.Routes, w) {
				t.Fatalf("%v -> %v: no route %v", ours, want, w)
			}
		}
		if len(after.Addresses) != len(want.Addresses)+1 || !slices.Contains(after.Addresses, theirs) {
			t.Fatalf("%v -> %v: %v is left", ours, want, after.Addresses)
		}
		if again := plan(want, after, want); len(again) != 0 {
			t.Fatalf("%v -> %v: a second plan does %q", ours, want, texts(again))
		}
	}
}

func TestSettings(t *testing.T) {
	cfg := &config.Config{Network: config.Network{
		Interfaces: []config.Interface{{Name: "br0", Addresses: []string{"10.0.0.1/24"}}, {MAC: "02:00:00:00:00:01", DHCP: true}, {Name: "auto", DHCP: true}},
		Bridges:    []config.Bridge{{Name: "br0", Ports: []string{"eth1"}}},
	}}
	m := New(cfg, "", "", t.Logf)
	m.made["br0"], m.ports["eth1"] = device{}, "br0"
	mac := func(n byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, n} }
	show := func(l *link) string {
		s := m.settings(l)
		switch {
		case s == nil:
			return "none"
		case s.port != "":
			return "port of " + s.port
		case s.claim:
			return "claim"
		}
		return key(s.Interface)
	}
	check := func(l *link, want string) {
		t.Helper()
		if got := show(l); got != want {
			t.Errorf("%s: %s, want %s", l.name, got, want)
		}
	}
	check(&link{name: "eth1", mac: mac(1), wired: true}, "port of br0") // although its MAC has settings
	check(&link{name: "br0", mac: mac(1)}, "br0")                       // and the bridge that inherits the MAC does not take them
	check(&link{name: "eth7", mac: mac(1), wired: true}, "02:00:00:00:00:01")
	check(&link{name: "eth0", mac: mac(2), wired: true}, "claim")
	m.auto = "eth0"
	check(&link{name: "eth0", mac: mac(2), wired: true}, "auto")
	check(&link{name: "eth2", mac: mac(3), wired: true}, "eth2")
	check(&link{name: "veth1", mac: mac(4)}, "none")
	check(&link{name: "wlan0", mac: mac(5), radio: true}, "none")
	cfg.K3OS.WiFi = []config.WiFi{{Name: "home"}}
	check(&link{name: "wlan0", mac: mac(5), radio: true}, "wlan0")
	if s := m.settings(&link{name: "wlan0", radio: true, index: 3}); s.metric != 3003 || len(s.nets) != 1 {
		t.Errorf("%+v: got %v, want metric 3003 and length 1", s, len(s.nets))
	}
}

func TestPlanDevices(t *testing.T) {
	n := config.Network{
		VLANs:   []config.VLAN{{Name: "lan20", Parent: "br0", ID: 20}},
		Bridges: []config.Bridge{{Name: "br0", Ports: []string{"bond0"}}},
		Bonds:   []config.Bond{{Name: "bond0", Ports: []string{"eth0", "eth1"}, Mode: "802.3ad"}},
	}
	names := func(list []device) (out []string) {
		for _, d := range list {
			out = append(out, d.name)
		}
		return out
	}
	remove, add := planDevices(nil, wantedDevices(n))
	if len(remove) != 0 || !slices.Equal(names(add), []string{"bond0", "br0", "lan20"}) {
		t.Errorf("first: %v %v", remove, add)
	}
	made := map[string]device{}
	for _, d := range add {
		made[d.name] = d
	}
	if remove, add = planDevices(made, wantedDevices(n)); len(remove)+len(add) != 0 {
		t.Errorf("again: %v %v: got %v, want 0", remove, add, len(remove)+len(add))
	}
	n.Bonds[0].Ports = []string{"eth0"}
	n.VLANs[0].ID = 21
	if remove, add = planDevices(made, wantedDevices(n)); !slices.Equal(remove, []string{"lan20"}) || !slices.Equal(names(add), []string{"lan20"}) {
		t.Errorf("changed: %v %v", remove, add)
	}
	if remove, _ = planDevices(made, nil); len(remove) != 3 {
		t.Errorf("removed: %v, want length 3", remove)
	}
}

// useropt makes the body of an RTM_NEWNDUSEROPT.
func useropt(index int, options ...byte) []byte {
	b := make([]byte, 16)
	b[0] = 10
	binary.NativeEndian.PutUint16(b[2:], uint16(len(options)))
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	return append(b, options...)
}

func rdnss(life uint32, servers ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{25, byte(1 + 2*len(servers)), 0, 0}, life)
	for _, s := range servers {
		b = append(b, ip(s).AsSlice()...)
	}
	return b
}

func dnssl(life uint32, wire string) []byte {
	for len(wire)%8 != 0 {
		wire += "\x00"
	}
	return append(binary.BigEndian.AppendUint32([]byte{31, byte(1 + len(wire)/8), 0, 0}, life), wire...)
}

func TestAdvert(t *testing.T) {
	n, ok := parseAdvert(useropt(7, slices.Concat(rdnss(600, "fd00::53", "fe80::1"), dnssl(300, "\x03lan\x00\x04home\x04arpa\x00"))...))
	want := advert{7, map[netip.Addr]time.Duration{ip("fd00::53"): 10 * time.Minute, ip("fe80::1"): 10 * time.Minute}, map[string]time.Duration{"lan": 5 * time.Minute, "home.arpa": 5 * time.Minute}}
	if !ok || !reflect.DeepEqual(n, want) {
		t.Fatalf("%v %+v", ok, n)
	}
	cfg := &config.Config{K3OS: config.K3OS{DNSNameservers: []string{"8.8.8.8"}}}
	m := New(cfg, "", t.TempDir()+"/resolv.conf", t.Errorf)
	m.links[7] = &link{name: "eth0", index: 7}
	m.status["eth0"] = Status{Name: "eth0"}
	show := func() string {
		servers, search := m.names()
		var s []string
		for _, a := range servers {
			s = append(s, a.String())
		}
		return strings.Join(append(s, search...), " ")
	}
	m.advertise(n)
	if got := show(); got != "fd00::53 fe80::1%eth0 home.arpa lan" {
		t.Errorf("names %q", got)
	}
	// Taken back, and a lease's values come first.
	n, _ = parseAdvert(useropt(7, slices.Concat(rdnss(0, "fe80::1"), dnssl(0, "\x03lan\x00"))...))
	m.advertise(n)
	s := m.status["eth0"]
	s.State.DNS = []netip.Addr{ip("192.0.2.3")}
	m.status["eth0"] = s
	if got := show(); got != "192.0.2.3 fd00::53 home.arpa" {
		t.Errorf("names %q", got)
	}
}

func FuzzAdvert(f *testing.F) {
	f.Add(useropt(1, rdnss(600, "fd00::53")...))
	f.Add(useropt(1, dnssl(600, "\x03lan\x00")...))
	f.Add(useropt(1, 25, 0, 0, 0, 0, 0, 0, 0))
	f.Add([]byte{10})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, ok := parseAdvert(b)
		if !ok {
			return
		}
		a := advertised{}.take(n, time.Unix(0, 0))
		if len(a.dns) > maxAdvertised || len(a.search) > maxAdvertised {
			t.Errorf("%d and %d are remembered", len(a.dns), len(a.search))
		}
		for d := range n.search {
			if !validDomain(d) {
				t.Errorf("domain %q", d)
			}
		}
	})
}
