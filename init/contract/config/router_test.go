package config

import (
	"slices"
	"strings"
	"testing"
)

const goodNAT = `ssh_authorized_keys: [github:me]
network: {country: DE, wifi: [{name: home, passphrase: correct horse}]}
router:
  mode: nat
  shelf: {address: 10.77.0.1/24, range: 10.77.0.100-10.77.0.199}
  leases:
  - {mac: '02:00:00:00:00:10', name: node1, address: 10.77.0.60}
  forwards:
  - {port: 8080, to: '10.77.0.60:80'}
`

const goodDNS = `  dns:
    enabled: true
    servers: [9.9.9.9]
    hosts:
    - {name: nas, address: 192.168.1.20}
    - {name: nas, address: '2001:db8::20'}
    blocklists: [https://example.org/hosts, /home/rancher/blocked]
`

// Every value that cannot work is named with its line, and nothing else is.
func TestRouter(t *testing.T) {
	const more = "  leases:\n"
	for _, c := range []struct{ name, old, new, want string }{
		{"good", "", "", ""},
		{"the same card", "  mode: nat\n", "  mode: nat\n  uplink: {interface: eth0}\n", "f.yaml:6:3: error: router.shelf.interface: \"eth0\" is the uplink's card as well"},
		{"the same card by its address", "  shelf: {", "  uplink: {interface: '02:00:00:00:00:AA'}\n  shelf: {interface: '02-00-00-00-00-aa', ", "is the uplink's card as well"},
		{"no card", "  shelf: {", "  shelf: {interface: 'a/b', ", "\"a/b\" is not the name of an interface"},
		{"Wi-Fi without a network", ", wifi: [{name: home, passphrase: correct horse}]", "", "router.uplink.interface: the uplink is Wi-Fi, and no wireless network is named"},
		{"overlapping networks", "network: {", "network: {interfaces: [{name: eth1, addresses: [10.77.0.9/16], gateway: 10.77.0.1}], ", "f.yaml:2:49: error: network.interfaces[0].addresses[0]: 10.77.0.0/16 overlaps the shelf's network 10.77.0.0/24"},
		{"settings of the shelf's card", "network: {", "network: {interfaces: [{name: eth0, dhcp: true}], ", "warning: network.interfaces[0]: it has no effect on the shelf's card of a router"},
		{"a lease outside the subnet", "address: 10.77.0.60", "address: 10.78.0.60", "f.yaml:7:54: error: router.leases[0].address: 10.78.0.60 is not an address in 10.77.0.0/24"},
		{"the broadcast address", "address: 10.77.0.60", "address: 10.77.0.255", "10.77.0.255 is not an address in 10.77.0.0/24"},
		{"the router's address", "address: 10.77.0.60", "address: 10.77.0.1", "10.77.0.1 is the router's own address"},
		{"a lease for nobody", "mac: '02:00:00:00:00:10', ", "", "the board has no hardware address"},
		{"a lease of nothing", "name: node1, address: 10.77.0.60", "", "the board gets neither an address nor a name"},
		{"a name twice", more, more + "  - {mac: '02:00:00:00:00:11', name: Node1}\n", "\"node1\" is that of item 0 as well"},
		{"an address twice", more, more + "  - {mac: '02:00:00:00:00:11', address: 10.77.0.60}\n", "\"10.77.0.60\" is that of item 0 as well"},
		{"a board twice", more, more + "  - {mac: '02:00:00:00:00:10', address: 10.77.0.61}\n", "\"02:00:00:00:00:10\" is that of item 0 as well"},
		{"no name", "name: node1", "name: node_1.shelf", "\"node_1.shelf\" is not a name for a board"},
		{"a range elsewhere", "range: 10.77.0.100-", "range: 10.76.0.100-", "is not a range of addresses in 10.77.0.0/24"},
		{"a range upside down", "10.77.0.100-10.77.0.199", "10.77.0.199-10.77.0.100", "is not a range of addresses in 10.77.0.0/24"},
		{"the router in the range", "10.77.0.100-", "10.77.0.1-", "contains the router's own address 10.77.0.1"},
		{"no place", "address: 10.77.0.1/24, range: 10.77.0.100-10.77.0.199", "address: 10.77.0.1/30", "the network 10.77.0.0/30 has no place for a shelf"},
		{"a public network", "10.77.0.1/24, range: 10.77.0.100-10.77.0.199", "8.77.0.1/24", "warning: router.shelf.address: 8.77.0.1 is not a private address"},
		{"no port", "port: 8080, ", "", "the port on the uplink is missing"},
		{"a target elsewhere", "'10.77.0.60:80'", "'192.168.1.2:80'", "192.168.1.2 is not an address in 10.77.0.0/24"},
		{"no target", "'10.77.0.60:80'", "node1", "\"node1\" is not an address with a port"},
		{"a target with the same port", "'10.77.0.60:80'", "10.77.0.60", ""},
		{"a port twice", "  forwards:\n", "  forwards:\n  - {port: 8080, to: 10.77.0.61}\n", "tcp/8080 is forwarded by item 0 already"},
		{"ssh given away", "port: 8080", "port: 22", "warning: router.forwards[0].port: ssh to the router does not work"},
		{"another mode", "mode: nat", "mode: bridge", "router.mode"},
		{"no effect without nat", "  mode: nat\n", "", "warning: router.forwards: it has no effect with proxy-arp"},
		{"an unknown key", "  mode: nat\n", "  mode: nat\n  dhcp: yes\n", "router.dhcp"},
		{"dns as a word", "  mode: nat\n", "  mode: nat\n  dns: yes\n", "router.dns"},
		{"a name server", "  mode: nat\n", "  mode: nat\n" + goodDNS, ""},
		{"names without a server", "  mode: nat\n", "  mode: nat\n" + strings.Replace(goodDNS, "enabled: true", "enabled: false", 1), "f.yaml:8:5: warning: router.dns.hosts: it has no effect without a name server"},
		{"the router asks itself", "  mode: nat\n", "  mode: nat\n" + strings.Replace(goodDNS, "9.9.9.9", "10.77.0.1", 1), "router.dns.servers[0]: 10.77.0.1 is the router itself"},
		{"no address of a server", "  mode: nat\n", "  mode: nat\n" + strings.Replace(goodDNS, "9.9.9.9", "dns.example.com", 1), "router.dns.servers[0]"},
		{"no name of a host", "  mode: nat\n", "  mode: nat\n" + strings.Replace(goodDNS, "name: nas,", "", 1), "router.dns.hosts[0]: the name or its address is missing"},
		{"not a name of a host", "  mode: nat\n", "  mode: nat\n" + strings.Replace(goodDNS, "name: nas,", "name: a..b,", 1), "router.dns.hosts[0].name: \"a..b\" is not a name"},
		{"not an address of a host", "  mode: nat\n", "  mode: nat\n" + strings.Replace(goodDNS, "192.168.1.20", "192.168.1", 1), "router.dns.hosts[0].address"},
		{"a host twice", "  mode: nat\n", "  mode: nat\n" + strings.Replace(goodDNS, "'2001:db8::20'", "192.168.1.20", 1), "router.dns.hosts[1]: it is item 0 as well"},
		{"a list in the clear", "  mode: nat\n", "  mode: nat\n" + strings.Replace(goodDNS, "https:", "http:", 1), "f.yaml:11:18: error: router.dns.blocklists[0]: others between"},
		{"a list that is no place", "  mode: nat\n", "  mode: nat\n" + strings.Replace(goodDNS, "/home/rancher/blocked", "blocked", 1), "\"blocked\" is neither"},
		{"a list twice", "  mode: nat\n", "  mode: nat\n" + strings.Replace(goodDNS, "/home/rancher/blocked", "https://example.org/hosts", 1), "router.dns.blocklists[1]: it is item 0 as well"},
	} {
		text := strings.Replace(goodNAT, c.old, c.new, 1)
		if c.old != "" && text == goodNAT {
			t.Fatalf("%s: nothing was replaced", c.name)
		}
		l, problems := Parse("f.yaml", []byte(text))
		cfg, more := Merge(l)
		problems = append(append(problems, more...), Check(cfg, Facts{Role: "router"})...)
		var lines []string
		for _, p := range problems {
			if p.Severity != Note {
				lines = append(lines, p.String())
			}
		}
		got := strings.Join(lines, "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// An empty section is a router of the owner's kind: the shelf on the cable joins the Wi-Fi.
func TestRouterDefaults(t *testing.T) {
	r := Default().Router
	if r.Mode != RouterProxyARP || r.Uplink.Interface != "wlan0" || r.Shelf.Interface != "eth0" || r.Network().String() != "10.77.0.1/24" {
		t.Errorf("got %+v", r)
	}
	if first, last, ok := r.Pool(); !ok || first.String() != "10.77.0.128" || last.String() != "10.77.0.254" {
		t.Errorf("got %s to %s, %v", first, last, ok)
	}
}

// The shelf's card never asks DHCP, and has the router's address in mode nat alone.
func TestRouted(t *testing.T) {
	c := Default()
	c.Network.Interfaces = []Interface{{Name: "eth0", DHCP: true}, {Name: "eth1", DHCP: true}}
	if got := c.Routed(); got != c {
		t.Error("another role's network was changed")
	}
	c.Shelf.Role = "router"
	for _, x := range []struct {
		mode, shelf string
		want        Interface
	}{
		{RouterProxyARP, "eth0", Interface{Name: "eth0", DHCP6: "false", IgnoreRA: true, IgnoreDNS: true, IgnoreRoutes: true, Optional: true}},
		{RouterNAT, "eth0", Interface{Name: "eth0", Addresses: []string{"10.77.0.1/24"}, DHCP6: "false", IgnoreRA: true, IgnoreDNS: true, IgnoreRoutes: true, Optional: true}},
		{RouterProxyARP, "02:00:00:00:00:AA", Interface{MAC: "02:00:00:00:00:aa", DHCP6: "false", IgnoreRA: true, IgnoreDNS: true, IgnoreRoutes: true, Optional: true}},
	} {
		c.Router.Mode, c.Router.Shelf.Interface = x.mode, x.shelf
		list := c.Routed().Network.Interfaces
		got := list[len(list)-1]
		if got.Name != x.want.Name || got.MAC != x.want.MAC || got.DHCP || got.DHCP6 != "false" || !got.IgnoreRA || !slices.Equal(got.Addresses, x.want.Addresses) {
			t.Errorf("%s, %s: got %+v, want %+v", x.mode, x.shelf, got, x.want)
		}
		if want := map[bool]int{true: 2, false: 3}[x.shelf == "eth0"]; len(list) != want || len(c.Network.Interfaces) != 2 {
			t.Errorf("%s: got %d interfaces, want %d", x.shelf, len(list), want)
		}
	}
	c.Router.Shelf.Interface = c.Router.Uplink.Interface
	if got := c.Routed(); len(got.Network.Interfaces) != 2 {
		t.Error("the uplink lost its settings")
	}
}
