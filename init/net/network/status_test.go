package network

import (
	"net"
	"net/netip"
	"reflect"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"imgbuild/init/contract/config"
)

// TestAdvertisedBy: of the default routes that advertisements made, the best of each interface
// counts; what we put there ourselves, and a route that means that there is none, do not.
func TestAdvertisedBy(t *testing.T) {
	ip := net.ParseIP
	_, everywhere, err := net.ParseCIDR("::/0")
	if err != nil {
		t.Fatal(err)
	}
	_, ula, err := net.ParseCIDR("fd00::/8")
	if err != nil {
		t.Fatal(err)
	}
	got := advertisedBy([]netlink.Route{
		{LinkIndex: 2, Priority: 200, Gw: ip("fe80::2"), Protocol: unix.RTPROT_RA},
		{LinkIndex: 2, Priority: 100, Gw: ip("fe80::1"), Protocol: unix.RTPROT_RA, Dst: everywhere},
		{LinkIndex: 2, Priority: 300, Gw: ip("fe80::3"), Protocol: unix.RTPROT_RA},
		{LinkIndex: 3, Priority: 100, Gw: ip("fd00::1"), Protocol: unix.RTPROT_STATIC},
		{LinkIndex: 3, Priority: 100, Gw: ip("fe80::9"), Protocol: unix.RTPROT_RA, Dst: ula},
		{LinkIndex: 4, Priority: 100, Gw: ip("fe80::4"), Protocol: unix.RTPROT_RA, Type: unix.RTN_UNREACHABLE},
		{LinkIndex: 5, Gw: ip("10.0.0.1"), Protocol: unix.RTPROT_STATIC},
		{Priority: 7, Protocol: unix.RTPROT_RA, MultiPath: []*netlink.NexthopInfo{{LinkIndex: 6, Gw: ip("fe80::6")}, {LinkIndex: 7, Gw: ip("fe80::7")}}},
	})
	want := map[int]netip.Addr{2: netip.MustParseAddr("fe80::1"), 6: netip.MustParseAddr("fe80::6"), 7: netip.MustParseAddr("fe80::7")}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestGateways: both families have one, a configured one comes before an advertised one, and a port
// has none.
func TestGateways(t *testing.T) {
	m := leased(t, &config.Config{}, "eth0", "eth1", "eth2")
	k := newFakeKernel("eth0", "eth1", "eth2")
	router := netip.MustParseAddr("fe80::1")
	k.routers = map[int]netip.Addr{}
	for i := range m.links {
		k.routers[i] = router
	}
	m.kernel = k.kernel()
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fd00::1")
	route := func(via netip.Addr) Route { return Route{To: defaultRoute(via), Via: via, Metric: 100} }
	states := map[string]State{
		"eth0": {Routes: []Route{route(six), route(four)}}, // IPv6 is named first
		"eth1": {Routes: []Route{route(four)}},
		"eth2": {},
	}
	for _, l := range m.links {
		m.update(l, *l.set0, states[l.name], nil)
	}
	want := map[string][2]netip.Addr{"eth0": {four, six}, "eth1": {four, router}, "eth2": {router, router}}
	for _, s := range m.Status() {
		if got := [2]netip.Addr{s.Gateway, s.Gateway6}; got != want[s.Name] {
			t.Errorf("%s: got %v, want %v", s.Name, got, want[s.Name])
		}
	}
	if got := (Status{Port: "br0"}).withRouter(router); got.Gateway.IsValid() || got.Gateway6.IsValid() {
		t.Errorf("a port has the gateway %v, %v", got.Gateway, got.Gateway6)
	}
}
