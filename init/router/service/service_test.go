package service

import (
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
)

func routerOf(mode string) *Router {
	c := config.Default()
	c.Router.Mode = mode
	c.Router.Leases = []config.RouterLease{{MAC: "02:00:00:00:00:10", Name: "node1", Address: "10.77.0.60"}, {MAC: "02:00:00:00:00:11", Name: "node2"}, {Name: "nobody"}}
	c.Router.Forwards = []config.RouterForward{{Port: 8080, To: "10.77.0.60:80", Protocol: "tcp"}, {Port: 81, To: "192.168.1.1:80", Protocol: "tcp"}, {Port: 82, To: "nonsense", Protocol: "tcp"}}
	return &Router{Config: func() *config.Config { return c }, Host: "shelf-router", Load: func(string, ...string) error { return nil }}
}

// names are the units that the configuration asks for.
func names(r *Router) (list []string) {
	for _, u := range r.Units() {
		list = append(list, u.Name)
	}
	return list
}

// dnsmasq runs in mode nat alone; a change of the settings is a change of a unit, which starts it
// again.
func TestUnits(t *testing.T) {
	proxy, nat := routerOf(config.RouterProxyARP), routerOf(config.RouterNAT)
	if got := names(proxy); !slices.Equal(got, []string{"router"}) {
		t.Errorf("proxy-arp: got %v", got)
	}
	if got := names(nat); !slices.Equal(got, config.RouterServices) {
		t.Errorf("nat: got %v, want %v", got, config.RouterServices)
	}
	envs := func(r *Router) string {
		var all []string
		for _, u := range r.Units() {
			all = append(all, strings.Join(u.Env, " "))
		}
		return strings.Join(all, "\n")
	}
	seen := map[string]string{envs(nat): "as it was"}
	for name, change := range map[string]func(c *config.Router){
		"mode": func(c *config.Router) { c.Mode = config.RouterProxyARP }, "a lease's board": func(c *config.Router) { c.Leases[0].MAC = "02:00:00:00:00:12" },
		"a lease's name": func(c *config.Router) { c.Leases[0].Name = "" }, "a lease's address": func(c *config.Router) { c.Leases[0].Address = "" },
		"a port": func(c *config.Router) { c.Forwards[0].Port = 8081 }, "where it leads": func(c *config.Router) { c.Forwards[0].To = "10.77.0.61:80" },
		"its protocol": func(c *config.Router) { c.Forwards[0].Protocol = "udp" },
		"uplink":       func(c *config.Router) { c.Uplink.Interface = "eth1" }, "shelf": func(c *config.Router) { c.Shelf.Interface = "eth2" },
		"address": func(c *config.Router) { c.Shelf.Address = "10.78.0.1/24" }, "range": func(c *config.Router) { c.Shelf.Range = "10.77.0.2-10.77.0.9" },
		"ssh": func(c *config.Router) { c.Uplink.SSH = true }, "a lease": func(c *config.Router) { c.Leases = c.Leases[:1] }, "a forward": func(c *config.Router) { c.Forwards = nil },
	} {
		r := routerOf(config.RouterNAT)
		change(&r.Config().Router)
		if other, same := seen[envs(r)]; same {
			t.Errorf("%s: the units are the same as %s", name, other)
		}
		seen[envs(r)] = name
	}
}

// What cannot work is left out of the settings.
func TestSettingsOf(t *testing.T) {
	s := SettingsOf(routerOf(config.RouterNAT).Config().Router)
	if len(s.NAT.Forwards) != 1 || s.NAT.Forwards[0].To.String() != "10.77.0.60:80" || s.NAT.Network.String() != "10.77.0.1/24" {
		t.Errorf("got %+v", s)
	}
	if s := SettingsOf(routerOf(config.RouterProxyARP).Config().Router); s.NAT.Network.IsValid() || len(s.NAT.Forwards) != 0 {
		t.Errorf("proxy-arp: got %+v", s)
	}
}

func TestDHCPConfig(t *testing.T) {
	got := DHCPConfig(routerOf(config.RouterNAT).Config().Router, "eth0", "shelf-router")
	for _, want := range []string{
		"interface=eth0\n", "dhcp-range=10.77.0.128,10.77.0.254,255.255.255.0,12h\n", "dhcp-host=02:00:00:00:00:10,node1,10.77.0.60\n",
		"dhcp-host=02:00:00:00:00:11,node2\n", "host-record=shelf-router.shelf,shelf-router,10.77.0.1\n", "local=/shelf/\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "nobody") && strings.Contains(got, "dhcp-host=,") {
		t.Errorf("an entry without a hardware address is in\n%s", got)
	}
}
