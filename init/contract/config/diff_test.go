package config

import (
	"strings"
	"testing"
)

func mergedText(t *testing.T, text string) *Config {
	t.Helper()
	l, problems := Parse("config.yaml", []byte(text))
	c, more := Merge(l)
	for _, p := range append(problems, more...) {
		if p.Severity == Error {
			t.Fatal(p)
		}
	}
	return c
}

func TestDiff(t *testing.T) {
	from := mergedText(t, `
hostname: one
ssh_authorized_keys: [ssh-ed25519 AAAA me]
k3os: {token: secret-one, password: "$6$a$b", labels: {a: "1", b: "2"}, environment: {HTTP_PROXY: x, MY_TOKEN: secret-two}}
network: {wifi: [{name: home, passphrase: secret-three}], interfaces: [{name: eth0, addresses: [192.168.1.10/24], gateway: 192.168.1.1}]}
services: {weather: {command: [/bin/weather]}}
time: {wait: 30s}
`)
	to := mergedText(t, `
hostname: two
ssh_authorized_keys: [ssh-ed25519 AAAA me, ssh-ed25519 BBBB you]
k3os: {token: secret-four, labels: {b: "3"}, environment: {HTTP_PROXY: z, MY_TOKEN: secret-five}}
network: {wifi: [{name: home, passphrase: secret-six}, {name: work}], interfaces: [{name: eth0}]}
services: {weather: {command: [/bin/weather, -v]}}
time: {wait: 1m}
`)
	var lines []string
	for _, c := range Diff(from, to) {
		lines = append(lines, c.String())
	}
	got := strings.Join(lines, "\n")
	want := `~ ssh_authorized_keys: [ssh-ed25519 AAAA me] -> [ssh-ed25519 AAAA me, ssh-ed25519 BBBB you]
~ hostname: one -> two
- k3os.password: ********
~ k3os.token: ******** -> ********
- k3os.labels.a: 1
~ k3os.labels.b: 2 -> 3
~ k3os.environment.HTTP_PROXY: x -> z
~ k3os.environment.MY_TOKEN: ******** -> ********
+ network.interfaces[0].dhcp: true
- network.interfaces[0].addresses: [192.168.1.10/24]
- network.interfaces[0].gateway: 192.168.1.1
~ network.wifi[0].passphrase: ******** -> ********
+ network.wifi[1].name: work
~ services.weather.command: [/bin/weather] -> [/bin/weather, -v]
~ time.wait: 30s -> 1m0s`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if d := Diff(from, from); len(d) != 0 {
		t.Errorf("nothing changed: %v, want length 0", d)
	}
	if strings.Contains(got, "secret") {
		t.Error("a secret is shown")
	}
}

func TestDevices(t *testing.T) {
	c := mergedText(t, "network: {vlans: [{parent: eth0, id: 20}], bonds: [{name: bond0, ports: 'eth1,eth2'}]}")
	if v := c.Network.VLANs[0]; v.Name != "eth0.20" {
		t.Errorf("%+v, want Name %q", v, "eth0.20")
	}
	if b := c.Network.Bonds[0]; b.Mode != "active-backup" || len(b.Ports) != 2 {
		t.Errorf("%+v: got %v, want Mode %q and length 2", b, len(b.Ports), "active-backup")
	}
	for text, want := range map[string]string{
		"vlans: [{parent: eth0, id: 5000}]":                                               "1 to 4094",
		"vlans: [{parent: eth0, id: 2}, {name: eth0.2, parent: eth1, id: 2}]":             "another name",
		"vlans: [{id: 2, name: x}]":                                                       "network.vlans[0].parent",
		"bridges: [{name: br0, ports: [eth0]}, {name: br1, ports: [eth0]}]":               "port of network.bridges[0]",
		"bridges: [{name: br0, ports: [br0]}]":                                            "cannot be a port",
		"bridges: [{name: br0}]":                                                          "connects nothing",
		"bonds: [{name: 'a name that is far too long', ports: [eth0]}]":                   "up to 15 letters",
		"{bridges: [{name: br0, ports: [eth0]}], interfaces: [{name: eth0, dhcp: true}]}": "no address",
	} {
		if !strings.HasPrefix(text, "{") {
			text = "{" + text + "}"
		}
		l, _ := Parse("f", []byte("network: "+text))
		c, _ := Merge(l)
		var all []string
		for _, p := range Check(c, Facts{}) {
			all = append(all, p.String())
		}
		if !strings.Contains(strings.Join(all, "\n"), want) {
			t.Errorf("%s: %q is not among\n%s", text, want, strings.Join(all, "\n"))
		}
	}
	// A port and a parent may be named by hardware address, which init/net/network resolves.
	good, _ := Parse("f", []byte("network: {bonds: [{name: bond0, ports: [eth0, 'dc:a6:32:01:02:03']}], vlans: [{name: v, parent: 'dc:a6:32:01:02:04', id: 2}]}"))
	merged, _ := Merge(good)
	for _, p := range Check(merged, Facts{}) {
		if strings.Contains(p.String(), "network.") {
			t.Errorf("got %s, want no problem", p)
		}
	}
}
