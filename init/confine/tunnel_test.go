package confine

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
)

const (
	keyA = "QDtlPd2gCSpNlq3LZl3lKLZTuOz0eFYGeSLlmYY0DVw="
	keyB = "1MjPpPwk5Nm4mV9fxkw6SQd0EkvnxEuZqo1cJ0pXlGI="
)

const provider = `# bought yesterday
[Interface]
PrivateKey = ` + keyA + `
Address = 10.64.1.2/32,fd00:64::2/128
DNS = 10.64.0.1, example.net
MTU = 1380

[Peer]
PublicKey = ` + keyB + `
AllowedIPs = 0.0.0.0/0, ::0/0 # everything
Endpoint = vpn.example.net:51820
PersistentKeepalive = 25
`

func TestParseTunnel(t *testing.T) {
	got, err := ParseTunnel(provider)
	if err != nil {
		t.Fatal(err)
	}
	p := got.Peers[0]
	text := fmt.Sprintf("%v %v %v %d %v %s %d %v", got.Addresses, got.DNS, got.Search, got.MTU, p.Allowed, p.Host, p.Port, p.Keepalive)
	if want := "[10.64.1.2/32 fd00:64::2/128] [10.64.0.1] [example.net] 1380 [0.0.0.0/0 ::/0] vpn.example.net 51820 25s"; text != want {
		t.Errorf("got %s, want %s", text, want)
	}
	if got.Private[0] != 0x40 || p.Public[0] != 0xd4 || p.Shared != (Key{}) {
		t.Errorf("got the keys %x and %x", got.Private, p.Public)
	}
	if s := got.ResolvConf(); s != "nameserver 10.64.0.1\nsearch example.net\n" {
		t.Errorf("got %q", s)
	}
	if s := (Tunnel{}).ResolvConf(); s != "" {
		t.Errorf("got %q without a name server, want nothing", s)
	}
	if p.Keepalive != 25*time.Second || len(got.Routes()) != 2 || got.Routes()[0] != netip.MustParsePrefix("0.0.0.0/0") {
		t.Errorf("got %v", got.Routes())
	}
}

// A file is used as it is or refused with its line, and no message has what it holds.
func TestParseTunnelRefuses(t *testing.T) {
	with := func(line string) string { return strings.Replace(provider, "MTU = 1380", line, 1) }
	for name, c := range map[string]struct{ text, want string }{
		"PostUp":            {with("PostUp = iptables -A FORWARD -j ACCEPT"), "line 6"},
		"preup in capitals": {with("PREUP=x"), "PREUP would run"},
		"PreDown":           {with("PreDown = x"), "PreDown would run"},
		"PostDown":          {with("PostDown = x"), "PostDown would run"},
		"an unknown key":    {with("Jc = 4"), "jc"},
		"a bad key":         {strings.Replace(provider, keyA, keyA[:40], 1), "line 3"},
		"a bad address":     {with("Address = 10.64.1.300"), "address"},
		"a bad port":        {strings.Replace(provider, ":51820", ":518200", 1), "endpoint"},
		"no port":           {strings.Replace(provider, ":51820", "", 1), "endpoint"},
		"an MTU":            {with("MTU = 5"), "mtu"},
		"two interfaces":    {provider + "[Interface]\n", "[Interface]"},
		"another section":   {provider + "[Route]\n", "[Route]"},
		"no section":        {"PrivateKey = " + keyA, "line 1"},
		"nothing":           {"", "PrivateKey"},
		"no peer":           {provider[:strings.Index(provider, "[Peer]")], "[Peer]"},
		"a peer of nobody":  {provider + "[Peer]\nAllowedIPs = 10.0.0.0/8\n", "PublicKey"},
		"no address":        {strings.Replace(provider, "Address", "#", 1), "Address"},
	} {
		_, err := ParseTunnel(c.text)
		if fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), keyA[:20]) {
			t.Errorf("%s: the message has the key: %v", name, err)
		}
	}
	for _, line := range []string{"Table = off", "FwMark = 0x1", "SaveConfig = true", "ListenPort = 51820"} {
		if _, err := ParseTunnel(with(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestSpec(t *testing.T) {
	s := Spec{Read: []string{"/srv/a", "/srv/a/b", "/srv"}, Write: []string{"/srv/a/c", "/srv/a"}}
	if got := fmt.Sprint(s.binds()); got != "[{/srv false} {/srv/a true} {/srv/a/b false} {/srv/a/c true}]" {
		t.Errorf("got %s", got)
	}
	ports, err := Spec{Publish: map[string]string{"8080": "192.168.1.7/24", "80": "fd00::/64"}}.ports()
	if err != nil || fmt.Sprint(ports) != "[{80 fd00::/64} {8080 192.168.1.0/24}]" {
		t.Errorf("got %v, %v", ports, err)
	}
	for a, want := range map[string]bool{"192.168.1.9": true, "::ffff:192.168.1.9": true, "192.168.2.9": false, "127.0.0.1": true, "fd00::1": false} {
		if got := admits(ports[1], netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: got %v, want %v", a, got, want)
		}
	}
}

func FuzzParseTunnel(f *testing.F) {
	f.Add(provider)
	f.Add("[Peer]\n[Interface]\nAddress=\nDNS=,,\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseTunnel(text)
		if err != nil {
			return
		}
		for line := range strings.Lines(got.ResolvConf()) {
			if word := strings.Fields(line); len(word) < 2 || word[0] != "nameserver" && word[0] != "search" {
				t.Errorf("%q makes the line %q", text, line)
			}
		}
	})
}
