package config

import (
	"slices"
	"strings"
	"testing"
)

// k3OS's own documentation gives a node its address by a file for connman; such a node keeps it.
// Sections of ours count first, and what is taken out loses its effect.
func TestConnmanInWriteFiles(t *testing.T) {
	file := "write_files:\n- path: /var/lib/connman/default.config\n  content: |\n    [service_eth0]\n    Type=ethernet\n    IPv4=192.168.1.20/255.255.255.0/192.168.1.1\n    Nameservers=192.168.1.1,off\n    [service_wifi]\n    Type=wifi\n    Name=home\n    Passphrase=correct horse\n"
	c := parse(t, file)
	want := Interface{Name: "auto", Addresses: []string{"192.168.1.20/24"}, Gateway: "192.168.1.1", DNS: []string{"192.168.1.1"}}
	if n := c.Network.Interfaces; len(n) != 1 || n[0].Name != want.Name || n[0].DHCP || !slices.Equal(n[0].Addresses, want.Addresses) || n[0].Gateway != want.Gateway || !slices.Equal(n[0].DNS, want.DNS) {
		t.Errorf("%+v, want %+v", c.Network.Interfaces, want)
	}
	if w := c.AllWiFi(); len(w) != 1 || w[0] != (WiFi{Name: "home", Passphrase: "correct horse"}) {
		t.Errorf("%+v", w)
	}
	c = parse(t, file+"network:\n  interfaces: [{name: eth1}]\n  wifi: [{name: home, passphrase: another one}]\n")
	if n := c.Network.Interfaces; len(n) != 1 || n[0].Name != "eth1" || len(c.AllWiFi()) != 1 || c.AllWiFi()[0].Passphrase != "another one" {
		t.Errorf("our own section does not count first: %+v %+v", n, c.AllWiFi())
	}
	a, _ := Parse("a", []byte(file))
	b, _ := Parse("b", []byte("write_files: []\n"))
	if c, _ := Merge(a, b); len(c.Network.Interfaces) != 0 || len(c.AllWiFi()) != 0 {
		t.Errorf("the file was taken out, its address was not: %+v", c.Network)
	}
	for _, f := range []string{"/var/lib/connman/settings", "/var/lib/connman/wifi_0/settings", "/etc/default.config"} {
		if n, items := (&Config{WriteFiles: []File{{Path: f, Content: "[service_a]\nIPv4=10.0.0.2/24/10.0.0.1\n"}}}).connman(); len(items) > 0 || len(n.Interfaces) > 0 {
			t.Errorf("%s: %+v", f, n)
		}
	}
}

// The flag of k3OS's days is given to k3s by today's name.
func TestNoDeploy(t *testing.T) {
	c := &Config{K3OS: K3OS{K3sArgs: []string{"server", "--no-deploy", "traefik", "--no-deploy=servicelb", "--no-deployment"}}}
	if got := c.K3sArguments(); !slices.Equal(got, []string{"--disable", "traefik", "--disable=servicelb", "--no-deployment"}) {
		t.Errorf("%q", got)
	}
	if c.K3OS.K3sArgs[1] != "--no-deploy" {
		t.Errorf("the configuration itself was changed: got %q, want %q", c.K3OS.K3sArgs[1], "--no-deploy")
	}
}

// Both families have their gateway, and the one that connman asked DHCP for still does.
func TestConnmanFamilies(t *testing.T) {
	for text, want := range map[string]Interface{
		"[service_a]\nIPv4=10.0.0.2/24/10.0.0.1\nIPv6=fd00::2/64/fd00::1\n":                                                            {Addresses: []string{"10.0.0.2/24", "fd00::2/64"}, Gateway: "10.0.0.1", Gateway6: "fd00::1"},
		"[service_a]\nIPv4=dhcp\nIPv6=fd00::2/64/fd00::1\n":                                                                            {DHCP: true, Addresses: []string{"fd00::2/64"}, Gateway6: "fd00::1"},
		"[service_a]\nIPv4=off\nIPv6=fd00::2/64\n":                                                                                     {Addresses: []string{"fd00::2/64"}},
		"[ethernet_dca632010203_cable]\nIPv4.method=dhcp\nIPv6.method=manual\nIPv6.local_address=fd00::2\nIPv6.netmask_prefixlen=64\n": {DHCP: true, Addresses: []string{"fd00::2/64"}},
	} {
		name := "a.config"
		if strings.Contains(text, "method") {
			name = "ethernet_x/settings"
		}
		var n Connman
		n.Add(name, text)
		if len(n.Interfaces) != 1 {
			t.Errorf("%q: %+v: got %v, want 1", text, n, len(n.Interfaces))
			continue
		}
		got := n.Interfaces[0]
		if got.DHCP != want.DHCP || got.Gateway != want.Gateway || got.Gateway6 != want.Gateway6 || !slices.Equal(got.Addresses, want.Addresses) {
			t.Errorf("%q: got %+v, want %+v", text, got, want)
		}
	}
}

// A network whose passphrase connman asked for, or keeps elsewhere, is not an open one.
func TestConnmanNeverOpen(t *testing.T) {
	for text, joined := range map[string]bool{
		"[service_a]\nType=wifi\nName=home\n":                    true,
		"[service_a]\nType=wifi\nName=home\nSecurity=none\n":     true,
		"[service_a]\nType=wifi\nName=home\nSecurity=psk\n":      false,
		"[wifi_dca632010203_686f6d65_managed_psk]\nName=home\n":  false,
		"[wifi_dca632010203_686f6d65_managed_none]\nName=home\n": true,
	} {
		var n Connman
		name := "a.config"
		if strings.HasPrefix(text, "[wifi") {
			name = "wifi_x/settings"
		}
		n.Add(name, text)
		if (len(n.WiFi) == 1) != joined || joined == (len(n.Notes) > 0) {
			t.Errorf("%q: %+v", text, n)
		}
	}
}
