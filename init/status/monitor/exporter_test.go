package monitor

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
	"imgbuild/init/net/network"
	"imgbuild/init/supervise"
)

func card(name string, metric int, addresses ...string) network.Status {
	s := network.Status{Name: name}
	for _, a := range addresses {
		s.Addresses = append(s.Addresses, netip.MustParsePrefix(a))
	}
	if metric > 0 {
		s.State.Routes = []network.Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Metric: metric}}
	}
	return s
}

func TestListen(t *testing.T) {
	lan, up, six := card("eth0", 0, "10.9.8.2/24"), card("eth1", 200, "fe80::1/64", "192.168.1.10/24"), card("eth2", 100, "fe80::2/64", "fd00::5/64")
	for _, c := range []struct {
		setting string
		cards   []network.Status
		want    string
	}{
		{"", []network.Status{lan}, "10.9.8.2:9100"},
		{"", []network.Status{lan, up}, "192.168.1.10:9100"},
		{"", []network.Status{lan, up, six}, "[fd00::5]:9100"},
		{":9200", []network.Status{lan, up}, "192.168.1.10:9200"},
		{"9200", []network.Status{lan, up}, "192.168.1.10:9200"},
		{"eth0", []network.Status{lan, up}, "10.9.8.2:9100"},
		{"eth0:9200", []network.Status{lan, up}, "10.9.8.2:9200"},
		{"192.168.7.7", nil, "192.168.7.7:9100"},
		{"192.168.7.7:80", nil, "192.168.7.7:80"},
		{"0.0.0.0:9100", []network.Status{lan}, "0.0.0.0:9100"},
		{"[fd00::5]:9100", nil, "[fd00::5]:9100"},
		{"[fd00::5]", nil, "[fd00::5]:9100"},
		{"fd00::5", nil, "[fd00::5]:9100"},
	} {
		if got, err := Listen(c.setting, c.cards); err != nil || got != c.want {
			t.Errorf("%q: %q %v, want %q", c.setting, got, err, c.want)
		}
	}
	var w *supervise.Waiting
	for _, setting := range []string{"", "eth7", "eth1:9100"} {
		if got, err := Listen(setting, []network.Status{card("eth1", 0), card("eth0", 0, "fe80::1/64")}); !errors.As(err, &w) {
			t.Errorf("%q: %q %v", setting, got, err)
		}
	}
	for _, setting := range []string{"eth0:http", "a b:1", "10.0.0.1:0", "10.0.0.1:70000", "[::1", "0"} {
		if got, err := Listen(setting, []network.Status{lan}); fault.Code(err) != 3 {
			t.Errorf("%q: %q %v", setting, got, err)
		}
	}
}

func FuzzListen(f *testing.F) {
	for _, s := range []string{"", ":1", "eth0:9100", "[::1]:9", "1.2.3.4", "::", "%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Listen(s, []network.Status{card("eth0", 1, "10.0.0.1/8")})
		if err == nil && (strings.HasPrefix(got, ":") || strings.ContainsAny(got, " /")) {
			t.Errorf("%q listens on %q", s, got)
		}
	})
}

func TestUnit(t *testing.T) {
	u := Unit(func() (string, error) { return "10.0.0.1:9100", nil })
	args, _, err := u.Arguments()
	if err != nil || !slices.Contains(args, "--web.listen-address=10.0.0.1:9100") || !slices.Contains(args, "--collector.disable-defaults") || !slices.Contains(args, "--collector.textfile") {
		t.Error(args, err)
	}
	if u.User != "prometheus" || u.Limits.MemoryMax == 0 || !slices.Contains(u.Env, "GOMAXPROCS=1") {
		t.Errorf("%+v", u)
	}
	if err := u.Prepare(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
