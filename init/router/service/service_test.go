package service

import (
	"net/url"
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

// dns is a section router.dns with something wrong in each list.
var dns = config.RouterDNS{
	Enabled: true, Servers: []string{"9.9.9.9", "nobody"}, Hosts: []config.RouterHost{{Name: "NAS", Address: "10.77.0.20"}, {Name: "a..b", Address: "10.77.0.21"}, {Name: "tv", Address: "x"}},
	Blocklists: []string{"https://example.org/hosts", "http://example.org/hosts"},
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
	if got := names(nat); !slices.Equal(got, []string{"router", "dnsmasq"}) {
		t.Errorf("nat: got %v", got)
	}
	for _, r := range []*Router{proxy, nat} {
		r.Config().Router.DNS = dns
		if got := names(r); !slices.Equal(got, config.RouterServices) {
			t.Errorf("with names: got %v, want %v", got, config.RouterServices)
		}
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
		"a name server":       func(c *config.Router) { c.DNS.Enabled = true },
		"names on the uplink": func(c *config.Router) { c.DNS.Enabled, c.DNS.Uplink = true, true },
		"whom it asks":        func(c *config.Router) { c.DNS.Enabled, c.DNS.Servers = true, []string{"9.9.9.9"} },
		"a host":              func(c *config.Router) { c.DNS.Enabled, c.DNS.Hosts = true, dns.Hosts[:1] },
		"a host's address": func(c *config.Router) {
			c.DNS.Enabled, c.DNS.Hosts = true, []config.RouterHost{{Name: "NAS", Address: "10.77.0.21"}}
		},
		"a blocklist":       func(c *config.Router) { c.DNS.Enabled, c.DNS.Blocklists = true, dns.Blocklists },
		"another blocklist": func(c *config.Router) { c.DNS.Enabled, c.DNS.Blocklists = true, []string{"/root/list"} },
		"ssh":               func(c *config.Router) { c.Uplink.SSH = true }, "a lease": func(c *config.Router) { c.Leases = c.Leases[:1] }, "a forward": func(c *config.Router) { c.Forwards = nil },
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
	s := SettingsOf(routerOf(config.RouterNAT).Config().Router, "shelf-router")
	if len(s.NAT.Forwards) != 1 || s.NAT.Forwards[0].To.String() != "10.77.0.60:80" || s.NAT.Network.String() != "10.77.0.1/24" {
		t.Errorf("got %+v", s)
	}
	if s := SettingsOf(routerOf(config.RouterProxyARP).Config().Router, "shelf-router"); s.NAT.Network.IsValid() || len(s.NAT.Forwards) != 0 {
		t.Errorf("proxy-arp: got %+v", s)
	}
}

func TestDNSMasqConfig(t *testing.T) {
	cards := Cards{"eth0", "wlan0", true}
	with := func(mode string, change func(c *config.Router)) string {
		c := routerOf(mode).Config().Router
		c.DNS = dns
		change(&c)
		return DNSMasqConfig(c, cards, "shelf-router")
	}
	none := func(*config.Router) {}
	for _, c := range []struct {
		name, got  string
		want, miss []string
	}{
		{"nat", DNSMasqConfig(routerOf(config.RouterNAT).Config().Router, cards, "shelf-router"), []string{
			"interface=eth0\n", "dhcp-range=10.77.0.128,10.77.0.254,255.255.255.0,12h\n", "dhcp-option=option:ntp-server,0.0.0.0\n", "dhcp-host=02:00:00:00:00:10,node1,10.77.0.60\n",
			"dhcp-host=02:00:00:00:00:11,node2\n", "host-record=shelf-router.shelf,shelf-router,10.77.0.1\n", "local=/shelf/\n", "resolv-file=/etc/resolv.conf\n", "bind-dynamic\n",
			"enable-ra\ndhcp-range=::,constructor:eth0,ra-only\n",
		}, []string{"nobody", "wlan0", "addn-hosts", "servers-file", "hostsdir"}},
		{"nat without IPv6", DNSMasqConfig(routerOf(config.RouterNAT).Config().Router, Cards{"eth0", "wlan0", false}, "shelf-router"), []string{"dhcp-range=10.77.0.128,"}, []string{"enable-ra", "ra-only"}},
		{"nat with names", with(config.RouterNAT, none), []string{
			"dhcp-range=", "no-resolv\nserver=9.9.9.9\n", "addn-hosts=/run/shelf/router/hosts\n", "servers-file=/var/lib/blocklists/blocked.conf\n",
		}, []string{"nobody", "interface=wlan0", "resolv-file", "hostsdir"}},
		{"on the uplink", with(config.RouterNAT, func(c *config.Router) { c.DNS.Uplink = true }), []string{"interface=eth0\ninterface=wlan0\n"}, nil},
		{"proxy-arp", with(config.RouterProxyARP, func(c *config.Router) { c.DNS.Servers, c.DNS.Blocklists = nil, nil }), []string{
			"interface=eth0\n", "interface=lo\n", "hostsdir=/run/shelf/router/boards\n", "interface-name=shelf-router,wlan0\n", "resolv-file=/run/shelf/router/resolv.conf\n",
		}, []string{"dhcp", "enable-ra", "bind-", "bogus-priv", "domain-needed", "servers-file", "no-resolv", "except-interface", "interface=wlan0\n"}},
	} {
		for _, want := range c.want {
			if !strings.Contains(c.got, want) {
				t.Errorf("%s: %q is not in\n%s", c.name, want, c.got)
			}
		}
		for _, miss := range c.miss {
			if strings.Contains(c.got, miss) {
				t.Errorf("%s: %q is in\n%s", c.name, miss, c.got)
			}
		}
	}
	if got, want := hosts(config.Router{DNS: dns}), "10.77.0.20 NAS\n"; got != want {
		t.Errorf("hosts: got %q, want %q", got, want)
	}
	n := namesOf(config.Router{DNS: dns}, "Shelf-Router")
	if !slices.Equal(n.Ours, []string{"shelf-router", "shelf-router.shelf", "nas", "tv"}) || !slices.Equal(n.Lists, dns.Blocklists[:1]) {
		t.Errorf("got %+v", n)
	}
}

// A list does not come from where others could change it.
func TestFollowed(t *testing.T) {
	for text, bad := range map[string]bool{"https://example.org/x": false, "http://example.org/x": true} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := followed(u, 1); (err != nil) != bad {
			t.Errorf("%s: got %v", text, err)
		}
		if err := followed(u, 6); err == nil {
			t.Errorf("%s: no error after 6 steps", text)
		}
	}
}
