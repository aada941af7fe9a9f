package config

import (
	"fmt"
	"strings"
	"testing"
)

// A value that is reported as left out is in no field, and what depended on it is reported too.
func TestLeftOut(t *testing.T) {
	for _, f := range []fact{
		{"a country in full", "network: {country: Germany}", map[string]string{"network.country": ""}, []string{`"Germany" is not a country's two letters; it is left out`}},
		{"a country in small letters", "network: {country: de}", map[string]string{"network.country": "DE"}, nil},
		{"an MTU", "network: {interfaces: [{name: eth0, mtu: 9}]}", map[string]string{"network.interfaces[0].mtu": "0"}, []string{"9 is not a number from 576 to 65535; it is left out"}},
		{"a metric", "network: {interfaces: [{name: eth0, metric: -1}]}", map[string]string{"network.interfaces[0].metric": "0"}, []string{"-1 is not a number from 0"}},
		{"a VLAN's number", "network: {vlans: [{parent: eth0, id: 4095}]}", map[string]string{"network.vlans[0].id": "0"}, []string{"4095 is not a number from 1 to 4094; it is left out"}},
		{"the network's address", "network: {interfaces: [{name: eth0, addresses: [192.168.1.0/24]}]}", map[string]string{"network.interfaces[0].addresses": "[]", "network.interfaces[0].dhcp": "true"},
			[]string{"192.168.1.0/24 is the network itself, not an address in it; it is left out"}},
		{"the broadcast address", "network: {interfaces: [{name: eth0, addresses: [192.168.1.255/24]}]}", map[string]string{"network.interfaces[0].addresses": "[]", "network.interfaces[0].dhcp": "true"},
			[]string{"192.168.1.255/24 is the broadcast address of its network; it is left out"}},
		{"point to point", "network: {interfaces: [{name: eth0, addresses: [192.168.1.0/31, 10.0.0.0/32, 'fd00::/64']}]}", map[string]string{"network.interfaces[0].addresses": `["192.168.1.0/31" "10.0.0.0/32" "fd00::/64"]`}, nil},
		{"the only address, and no DHCP", "network: {interfaces: [{name: eth0, dhcp: false, addresses: [192.168.1.256/24]}]}", map[string]string{"network.interfaces[0].dhcp": "true"},
			[]string{"network.interfaces[0].dhcp: a part of this item was left out and it has no address; it asks DHCP all the same", "it is left out"}},
		{"addresses misspelt, and no DHCP", "network: {interfaces: [{name: eth0, dhcp: false, adresses: [192.168.1.2/24]}]}", map[string]string{"network.interfaces[0].dhcp": "true"},
			[]string{"it asks DHCP all the same", "there is no such key"}},
		{"no DHCP is meant", "network: {interfaces: [{name: eth0, dhcp: false, dns: []}]}", map[string]string{"network.interfaces[0].dhcp": "false"}, nil},
		{"IPv6 alone", "network: {interfaces: [{name: eth0, dhcp: false, dhcp6: yes, foo: 1}]}", map[string]string{"network.interfaces[0].dhcp": "false", "network.interfaces[0].dhcp6": "true"}, []string{"no such key"}},
	} {
		t.Run(f.name, func(t *testing.T) {
			l, problems := Parse("f.yaml", []byte(f.in))
			c, more := Merge(l)
			f.check(t, c, append(problems, more...))
		})
	}
}

// A network whose item may have a passphrase is never joined as an open one.
func TestNeverOpen(t *testing.T) {
	for in, want := range map[string]string{
		"{name: home}":                                  "open",
		"{name: home, passphrase: ''}":                  "open",
		"{name: home, hidden: true, priority: 3}":       "open",
		"{name: home, passphrase: correct horse}":       "correct horse",
		"{name: home, psk: correct horse}":              "correct horse",
		"{ssid: home, pass: correct horse, odd: 1}":     "correct horse",
		"{name: home, passphrase: }":                    "none",
		"{name: home, passphrase: ~}":                   "none",
		"{name: home, passphrase: [correct horse, b]}":  "none",
		"{name: home, passphrase: {a: b}}":              "none",
		"{name: home, passphrase: short}":               "none",
		"{name: home, pasword: correct horse}":          "none",
		"{name: home, wpa-psk: correct horse}":          "none",
		"{name: home, key_mgmt: WPA-EAP, identity: me}": "none",
		"{name: home, passphrase: xxxxxxxxxxxx}":        "none",
		"{passphrase: correct horse}":                   "none",
	} {
		for _, section := range []string{"network", "k3os"} {
			c := parseAny(section + ": {wifi: [" + in + "]}")
			got := "none"
			for _, w := range c.AllWiFi() {
				if got = w.Passphrase; got == "" {
					got = "open"
				}
			}
			if got != want {
				t.Errorf("%s.wifi %s gives %q, want %q", section, in, got, want)
			}
		}
	}
	// One that cannot be joined is not replaced by another of its name.
	c := parseAny("network: {wifi: [{name: home, wpa-psk: correct horse}]}\nk3os: {wifi: [{name: home}]}")
	if got := c.AllWiFi(); len(got) != 0 {
		t.Errorf("%v is joined", got)
	}
}

func parseAny(text string) *Config {
	l, _ := Parse("f.yaml", []byte(text))
	c, _ := Merge(l)
	return c
}

// Every key of the table, with values that have not its form: what is reported as left out leaves
// the default.
func TestLeftOutEverywhere(t *testing.T) {
	bad := []string{"Germany", "-1", "99999999999", "[]", "{}", "{a: b}", "[[a]]", "1.5", "'not a value'", "../..", "10.0.0.0/33", "zz:zz", "0o9", "[{a: b}, c]"}
	for _, k := range Table() {
		if k.Type == Section || k.Type == Items || k.Type == Named || k.Type == Free || strings.HasPrefix(k.Path, "k3os.install") {
			continue
		}
		for _, v := range bad {
			// The key alone in its sections.
			parts := strings.Split(k.Path, ".")
			text := parts[len(parts)-1] + ": " + v
			for i := len(parts) - 1; i > 0; i-- {
				up := lookupRow(strings.Join(parts[:i], "."))
				switch up.Type {
				case Items:
					text = parts[i-1] + ": [{" + text + "}]"
				case Named:
					text = parts[i-1] + ": {x: {" + text + "}}"
				default:
					text = parts[i-1] + ": {" + text + "}"
				}
			}
			l, problems := Parse("f.yaml", []byte(text))
			left := false
			for _, p := range problems {
				left = left || strings.HasSuffix(p.Key, k.name) && strings.Contains(p.Message, "it is left out")
			}
			if !left {
				continue
			}
			empty, _ := Parse("f.yaml", []byte(strings.Replace(text, parts[len(parts)-1]+": "+v, "", 1)))
			a, _ := Merge(l)
			b, _ := Merge(empty)
			a.where, b.where = nil, nil
			for _, c := range []*Config{a, b} {
				for _, list := range [][]WiFi{c.Network.WiFi, c.K3OS.WiFi} {
					for i := range list {
						list[i].refused = ""
					}
				}
			}
			if x, y := fmt.Sprintf("%+v", a), fmt.Sprintf("%+v", b); x != y {
				t.Errorf("%s is reported as left out and is not:\n%s\n%s", text, x, y)
			}
		}
	}
}

func lookupRow(path string) *Key {
	for _, k := range Table() {
		if k.Path == path {
			return k
		}
	}
	return nil
}
