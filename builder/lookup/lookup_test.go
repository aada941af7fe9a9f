package lookup

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/responder"
)

func TestName(t *testing.T) {
	for host, want := range map[string]string{
		"node1": "node1.local", "Node1": "node1.local", "node1.local": "node1.local", "NODE1.local.": "node1.local",
		"node1.lan": "", "a.b.local": "", ".local": "", "": "", "a b": "", "fe80::1%eth0": "", strings.Repeat("x", 64): "",
	} {
		if got, ok := Name(host); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", host, got, ok, want)
		}
	}
}

// A node's own mDNS is asked over the loopback interface where the resolver does not know a name,
// and only there.
func TestFind(t *testing.T) {
	port, lo := responder.Start(t, "node1")
	var asked []string
	f := Finder{
		Port: port, Interfaces: func() ([]net.Interface, error) { return []net.Interface{lo}, nil }, Limit: time.Minute,
		System: func(ctx context.Context, host string) ([]string, error) {
			asked = append(asked, host)
			if host == "known" || host == "known.example" {
				return []string{"192.0.2.1"}, nil
			}
			return nil, errors.New("no such host")
		},
	}
	for _, c := range []struct {
		host, first string
		mdns        bool
	}{
		{"node1", "127.0.0.1", true}, {"node1.local", "127.0.0.1", true}, {"NODE1.local.", "127.0.0.1", true},
		{"known", "192.0.2.1", false}, {"known.example", "192.0.2.1", false}, {"192.0.2.7", "192.0.2.7", false}, {"fe80::1%lo", "fe80::1%lo", false},
	} {
		got, err := f.Find(t.Context(), c.host)
		if err != nil || len(got.Addresses) == 0 || got.Addresses[0] != c.first || got.MDNS != c.mdns {
			t.Errorf("%s: got %+v, %v, want %s first, by mDNS: %v", c.host, got, err, c.first, c.mdns)
		}
	}
	if slices.Contains(asked, "192.0.2.7") {
		t.Errorf("the resolver is asked for an address: %q", asked)
	}
	// A resolver that hangs, as one does without a way out, holds nobody up; one that is slow wins.
	hangs := f
	hangs.Patience = 50 * time.Millisecond
	hangs.System = func(ctx context.Context, _ string) ([]string, error) { <-ctx.Done(); return nil, ctx.Err() }
	for _, host := range []string{"node1", "node1.local"} {
		if got, err := hangs.Find(t.Context(), host); err != nil || !got.MDNS {
			t.Errorf("%s: got %+v, %v, want the answer of mDNS", host, got, err)
		}
	}
	slow := f
	slow.Patience = time.Hour
	answered := make(chan struct{})
	slow.Interfaces = func() ([]net.Interface, error) { defer close(answered); return nil, errors.New("no network") }
	slow.System = func(context.Context, string) ([]string, error) { <-answered; return []string{"192.0.2.1"}, nil }
	if got, err := slow.Find(t.Context(), "node1"); err != nil || got.MDNS || got.Addresses[0] != "192.0.2.1" {
		t.Errorf("got %+v, %v, want the answer of the resolver", got, err)
	}
	f.Limit = 300 * time.Millisecond
	for _, host := range []string{"node2", "node2.local", "node1.lan"} {
		if got, err := f.Find(t.Context(), host); err == nil || host != "node1.lan" && fault.Code(err) != int(fault.Network) {
			t.Errorf("%s: got %+v, %v, want a fault of the network", host, got, err)
		}
	}
}

// Only the answer to the question counts.
func TestAddresses(t *testing.T) {
	q := &dns.Msg{Question: []dns.Question{{Name: "node1.local.", Qtype: dns.TypeA, Qclass: dns.ClassINET}}}
	q.Id = 5
	answer := func(id uint16, response bool, texts ...string) []byte {
		m := &dns.Msg{}
		m.Id, m.Response = id, response
		for _, s := range texts {
			r, err := dns.NewRR(s)
			if err != nil {
				t.Fatal(err)
			}
			m.Answer = append(m.Answer, r)
		}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	all := []string{"NODE1.local. 10 IN A 10.0.0.1", "node1.local. 10 IN AAAA fe80::1", "node1.local. 10 IN AAAA fd00::1", "node2.local. 10 IN A 10.0.0.2", "node1.local. 10 IN A 0.0.0.0"}
	for _, c := range []struct {
		name, zone string
		packet     []byte
		want       []string
	}{
		{"by IPv6", "eth0", answer(5, true, all...), []string{"10.0.0.1", "fd00::1", "fe80::1%eth0"}},
		{"by IPv4", "", answer(5, true, all...), []string{"10.0.0.1", "fd00::1"}},
		{"another question's", "", answer(6, true, all...), nil},
		{"a question", "", answer(5, false, all...), nil},
		{"not a packet", "", []byte("x"), nil},
	} {
		if got := order(addresses(c.packet, q, c.zone)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// FuzzAddresses: nobody's answer makes the program fail.
func FuzzAddresses(f *testing.F) {
	q := &dns.Msg{Question: []dns.Question{{Name: "node1.local.", Qtype: dns.TypeA, Qclass: dns.ClassINET}}}
	m := &dns.Msg{Answer: []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "node1.local.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(10, 0, 0, 1)}}}
	m.Response = true
	b, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, a := range addresses(packet, q, "eth0") {
			if !a.IsValid() {
				t.Errorf("got %v", a)
			}
		}
	})
}
