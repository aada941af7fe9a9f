package banner

import (
	"net/netip"
	"testing"
)

func TestLine(t *testing.T) {
	at := func(texts ...string) (list []netip.Prefix) {
		for _, s := range texts {
			list = append(list, netip.MustParsePrefix(s))
		}
		return list
	}
	for want, f := range map[string]Facts{
		"node1 is up; at 192.168.1.2; log in with: ssh rancher@192.168.1.2":                                     {Addresses: at("192.168.1.2/24", "fe80::1/64")},
		"node1 is up; at 10.0.0.1, 192.168.1.2, fd00::2; log in with: ssh rancher@10.0.0.1":                     {Addresses: at("fd00::2/64", "10.0.0.1/8", "192.168.1.2/24")},
		"node1 is up; at fe80::1; log in with: ssh rancher@fe80::1":                                             {Addresses: at("127.0.0.1/8", "fe80::1/64")},
		"node1 is up; it has no address":                                                                        {},
		"node1 is up, but k3s: waiting: for a token; a: failed; at 10.0.0.1; log in with: ssh rancher@10.0.0.1": {Addresses: at("10.0.0.1/8"), Troubles: []string{"k3s: waiting: for a token", "a: failed"}},
	} {
		f.Host = "node1"
		if got := Line(f); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
