package lan

import (
	"net/netip"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
	"imgbuild/init/net/mdns"
)

func TestFacts(t *testing.T) {
	card := []mdns.Interface{{Name: "eth0", Index: 2, Kind: "device", Multicast: true, Carrier: true, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.1.2/24")}}}
	if f := Facts(true, "node1", []mdns.Service{sshd}, card); f.Host != "node1" || len(f.Links) != 1 || len(f.Services) != 1 {
		t.Errorf("got %+v, want node1 with ssh on eth0", f)
	}
	if f := Facts(false, "node1", []mdns.Service{sshd}, card); f.Host != "" || len(f.Links)+len(f.Services) != 0 {
		t.Errorf("got %+v, want nothing when it is switched off", f)
	}
}

func TestConflict(t *testing.T) {
	if err := conflict(mdns.Status{Name: "node1.local", Links: []string{"eth0"}}); err != nil {
		t.Errorf("got %v for a node that has its name, want nil", err)
	}
	err := conflict(mdns.Status{Name: "node1-2.local", Taken: "node1.local", By: "192.168.1.9"})
	if fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), "192.168.1.9") || !strings.Contains(err.Error(), "node1-2.local") {
		t.Errorf("got %v, want the other machine and both names", err)
	}
	if err := conflict(mdns.Status{Taken: "node1.local", By: "192.168.1.9"}); fault.Code(err) != int(fault.Input) {
		t.Errorf("got %v, want a fault of the input", err)
	}
}
