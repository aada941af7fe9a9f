package images

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestPort(t *testing.T) {
	shelf := netip.MustParseAddr("192.168.1.10")
	for _, c := range []struct {
		listen, proto, at string
		want              bool
	}{
		{"tcp/22@any", "tcp", "0.0.0.0:22", true},
		{"tcp/22@any", "tcp", "[::]:22", true},
		{"tcp/22@any", "tcp", "192.168.1.10:22", false},
		{"tcp/22@any", "udp", "0.0.0.0:22", false},
		{"tcp/22@any", "tcp", "0.0.0.0:23", false},
		{"tcp/9100@shelf", "tcp", "192.168.1.10:9100", true},
		{"tcp/9100@shelf", "tcp", "[::ffff:192.168.1.10]:9100", true},
		{"tcp/9100@shelf", "tcp", "0.0.0.0:9100", false},
		{"tcp/10248@local", "tcp", "127.0.0.1:10248", true},
		{"tcp/10248@local", "tcp", "[::1]:10248", true},
		{"tcp/10248@local", "tcp", "[::]:10248", false},
		{"tcp/30000-32767@any", "tcp", "[::]:31000", true},
		{"tcp/30000-32767@any", "tcp", "[::]:32768", false},
	} {
		p := Port{Listen: c.listen, By: "x", For: "y"}
		if err := p.parse(); err != nil {
			t.Fatal(err)
		}
		if got := p.Covers(c.proto, netip.MustParseAddrPort(c.at), shelf); got != c.want {
			t.Errorf("%s covers %s %s: %v", c.listen, c.proto, c.at, got)
		}
	}
	for _, bad := range []string{"", "22", "tcp/22", "tcp/0@any", "tcp/22@everywhere", "sctp/22@any", "tcp/65536@any", "tcp/9-8@any", "tcp/-@any"} {
		if err := (&Port{Listen: bad, By: "x", For: "y"}).parse(); err == nil {
			t.Errorf("%q is taken for a port", bad)
		}
	}
}

// docs/ports.md has every port of every role, in a row of its own.
func TestPortsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/ports.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 6 {
			rows[strings.Trim(cells[1], " `")+" "+strings.TrimSpace(cells[3])] = strings.TrimSpace(cells[2])
		}
	}
	for _, name := range Names() {
		ports := slices.Concat(load().base.Ports, load().roles[name].Ports)
		if len(ports) == 0 {
			t.Fatalf("%s: got no ports", name)
		}
		for _, p := range ports {
			roles, ok := rows[p.Listen+" "+p.By]
			if !ok || roles != "all" && !strings.Contains(roles, name) {
				t.Errorf("docs/ports.md has no row for %s of %s on a %s", p.Listen, p.By, name)
			}
		}
	}
}
