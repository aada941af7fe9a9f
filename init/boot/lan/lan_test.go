package lan

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/net/mdns"
)

func TestFacts(t *testing.T) {
	card := []mdns.Interface{{Name: "eth0", Index: 2, Kind: "device", Multicast: true, Carrier: true, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.1.2/24")}}}
	for name, c := range map[string]struct {
		cfg   config.Config
		links int
	}{
		"on":                    {config.Config{Network: config.Network{MDNS: true}}, 1},
		"off":                   {config.Config{}, 0},
		"the uplink of nat":     {config.Config{Network: config.Network{MDNS: true}, Shelf: config.Shelf{Role: "router"}, Router: config.Router{Mode: config.RouterNAT, Uplink: config.RouterUplink{Interface: "eth0"}}}, 0},
		"the other side of nat": {config.Config{Network: config.Network{MDNS: true}, Shelf: config.Shelf{Role: "router"}, Router: config.Router{Mode: config.RouterNAT, Uplink: config.RouterUplink{Interface: "wlan0"}}}, 1},
		"one network":           {config.Config{Network: config.Network{MDNS: true}, Shelf: config.Shelf{Role: "router"}, Router: config.Router{Mode: "proxy-arp", Uplink: config.RouterUplink{Interface: "eth0"}}}, 1},
		"not a router":          {config.Config{Network: config.Network{MDNS: true}, Shelf: config.Shelf{Role: "worker"}, Router: config.Router{Mode: config.RouterNAT, Uplink: config.RouterUplink{Interface: "eth0"}}}, 1},
	} {
		f := Facts(&c.cfg, "node1", []mdns.Service{sshd}, card)
		if on := c.cfg.Network.MDNS; len(f.Links) != c.links || (f.Host == "node1") != on || (len(f.Services) == 1) != on {
			t.Errorf("%s: got %+v, want %d links", name, f, c.links)
		}
	}
}

// In mode proxy-arp the router is known on the shelf by its address on the uplink, and in no other
// mode or role.
func TestOneNetwork(t *testing.T) {
	card := func(name, mac string, index int, addresses ...string) mdns.Interface {
		i := mdns.Interface{Name: name, MAC: mac, Index: index, Kind: "device", Multicast: true, Carrier: true}
		for _, a := range addresses {
			i.Addresses = append(i.Addresses, netip.MustParsePrefix(a))
		}
		return i
	}
	of := func(role, mode, uplink, shelf string) config.Config {
		return config.Config{Network: config.Network{MDNS: true}, Shelf: config.Shelf{Role: role}, Router: config.Router{
			Mode: mode, Uplink: config.RouterUplink{Interface: uplink}, Shelf: config.RouterShelf{Interface: shelf},
		}}
	}
	for _, c := range []struct {
		name string
		cfg  config.Config
		want string
	}{
		{"proxy-arp", of("router", config.RouterProxyARP, "wlan0", "eth0"), "eth0: [fe80::2 192.168.1.2] wlan0: [192.168.1.2 2001:db8::2 169.254.1.1] "},
		{"by hardware addresses", of("router", config.RouterProxyARP, "02:00:00:00:00:0A", "02:00:00:00:00:0b"), "eth0: [fe80::2 192.168.1.2] wlan0: [192.168.1.2 2001:db8::2 169.254.1.1] "},
		{"one card for both", of("router", config.RouterProxyARP, "wlan0", "wlan0"), "eth0: [fe80::2] wlan0: [192.168.1.2 2001:db8::2 169.254.1.1] "},
		{"nat", of("router", config.RouterNAT, "wlan0", "eth0"), "eth0: [fe80::2] "},
		{"another role", of("worker", config.RouterProxyARP, "wlan0", "eth0"), "eth0: [fe80::2] wlan0: [192.168.1.2 2001:db8::2 169.254.1.1] "},
	} {
		var got strings.Builder
		for _, l := range Facts(&c.cfg, "node1", nil, []mdns.Interface{
			card("wlan0", "02:00:00:00:00:0a", 3, "192.168.1.2/24", "2001:db8::2/64", "169.254.1.1/16"), card("eth0", "02:00:00:00:00:0b", 2, "fe80::2/64"),
		}).Links {
			fmt.Fprintf(&got, "%s: %v ", l.Name, l.Addresses())
		}
		if got.String() != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got.String(), c.want)
		}
	}
}

func TestConflict(t *testing.T) {
	if err := conflict(mdns.Status{Name: "node1.local", Links: []string{"eth0"}}); err != nil {
		t.Errorf("got %v for a node that has its name, want nil", err)
	}
	err := conflict(mdns.Status{Name: "node1-2.local", Taken: "node1.local", By: "192.168.1.9"})
	if fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), "192.168.1.9") || !strings.Contains(err.Error(), "node1-2.local") {
		t.Errorf("got %v, want the other machine and both names", err)
	}
	if err := conflict(mdns.Status{Taken: "node1.local", By: "192.168.1.9"}); fault.Code(err) != int(fault.Input) {
		t.Errorf("got %v, want a fault of the input", err)
	}
}
