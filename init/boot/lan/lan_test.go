package lan

import (
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
