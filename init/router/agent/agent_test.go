package agent

import (
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/bpf"

	"imgbuild/init/router/frame"
	"imgbuild/init/router/ndp"
	"imgbuild/init/router/relay"
)

// Whole datagrams from or to port 67 and mDNS to everybody pass, and nothing else does.
func TestFilter(t *testing.T) {
	vm, err := bpf.NewVM(udpFilter)
	if err != nil {
		t.Fatal(err)
	}
	datagram := func(from, to string) []byte {
		return frame.Datagram{Src: netip.MustParseAddrPort(from), Dst: netip.MustParseAddrPort(to), Data: []byte("dhcp")}.Bytes()
	}
	change := func(b []byte, at int, v byte) []byte {
		b[at] = v
		return b
	}
	options := datagram("1.1.1.1:68", "2.2.2.2:67") // with 4 bytes of options in the header
	options = append(append(append([]byte{}, options[:34]...), 1, 1, 1, 1), options[34:]...)
	options[14] = 0x46
	for _, c := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"to a server", datagram("0.0.0.0:68", "255.255.255.255:67"), true},
		{"from a server", datagram("1.1.1.1:67", "2.2.2.2:68"), true},
		{"between relay and server", datagram("1.1.1.1:67", "2.2.2.2:67"), true},
		{"a longer header", options, true},
		{"others", datagram("1.1.1.1:53", "2.2.2.2:68"), false},
		{"TCP", change(datagram("1.1.1.1:68", "2.2.2.2:67"), 23, 6), false},
		{"the first fragment", change(datagram("1.1.1.1:68", "2.2.2.2:67"), 20, 0x20), false},
		{"another fragment", change(datagram("1.1.1.1:68", "2.2.2.2:67"), 21, 7), false},
		{"mDNS", datagram("1.1.1.1:5353", "224.0.0.251:5353"), true},
		{"mDNS of a simple resolver", datagram("1.1.1.1:999", "224.0.0.251:5353"), true},
		{"mDNS to one machine", datagram("1.1.1.1:5353", "2.2.2.2:5353"), false},
		{"another group", datagram("1.1.1.1:5353", "224.0.0.252:5353"), false},
		{"do not fragment", change(datagram("1.1.1.1:68", "2.2.2.2:67"), 20, 0x40), true},
	} {
		n, err := vm.Run(c.b)
		if err != nil || (n > 0) != c.want {
			t.Errorf("%s: got %d, %v, want %v", c.name, n, err, c.want)
		}
	}
}

// DHCP of mode nat is not relayed to the modem: dnsmasq answers it.
func TestListens(t *testing.T) {
	for _, c := range []struct {
		mode string
		six  bool
		want []kind
	}{{NAT, true, []kind{arp}}, {NAT, false, []kind{arp}}, {ProxyARP, false, []kind{arp, udp}}, {ProxyARP, true, []kind{arp, udp, nd}}} {
		if got := listens(c.mode, c.six); !slices.Equal(got, c.want) {
			t.Errorf("%s, %v: got %v, want %v", c.mode, c.six, got, c.want)
		}
	}
}

// Neighbour discovery passes, and no other IPv6.
func TestNDFilter(t *testing.T) {
	vm, err := bpf.NewVM(ndFilter)
	if err != nil {
		t.Fatal(err)
	}
	target := netip.MustParseAddr("2001:db8::1")
	question := frame.ND{Src: netip.MustParseAddr("fe80::1"), Dst: frame.Group(target), Type: frame.NeighbourSolicit, Target: target}.Bytes()
	for _, c := range []struct {
		name  string
		at, v byte
		want  bool
	}{
		{"a question for an address", 54, 135, true}, {"an answer", 54, 136, true}, {"a question for routers", 54, 133, true}, {"an advertisement", 54, 134, true},
		{"a group is joined", 54, 132, false}, {"a redirect", 54, 137, false}, {"an echo", 54, 128, false}, {"UDP", 20, 17, false}, {"an extension header", 20, 0, false},
	} {
		b := append([]byte{}, question...)
		b[c.at] = c.v
		if n, err := vm.Run(b); err != nil || (n > 0) != c.want {
			t.Errorf("%s: got %d, %v, want %v", c.name, n, err, c.want)
		}
	}
}

// What machines of one side send to everybody by mDNS comes to the other side as theirs; what is of
// another network, or not mDNS, does not, nor does a flood.
func TestReflected(t *testing.T) {
	question, err := (&dns.Msg{Question: []dns.Question{{Name: "node1.local.", Qtype: dns.TypeA, Qclass: dns.ClassINET}}}).Pack()
	if err != nil {
		t.Fatal(err)
	}
	network, mac := netip.MustParsePrefix("10.0.0.9/24"), frame.MAC{2, 0, 0, 0, 0, 3}
	from := func(ip string, data []byte) frame.Datagram {
		return frame.Datagram{From: frame.MAC{2, 0, 0, 0, 0, 9}, Src: netip.MustParseAddrPort(ip), Dst: netip.MustParseAddrPort("224.0.0.251:5353"), Data: data}
	}
	for _, c := range []struct {
		name string
		d    frame.Datagram
		want bool
	}{
		{"a question", from("10.0.0.5:5353", question), true}, {"of a simple resolver", from("10.0.0.5:40000", question), true},
		{"another network", from("10.0.1.5:5353", question), false}, {"the router's address", from("10.0.0.9:5353", question), false}, {"no address", from("0.0.0.0:5353", question), false},
		{"not mDNS", from("10.0.0.5:5353", []byte("x")), false},
	} {
		b := budget{}
		got, ok := reflected(c.d, mac, network, &b, time.Unix(1e9, 0))
		if ok != c.want || ok && (got.From != mac || got.Src != c.d.Src || got.TTL != 255 || got.To != frame.MAC{1, 0, 0x5e, 0, 0, 251}) {
			t.Errorf("%s: got %+v, %v", c.name, got, ok)
		}
	}
	b, n := budget{}, 0
	for i := range 10000 {
		if _, ok := reflected(from("10.0.0.5:5353", question), mac, network, &b, time.Unix(1e9, 0).Add(time.Duration(i)*time.Millisecond)); ok {
			n++
		}
	}
	if n != 10*perSecond {
		t.Errorf("got %d packets of 10 s, want %d", n, 10*perSecond)
	}
}

// The addresses of IPv6 are with the boards that have them, and a board without IPv4 is there too.
func TestWithSix(t *testing.T) {
	one, two := frame.MAC{2, 0, 0, 0, 0, 1}, frame.MAC{2, 0, 0, 0, 0, 2}
	six := func(mac frame.MAC, ip string) ndp.Board { return ndp.Board{IP: netip.MustParseAddr(ip), MAC: mac} }
	list := []ndp.Board{six(one, "2001:db8::1:1"), six(two, "2001:db8::2:2"), six(one, "2001:db8::1:3"), six(two, "2001:db8::1:2")}
	got := withSix([]Board{{IP: "10.0.0.5", MAC: one.String()}}, list)
	want := []Board{
		{IP: "10.0.0.5", MAC: one.String(), IPv6: []string{"2001:db8::1:1", "2001:db8::1:3"}},
		{IP: "2001:db8::2:2", MAC: two.String(), IPv6: []string{"2001:db8::1:2"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := groupsOf(append(list, six(two, "2001:db8:9::1:1")), frame.Group); len(got) != 4 || got[0] != netip.MustParseAddr("ff02::1:ff01:1") {
		t.Errorf("got %v, want 4 groups, each once", got)
	}
}

func TestRules(t *testing.T) {
	if got, want := proxyRules(Settings{}, nic{Name: "wlan0"}, nic{Name: "eth0"}), `destroy table inet shelf
table inet shelf {
  chain forward {
    type filter hook forward priority 0; policy accept;
    iifname "eth0" udp sport 68 udp dport 67 drop
  }
}
`; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	s := Settings{Mode: NAT, NAT: Nat{Network: netip.MustParsePrefix("10.77.0.1/24"), Forwards: []Forward{{"tcp", 8080, netip.MustParseAddrPort("10.77.0.60:80")}}}}
	up, shelf := nic{Name: "wlan0", Address: netip.MustParsePrefix("192.168.1.9/24")}, nic{Name: "eth0"}
	got := natRules(s, up, shelf, ula)
	for _, want := range []string{
		"ip saddr 192.168.1.0/24 tcp dport 22 accept",
		"policy drop;",
		`iifname "eth0" oifname "wlan0" accept`,
		"ip daddr != 10.77.0.1 fib daddr type local tcp dport 8080 dnat ip to 10.77.0.60:80",
		`oifname "wlan0" ip saddr 10.77.0.0/24 masquerade`,
		`oifname "eth0" ip saddr 10.77.0.0/24 ct status dnat masquerade`,
		`oifname "wlan0" ip6 saddr fd12:3456:789a::/64 masquerade`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	// ssh: from a private network's own subnet, and else where it is asked for.
	public := up
	public.Address = netip.MustParsePrefix("8.1.2.3/24")
	asked := s
	asked.NAT.SSH = true
	for _, c := range []struct {
		name string
		text string
		want string
	}{
		{"private", got, "ip saddr 192.168.1.0/24 tcp dport 22 accept"}, {"public", natRules(s, public, shelf, ula), ""}, {"no address", natRules(s, nic{Name: "wlan0"}, shelf, ula), ""},
		{"asked for", natRules(asked, public, shelf, ula), "tcp dport 22 accept"},
	} {
		n := strings.Count(c.text, "dport 22")
		if c.want == "" && n != 0 || !strings.Contains(c.text, c.want) {
			t.Errorf("%s:\n%s", c.name, c.text)
		}
	}
}

// ula is the shelf's network of IPv6.
var ula = netip.MustParsePrefix("fd12:3456:789a::/64")

// Without IPv6 there is no rule for it.
func TestRulesWithoutIPv6(t *testing.T) {
	s := Settings{Mode: NAT, NAT: Nat{Network: netip.MustParsePrefix("10.77.0.1/24")}}
	if got := natRules(s, nic{Name: "wlan0"}, nic{Name: "eth0"}, netip.Prefix{}); strings.Contains(got, "ip6 saddr") {
		t.Errorf("got\n%s", got)
	}
}

// A network of RFC 4193 is random, and what was kept is read again; nothing else is taken for one.
func TestULA(t *testing.T) {
	one, two := newULA(), newULA()
	if one == two {
		t.Errorf("got %v twice", one)
	}
	if got, ok := parseULA(one.String() + "\n"); !ok || got != one {
		t.Errorf("%v: got %v, %v", one, got, ok)
	}
	if got, want := ownULA(ula), netip.MustParsePrefix("fd12:3456:789a::1/64"); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, text := range []string{"", "x", "fd12::/48", "fd12::1/64", "fc12::/64", "2001:db8::/64", "10.0.0.0/64", "fd12::%a/64", "::ffff:10.0.0.0/64"} {
		if got, ok := parseULA(text); ok {
			t.Errorf("%q: got %v, want nothing", text, got)
		}
	}
}

// Names are given to the uplink's own network, if that is a private one, and to nobody else there.
func TestNameRules(t *testing.T) {
	private, public := nic{Name: "wlan0", Address: netip.MustParsePrefix("192.168.1.9/24")}, nic{Name: "wlan0", Address: netip.MustParsePrefix("8.1.2.3/24")}
	const open, shut = "ip saddr 192.168.1.0/24 meta l4proto { tcp, udp } th dport 53 accept", `iifname "wlan0" meta l4proto { tcp, udp } th dport 53 drop`
	on, off := Settings{Names: Names{Enabled: true, Uplink: true}}, Settings{Names: Names{Enabled: true}}
	for _, c := range []struct {
		name       string
		got        string
		open, shut bool
	}{
		{"proxy-arp", proxyRules(on, private, nic{Name: "eth0"}), true, true},
		{"proxy-arp, public", proxyRules(on, public, nic{Name: "eth0"}), false, true},
		{"proxy-arp, for the shelf alone", proxyRules(off, private, nic{Name: "eth0"}), false, false}, // dnsmasq does not answer there
		{"nat", natRules(on, private, nic{Name: "eth0"}, ula), true, false},
		{"nat, public", natRules(on, public, nic{Name: "eth0"}, ula), false, false}, // the last rule drops
		{"nat, for the shelf alone", natRules(off, private, nic{Name: "eth0"}, ula), false, false},
	} {
		if strings.Contains(c.got, open) != c.open || strings.Contains(c.got, shut) != c.shut || strings.Contains(c.got, "dport 53 accept") != c.open {
			t.Errorf("%s:\n%s", c.name, c.got)
		}
	}
}

// Boards have the names that they give themselves, unless those are others'.
func TestBoardHosts(t *testing.T) {
	lease := func(ip, name string) relay.Lease { return relay.Lease{IP: netip.MustParseAddr(ip), Name: name} }
	got := boardHosts([]relay.Lease{
		lease("10.0.0.9", "node1"), lease("10.0.0.5", "Node1"), lease("10.0.0.6", "node2.home"), lease("10.0.0.7", "nas"), lease("10.0.0.8", "a b\n1.1.1.1 x"),
		lease("10.0.0.10", ""), lease("10.0.0.11", "localhost"), lease("10.0.0.12", "12"), lease("10.0.0.13", strings.Repeat("a", 64)),
	}, []string{"NAS"})
	if want := "10.0.0.5 node1\n10.0.0.6 node2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The node's name server does not ask itself.
func TestUpstreams(t *testing.T) {
	own, gw := []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("::1")}, netip.MustParseAddr("10.0.0.1")
	for _, c := range []struct {
		in, want string
		gw       netip.Addr
	}{
		{"search home\nnameserver 10.0.0.1\nnameserver 9.9.9.9\n", "nameserver 10.0.0.1\nnameserver 9.9.9.9\n", gw},
		{"nameserver 10.0.0.9\nnameserver 127.0.0.1\n", "nameserver 10.0.0.1\n", gw},
		{"nameserver 10.0.0.9\nnameserver 9.9.9.9\nnameserver x\nnameserver\n", "nameserver 9.9.9.9\n", gw},
		{"", "nameserver 10.0.0.1\n", gw}, {"", "", netip.Addr{}},
	} {
		if got := upstreams(c.in, own, c.gw); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestFault(t *testing.T) {
	now := time.Unix(1e9, 0)
	good := Status{
		Mode: ProxyARP, Uplink: Card{Name: "wlan0", Present: true, Link: true, Address: "10.0.0.9/24"}, Shelf: Card{Name: "eth0", Present: true},
		Gateway: "10.0.0.1", Answered: now, Written: now,
	}
	if err := good.Fault(now); err != nil {
		t.Errorf("good: got %v", err)
	}
	for _, c := range []struct {
		name   string
		change func(s *Status)
		want   string
	}{
		{"old", func(s *Status) { s.Written = now.Add(-time.Minute) }, "has not reported for 1m0s"},
		{"no uplink", func(s *Status) { s.Uplink.Present = false }, "there is no interface wlan0"},
		{"no shelf", func(s *Status) { s.Shelf.Present = false }, "there is no interface eth0"},
		{"no link", func(s *Status) { s.Uplink.Link = false }, "the uplink wlan0 has no link"},
		{"no address", func(s *Status) { s.Uplink.Address = "" }, "the uplink wlan0 has no address"},
		{"no answer", func(s *Status) { s.Answered = now.Add(-time.Minute) }, "the gateway 10.0.0.1 does not answer"},
	} {
		s := good
		c.change(&s)
		if err := s.Fault(now); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	unused := good
	unused.Gateway, unused.Answered, unused.Shelf.Link = "", time.Time{}, false
	if err := unused.Fault(now); err != nil {
		t.Errorf("no gateway, and no board: got %v", err)
	}
}

func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.json")
	want := Settings{Mode: NAT, Uplink: "wlan0", Shelf: "eth0", NAT: Nat{Network: netip.MustParsePrefix("10.77.0.1/24"), SSH: true, Forwards: []Forward{{"udp", 53, netip.MustParseAddrPort("10.77.0.9:53")}}}}
	if err := want.Write(file); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadSettings(file); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := ReadSettings(file + "2"); err == nil {
		t.Error("a missing file is no error")
	}
}

// Networks of both sides that overlap are reported, also where the uplink has its address by DHCP.
func TestOverlap(t *testing.T) {
	shelf := netip.MustParsePrefix("10.77.0.1/24")
	for up, want := range map[string]bool{"192.168.1.9/24": false, "10.77.0.9/24": true, "10.0.0.9/8": true, "10.77.1.9/24": false} {
		p, bad := overlap(nic{Address: netip.MustParsePrefix(up)}, shelf)
		if bad != want || bad && (p.Fix == "" || !strings.Contains(p.What, "10.77.0.0/24")) {
			t.Errorf("%s: got %+v, %v, want %v", up, p, bad, want)
		}
	}
	if _, bad := overlap(nic{}, shelf); bad {
		t.Error("an uplink without an address overlaps")
	}
	if _, bad := overlap(nic{Address: shelf}, netip.Prefix{}); bad {
		t.Error("mode proxy-arp overlaps")
	}
}
