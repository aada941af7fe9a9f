package mdns

import (
	"net/netip"
	"testing"
)

func TestChoose(t *testing.T) {
	four, six := netip.MustParsePrefix("192.168.1.2/24"), netip.MustParsePrefix("fe80::2/64")
	good := Interface{Name: "x", Index: 3, Kind: "device", Multicast: true, Carrier: true, Addresses: []netip.Prefix{four, six}}
	with := func(f func(i *Interface)) Interface { i := good; f(&i); return i }
	for _, c := range []struct {
		name string
		i    Interface
		want int // addresses
	}{
		{"a card", good, 2},
		{"a bridge", with(func(i *Interface) { i.Kind = "bridge" }), 2},
		{"a VLAN", with(func(i *Interface) { i.Kind = "vlan" }), 2},
		{"link-local alone: a cable from laptop to node", with(func(i *Interface) { i.Addresses = []netip.Prefix{six} }), 1},
		{"no address", with(func(i *Interface) { i.Addresses = nil }), 0},
		{"a pod's", with(func(i *Interface) { i.Kind = "veth" }), 0},
		{"flannel", with(func(i *Interface) { i.Kind = "vxlan" }), 0},
		{"WireGuard", with(func(i *Interface) { i.Kind, i.Multicast, i.Point = "wireguard", false, true }), 0},
		{"a tunnel", with(func(i *Interface) { i.Kind = "tun" }), 0},
		{"a dummy", with(func(i *Interface) { i.Kind = "dummy" }), 0},
		{"one other end", with(func(i *Interface) { i.Point = true }), 0},
		{"no multicast", with(func(i *Interface) { i.Multicast = false }), 0},
		{"no cable", with(func(i *Interface) { i.Carrier = false }), 0},
		{"a port of a bridge", with(func(i *Interface) { i.Port = "br0" }), 0},
		{"the uplink of a router that translates addresses", with(func(i *Interface) { i.Uplink = true }), 0},
		{"an address twice", with(func(i *Interface) { i.Addresses = []netip.Prefix{four, four} }), 1},
		{"loopback", with(func(i *Interface) { i.Addresses = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")} }), 0},
	} {
		got := 0
		for _, l := range Choose([]Interface{c.i}) {
			got += len(l.Prefixes)
		}
		if got != c.want {
			t.Errorf("%s: got %d addresses, want %d", c.name, got, c.want)
		}
	}
}

func TestNear(t *testing.T) {
	l := Link{Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.1.2/24"), netip.MustParsePrefix("fd00::2/64")}}
	for a, want := range map[string]bool{
		"192.168.1.9": true, "::ffff:192.168.1.9": true, "192.168.2.9": false, "8.8.8.8": false,
		"fe80::9%eth0": true, "fd00::9": true, "2001:db8::9": false,
	} {
		if got := l.Near(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: got %v, want %v", a, got, want)
		}
	}
}

// A machine is answered from the address of the network that it is in.
func TestSource(t *testing.T) {
	l := Link{Prefixes: []netip.Prefix{netip.MustParsePrefix("fe80::2/64"), netip.MustParsePrefix("192.168.1.2/24"), netip.MustParsePrefix("10.0.0.2/8"), netip.MustParsePrefix("10.0.0.3/8")}}
	for to, want := range map[string]string{"": "192.168.1.2", "192.168.1.9": "192.168.1.2", "10.1.2.3": "10.0.0.2", "::ffff:10.1.2.3": "10.0.0.2", "172.16.0.1": "192.168.1.2"} {
		a, _ := netip.ParseAddr(to)
		if got := l.Source(a); got.String() != want {
			t.Errorf("to %q: got %s, want %s", to, got, want)
		}
	}
	if got := (Link{Prefixes: l.Prefixes[:1]}).Source(netip.Addr{}); got.IsValid() {
		t.Errorf("without IPv4: got %s, want none", got)
	}
}
