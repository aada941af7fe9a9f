package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// netplanTable has every key of netplan 1.1 (its reference of the YAML format), by the place that
// it is in, with a value other than the default, and what becomes of it: + it is taken, and
// changes the configuration; ? it is reported by name; - it is reported as having no effect.
var netplanTable = []struct{ scope, doc, keys string }{
	{"network", "{version: 2, %s}", `renderer: networkd -|ethernets: {eth0: {addresses: [10.0.0.2/24]}} +|wifis: {wlan0: {dhcp4: true, access-points: {a: {password: abcdefgh}}}} +
		|bonds: {b: {interfaces: [eth0], dhcp4: true}} +|bridges: {b: {interfaces: [eth0], dhcp4: true}} +|vlans: {v: {id: 5, link: eth0, dhcp4: true}} +
		|tunnels: {t: {mode: sit}} ?|vrfs: {v: {table: 5}} ?|modems: {m: {apn: x}} ?|dummy-devices: {d: {}} ?|virtual-ethernets: {v: {peer: w}} ?|nm-devices: {n: {}} ?|openvswitch: {} ?`},
	{"device", "{ethernets: {eth0: {%s}, eth1: {dhcp4: true}}}", `renderer: networkd -|dhcp4: true +|dhcp6: true +|ipv6-mtu: 1400 ?|ipv6-privacy: true ?|link-local: [ipv4] ?|ignore-carrier: true -
		|critical: true -|dhcp-identifier: duid ?|dhcp4-overrides: {route-metric: 5} +|dhcp6-overrides: {route-metric: 5} +|accept-ra: no +|ra-overrides: {use-dns: no} +
		|addresses: [10.0.0.2/24] +|ipv6-address-generation: stable-privacy ?|ipv6-address-token: '::2' ?|gateway4: 10.0.0.1 +|gateway6: 'fd00::1' +|nameservers: {addresses: [1.1.1.1]} +
		|macaddress: 02:00:00:00:00:01 ?|mtu: 1400 +|optional: true +|optional-addresses: [dhcp6] -|activation-mode: manual ?|routes: [{to: 10.0.0.0/8, via: 10.0.0.1}] +
		|routing-policy: [{from: 10.0.0.2, table: 5}] ?|neigh-suppress: true ?|hairpin: true ?|port-mac-learning: false ?|openvswitch: {} ?|networkmanager: {} -`},
	{"physical", "{ethernets: {eth0: {dhcp4: true, mtu: 1400, %s}}}", `match: {macaddress: '02:00:00:00:00:01'} +|set-name: lan -|wakeonlan: true ?|emit-lldp: true ?|receive-checksum-offload: true ?|transmit-checksum-offload: true ?
		|tcp-segmentation-offload: false ?|tcp6-segmentation-offload: false ?|generic-segmentation-offload: false ?|generic-receive-offload: false ?|large-receive-offload: false ?|auth: {key-management: 802.1x, password: x} ?`},
	{"ethernets", "{ethernets: {eth0: {dhcp4: true, %s}}}", `link: eth1 ?|virtual-function-count: 2 ?|embedded-switch-mode: legacy ?|delay-virtual-functions-rebind: true ?|infiniband-mode: datagram ?`},
	{"wifis", "{wifis: {wlan0: {dhcp4: true, %s}}}", `access-points: {a: {password: abcdefgh}} +|wakeonwlan: [any] ?|regulatory-domain: GB +`},
	{"bonds", "{bonds: {b: {dhcp4: true, interfaces: [eth0], %s}}}", `interfaces: [eth0, eth1] +|parameters: {mode: 802.3ad} +`},
	{"bridges", "{bridges: {b: {dhcp4: true, %s}}}", `interfaces: [eth0] +|parameters: {stp: true} ?`},
	{"vlans", "{vlans: {v: {dhcp4: true, id: 4, link: eth0, %s}}}", `id: 5 +|link: eth1 +`},
	{"match", "{ethernets: {lan: {dhcp4: true, mtu: 1400, match: {%s}}}}", `name: eth7 +|macaddress: '02:00:00:00:00:01' +|driver: bcmgenet ?`},
	{"nameservers", "{ethernets: {eth0: {dhcp4: true, nameservers: {%s}}}}", `addresses: [1.1.1.1] +|search: [lan] +`},
	{"address", "{ethernets: {eth0: {addresses: [10.0.0.2/24: {%s}]}}}", `label: maas ?|lifetime: 0 ?`},
	{"overrides", "{ethernets: {eth0: {dhcp4: true, dhcp4-overrides: {%s}}}}", `use-dns: no +|use-routes: false +|route-metric: 7 +|use-ntp: false ?|use-mtu: false ?|send-hostname: false ?|use-hostname: true -|hostname: other ?|use-domains: route ?`},
	{"ra-overrides", "{ethernets: {eth0: {dhcp4: true, ra-overrides: {%s}}}}", `use-dns: no +|use-domains: route ?|table: 5 ?`},
	{"route", "{ethernets: {eth0: {addresses: [10.0.0.2/24], routes: [{to: 10.1.0.0/16, via: 10.0.0.1, %s}]}}}", `to: 10.2.0.0/16 +|via: 10.0.0.3 +|metric: 5 +|on-link: true =|from: 10.0.0.2 ?|type: blackhole ?|scope: link ?|table: 101 ?|mtu: 1400 ?
		|congestion-window: 10 ?|advertised-receive-window: 10 ?|advertised-mss: 1400 ?`},
	{"access-point", "{wifis: {wlan0: {dhcp4: true, access-points: {a: {%s}}}}}", `password: abcdefgh +|auth: {password: abcdefgh} +|mode: ap ?|hidden: true +|bssid: '02:00:00:00:00:01' ?|band: 5GHz ?|channel: 1 ?|networkmanager: {} -|psk: abcdefgh +|passphrase: abcdefgh +`},
	{"auth", "{wifis: {wlan0: {dhcp4: true, access-points: {a: {auth: {%s}}}}}}", `key-management: eap ?|password: abcdefgh +|method: ttls ?|identity: me ?|anonymous-identity: x ?|ca-certificate: /x ?|client-certificate: /x ?|client-key: /x ?|client-key-password: x ?|phase2-auth: MSCHAPV2 ?|psk: abcdefgh +`},
	{"bond params", "{bonds: {b: {dhcp4: true, interfaces: [eth0], parameters: {%s}}}}", `mode: broadcast +|lacp-rate: fast ?|mii-monitor-interval: 5 ?|min-links: 2 ?|transmit-hash-policy: layer3+4 ?|ad-select: count ?|all-members-active: true ?|all-slaves-active: true ?
		|arp-interval: 5 ?|arp-ip-targets: [10.0.0.1] ?|arp-validate: all ?|arp-all-targets: all ?|up-delay: 5 ?|down-delay: 5 ?|fail-over-mac-policy: active ?|gratuitous-arp: 2 ?|gratuitious-arp: 2 ?|packets-per-member: 2 ?|packets-per-slave: 2 ?
		|primary-reselect-policy: better ?|resend-igmp: 2 ?|learn-packet-interval: 2 ?|primary: eth0 ?`},
	{"bridge params", "{bridges: {b: {dhcp4: true, interfaces: [eth0], parameters: {%s}}}}", `stp: true ?|ageing-time: 5 ?|aging-time: 5 ?|priority: 5 ?|port-priority: {eth0: 5} ?|forward-delay: 5 -|hello-time: 5 -|max-age: 5 -|path-cost: {eth0: 5} ?`},
}

// Every key of netplan is taken or reported by name, and every key that is taken changes something.
func TestNetplanKeys(t *testing.T) {
	for _, row := range netplanTable {
		seen := map[string]bool{}
		for _, text := range strings.Split(row.keys, "|") {
			text = strings.TrimSpace(text)
			text, mark := strings.TrimSpace(text[:len(text)-1]), text[len(text)-1]
			key, _, _ := strings.Cut(text, ":")
			seen[fold(key)] = true
			doc := func(inner string) (*Config, []Problem) {
				// A key of the row's own that comes again counts the later time.
				in := strings.ReplaceAll(fmt.Sprintf(row.doc, inner), ", }", "}")
				l, problems := Parse(NetworkConfigName, []byte(in))
				c, _ := Merge(l)
				c.where = nil
				return c, problems
			}
			with, problems := doc(text)
			without, _ := doc("")
			reported, is := Note, false
			for _, p := range problems {
				if strings.HasSuffix(p.Key, "."+key) || p.Key == key || strings.Contains(p.Key, "."+key+".") {
					reported, is = p.Severity, true
				}
			}
			changed := fmt.Sprintf("%+v", with) != fmt.Sprintf("%+v", without)
			switch {
			case mark == '+' && (is || !changed):
				t.Errorf("%s: %s is to be taken: changed %v, %v", row.scope, text, changed, problems)
			case mark == '=' && is:
				t.Errorf("%s: %s is what a node does: %v", row.scope, text, problems)
			case mark == '?' && (!is || reported < Warning):
				t.Errorf("%s: %s is not reported: %v", row.scope, text, problems)
			case mark == '-' && (!is || reported != Note):
				t.Errorf("%s: %s has no note: %v", row.scope, text, problems)
			}
		}
		for name := range foreignRules()[row.scope] {
			if !seen[name] && name != "version" {
				t.Errorf("%s: the key %s is in no row", row.scope, name)
			}
		}
	}
	var scopes []string
	for _, row := range netplanTable {
		scopes = append(scopes, row.scope)
	}
	for _, scope := range slices.Sorted(maps.Keys(netplanKeys)) {
		if !slices.Contains(scopes, scope) && !strings.HasPrefix(scope, "v1") {
			t.Errorf("nothing is tried of %s", scope)
		}
	}
	for _, bad := range []string{"{ethernets: {eth0: {dhcp5: true}}}", "{ethernets: {eth0: {match: {nam: x}}}}", "{ethernets: {eth0: {routes: [{too: 10.0.0.0/8}]}}}", "{bonds: {b: {interfaces: [eth0], parameters: {mod: x}}}}", "{etherents: {}}"} {
		_, problems := Parse(NetworkConfigName, []byte(bad))
		if len(problems) == 0 || !strings.Contains(fmt.Sprint(problems), "no such key") {
			t.Errorf("%s: %v", bad, problems)
		}
	}
}

// Foreign network files and their translation as a whole.
func TestForeignNetworks(t *testing.T) {
	const v1 = "version: 1\nconfig:\n"
	for _, f := range []fact{
		{"a bond over two cards, the address on it", `{ethernets: {eth0: {dhcp4: false}, eth1: {dhcp4: false}}, bonds: {bond0: {interfaces: [eth0, eth1], addresses: [10.0.0.2/24], gateway4: 10.0.0.1, parameters: {mode: active-backup}}}}`,
			map[string]string{"network.bonds": "[{bond0 [eth0 eth1] active-backup}]", "network.interfaces[0].name": "bond0", "network.interfaces[0].addresses": `["10.0.0.2/24"]`, "network.interfaces[0].gateway": "10.0.0.1", "network.interfaces[1].name": "unset"}, nil},
		{"a bond of cards that are matched by MAC", `{ethernets: {a: {match: {macaddress: 'DC:A6:32:00:00:01'}, set-name: a}, b: {match: {macaddress: 'dc:a6:32:00:00:02'}, set-name: b}}, bonds: {bond0: {interfaces: [a, b], dhcp4: true}}}`,
			map[string]string{"network.bonds": "[{bond0 [DC:A6:32:00:00:01 dc:a6:32:00:00:02] balance-rr}]", "network.interfaces[0].name": "bond0", "network.interfaces[0].dhcp": "true", "network.interfaces[1].name": "unset"}, []string{"note: ethernets.a.set-name", "note: ethernets.b.set-name"}},
		{"a VLAN over a parent without address", `{ethernets: {eth0: {}}, vlans: {v20: {id: 20, link: eth0, addresses: [10.20.0.2/24]}}}`,
			map[string]string{"network.vlans": "[{v20 eth0 20}]", "network.interfaces[0].name": "eth0", "network.interfaces[0].dhcp": "false", "network.interfaces[1].name": "v20", "network.interfaces[1].addresses": `["10.20.0.2/24"]`}, nil},
		{"a bridge on a bond, and a VLAN on it", `{bonds: {bond0: {interfaces: [eth0]}}, bridges: {br0: {interfaces: [bond0], dhcp4: true}}, vlans: {v: {id: 5, link: br0, dhcp4: no, addresses: [10.5.0.2/24]}}}`,
			map[string]string{"network.bridges": "[{br0 [bond0]}]", "network.vlans": "[{v br0 5}]", "network.interfaces[0].name": "br0", "network.interfaces[1].name": "v"}, nil},
		{"a part that cannot be made has the only address", `{ethernets: {eth0: {dhcp4: false}}, tunnels: {t: {mode: sit, addresses: [10.0.0.2/24]}}}`,
			map[string]string{"network.interfaces[0].dhcp": "true"}, []string{"nothing that a node takes of this file leads to an address; its cards ask DHCP", "tunnels: this is not done here"}},
		{"a VLAN without number has the only address", `{ethernets: {eth0: {dhcp4: false}}, vlans: {v: {link: eth0, addresses: [10.0.0.2/24]}}}`,
			map[string]string{"network.interfaces[0].dhcp": "true", "network.interfaces[1].name": "unset", "network.vlans": "[]"}, []string{"its cards ask DHCP", "vlans.v: a VLAN needs a number"}},
		{"dual stack", `{ethernets: {eth0: {addresses: [10.0.0.2/24, 'fd00::2/64'], routes: [{to: default, via: 10.0.0.1}, {to: default, via: 'fd00::1'}]}}}`,
			map[string]string{"network.interfaces[0].gateway": "10.0.0.1", "network.interfaces[0].gateway6": "fd00::1", "network.interfaces[0].routes": "[]"}, nil},
		{"gateways of old", `{ethernets: {eth0: {addresses: [10.0.0.2/24, 'fd00::2/64'], gateway4: 10.0.0.1, gateway6: 'fd00::1'}}}`,
			map[string]string{"network.interfaces[0].gateway": "10.0.0.1", "network.interfaces[0].gateway6": "fd00::1"}, nil},
		{"a policy route is not the gateway", `{ethernets: {eth0: {addresses: [10.0.0.2/24], routes: [{to: default, via: 10.0.0.9, table: 101}, {to: 0.0.0.0/0, via: 10.0.0.1}]}}}`,
			map[string]string{"network.interfaces[0].gateway": "10.0.0.1", "network.interfaces[0].routes": "[]"}, []string{"routes[0].table: a node has the main table alone; this route is left out"}},
		{"IPv6 alone", `{ethernets: {eth0: {dhcp4: false, dhcp6: true}}}`, map[string]string{"network.interfaces[0].dhcp": "false", "network.interfaces[0].dhcp6": "true"}, nil},
		{"two patterns that mean the cables", `{ethernets: {a: {match: {name: 'en*'}, dhcp4: true}, b: {match: {name: 'eth*'}, dhcp4: true}}}`, map[string]string{"network.interfaces": "[]"}, nil},
		{"two patterns with addresses", `{ethernets: {a: {match: {name: 'e*'}, addresses: [10.0.0.2/24]}, b: {match: {name: 'eth*'}, addresses: [10.0.0.3/24]}}}`,
			map[string]string{"network.interfaces[0].name": "auto", "network.interfaces[1].name": "unset"}, []string{"the first counts, and this one is left out"}},
		{"a pattern of another system, with an address", `{ethernets: {a: {match: {name: 'en*'}, addresses: [10.0.0.2/24]}, b: {match: {name: 'eth*'}, addresses: [10.0.0.3/24]}}}`,
			map[string]string{"network.interfaces[0].addresses": `["10.0.0.3/24"]`, "network.interfaces[1].name": "unset"}, []string{"note: ethernets.a: no card here has such a name"}},
		{"a pattern of another system alone", `{ethernets: {a: {match: {name: 'en*'}, addresses: [10.0.0.2/24]}}}`,
			map[string]string{"network.interfaces[0].name": "auto", "network.interfaces[0].addresses": `["10.0.0.2/24"]`}, nil},
		{"a driver and a new name", `{ethernets: {lan: {match: {driver: bcmgenet}, set-name: lan0, addresses: [10.0.0.2/24]}}}`, map[string]string{"network.interfaces[0].name": "auto", "network.interfaces[0].addresses": `["10.0.0.2/24"]`},
			[]string{"warning: ethernets.lan.match.driver", "note: ethernets.lan.set-name"}},
		{"a name as udev gives it", `{ethernets: {enp3s0: {addresses: [10.0.0.2/24]}}}`, map[string]string{"network.interfaces[0].name": "auto"}, []string{`none "enp3s0"; the first wired card with a link is taken for it`}},
		{"a name as udev makes it of a MAC", `{ethernets: {enxdca632010203: {addresses: [10.0.0.2/24]}}}`, map[string]string{"network.interfaces[0].mac": "dc:a6:32:01:02:03"}, nil},
		{"a radio with settings of its own", `{wifis: {wlp2s0: {addresses: [10.0.0.2/24], mtu: 1400, nameservers: {addresses: [1.1.1.1]}, routes: [{to: default, via: 10.0.0.1}], dhcp4-overrides: {route-metric: 50}, access-points: {home: {password: abcdefgh}}}}}`,
			map[string]string{"network.interfaces[0].name": "wlan0", "network.interfaces[0].mtu": "1400", "network.interfaces[0].dns": `["1.1.1.1"]`, "network.interfaces[0].gateway": "10.0.0.1", "network.interfaces[0].metric": "50", "network.wifi[0].name": "home"}, nil},
		{"overrides", `{ethernets: {eth1: {dhcp4: true, dhcp4-overrides: {use-routes: false, use-dns: no}}}}`, map[string]string{"network.interfaces[0].ignore_routes": "true", "network.interfaces[0].ignore_dns": "true", "network.interfaces[0].dhcp": "true"}, nil},
		{"networks that are not joined", `{wifis: {wlan0: {dhcp4: true, access-points: {eap: {auth: {key-management: eap, identity: me, password: secret}}, ap: {mode: ap, password: abcdefgh}, slip: {pasword: abcdefgh}, none: {auth: {key-management: psk}}, text: abcdefgh, empty: {password: }, open: {}}}}}`,
			map[string]string{"network.wifi[0].name": "open", "network.wifi[1].name": "unset"}, []string{"eap.auth.key-management", "eap.auth.identity", "ap.mode", "slip: the network is left out", "slip.pasword", "none: the network is left out", "text: this must be a map", "empty: the network is left out"}},

		{"version 1, DHCP", v1 + "- {type: physical, name: eth0, mac_address: 'dc:a6:32:01:02:03', subnets: [{type: dhcp}]}\n- {type: nameserver, address: [1.1.1.1, 9.9.9.9], search: [lan]}\n",
			map[string]string{"network.interfaces[0].mac": "dc:a6:32:01:02:03", "network.interfaces[0].dhcp": "true", "network.dns": `["1.1.1.1" "9.9.9.9"]`, "network.search": `["lan"]`}, nil},
		{"version 1, static", v1 + "- {type: physical, name: eth0, mtu: 1400, subnets: [{type: static, address: 10.0.0.2, netmask: 255.255.255.0, gateway: 10.0.0.1, dns_nameservers: [10.0.0.1, 1.1.1.1], routes: [{network: 10.1.0.0, netmask: 255.255.0.0, gateway: 10.0.0.9}]}, {type: static6, address: 'fd00::2/64', gateway: 'fd00::1'}]}\n- {type: route, destination: 10.2.0.0/16, gateway: 10.0.0.8, metric: 3}\n",
			map[string]string{"network.interfaces[0].addresses": `["10.0.0.2/24" "fd00::2/64"]`, "network.interfaces[0].gateway": "10.0.0.1", "network.interfaces[0].gateway6": "fd00::1", "network.interfaces[0].mtu": "1400",
				"network.interfaces[0].dns": `["10.0.0.1" "1.1.1.1"]`, "network.interfaces[0].routes": "[{10.1.0.0/16 10.0.0.9 0} {10.2.0.0/16 10.0.0.8 3}]", "network.interfaces[0].dhcp": "false"}, nil},
		{"version 1, a bond, a bridge and a VLAN", v1 + "- {type: physical, name: eth0}\n- {type: physical, name: eth1}\n- {type: bond, name: bond0, bond_interfaces: [eth0, eth1], params: {bond-mode: 4, bond-miimon: 100, bond-lacp-rate: fast}}\n- {type: bridge, name: br0, bridge_interfaces: [bond0], params: {bridge_stp: 'off'}, subnets: [{type: dhcp4}]}\n- {type: vlan, name: br0.5, vlan_link: br0, vlan_id: 5, subnets: [{type: static, address: 10.5.0.2/24}]}\n",
			map[string]string{"network.bonds": "[{bond0 [eth0 eth1] 802.3ad}]", "network.bridges": "[{br0 [bond0]}]", "network.vlans": "[{br0.5 br0 5}]", "network.interfaces[0].name": "br0", "network.interfaces[0].dhcp": "true", "network.interfaces[1].name": "br0.5"},
			[]string{"config[2].params.bond-lacp-rate"}},
		{"version 1, what is not read", v1 + "- {type: infiniband, name: ib0}\n- {type: physical, name: eth0, odd: 1, subnets: [{type: dhcp6}, {type: ppp, pointopoint: 10.0.0.1}]}\n- {name: x}\n- {type: loopback, name: lo}\n",
			map[string]string{"network.interfaces[0].dhcp6": "true", "network.interfaces[0].dhcp": "false"}, []string{"config[0].type: interfaces of the type", "config[1].odd", `"ppp" is not a way to an address`, "pointopoint", "config[2]: its type is missing"}},
		{"version 1, switched off", "version: 1\nconfig: disabled\n", map[string]string{"network.interfaces": "[]"}, []string{"this must be a list of interfaces"}},
	} {
		t.Run(f.name, func(t *testing.T) {
			l, problems := Parse(NetworkConfigName, []byte(f.in))
			c, more := Merge(l)
			f.check(t, c, append(problems, more...))
		})
	}
}

// Secrets of parts that are not read leave the boot partition like others.
func TestForeignSecrets(t *testing.T) {
	in := "wifis: {wlan0: {access-points: {a: {auth: {key-management: eap, password: geheim-1, client-key-password: geheim-2}}, b: {mode: ap, password: geheim-3}, c: geheim-4}}}\ntunnels: {w: {mode: wireguard, key: geheim-5, peers: [{keys: {public: offen, shared: geheim-6}}]}}\nmodems: {m: {password: geheim-7, pin: geheim-8}}\nethernets: {eth0: {dhcp4: true, auth: {password: geheim-9}}}\n"
	got, err := Import(NetworkConfigName, []byte(in), nil, []byte("0123456789abcdef"))
	if err != nil || strings.Contains(string(got.Blanked), "geheim") || !strings.Contains(string(got.Blanked), "offen") || len(got.Blanked) != len(in) {
		t.Errorf("%v\n%s", err, got.Blanked)
	}
	if string(got.Keep) != in {
		t.Errorf("it keeps\n%s", got.Keep)
	}
	again, err := Import(NetworkConfigName, got.Blanked, got.Keep, nil)
	if c, _ := Merge(again.Layer); err != nil || len(c.AllWiFi()) != 0 {
		t.Errorf("%v: joins %v", err, c.AllWiFi())
	}
}
