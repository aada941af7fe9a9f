package config

import (
	"slices"
	"testing"
)

// k3OS's own documentation gives a node its address by a file for connman; such a node keeps it. Sections of ours count first,
// and what is taken out loses its effect.
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
		t.Error("the configuration itself was changed")
	}
}
