package mdns

import (
	"testing"

	"github.com/miekg/dns"
)

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil || r == nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

func rrs(t testing.TB, texts ...string) (list []dns.RR) {
	for _, s := range texts {
		list = append(list, rr(t, s))
	}
	return list
}

// What is done about the records of another machine.
func TestOnAnswer(t *testing.T) {
	here := rrs(t, "node1.local. 120 IN A 192.168.1.2", "node1.local. 120 IN AAAA fe80::2")
	all := append(rrs(t, "node1.local. 120 IN A 10.0.0.2"), here...)
	for _, c := range []struct {
		name, theirs string
		probing      Verdict
		sure         Verdict
	}{
		{"another address", "node1.local. 120 IN A 192.168.1.9", Rename, Doubt},
		{"in capitals", "NODE1.local. 120 IN A 192.168.1.9", Rename, Doubt},
		{"ours", "node1.local. 120 IN A 192.168.1.2", Ignore, Ignore},
		{"ours in capitals", "Node1.Local. 120 IN A 192.168.1.2", Ignore, Ignore},
		{"ours of another link, through a reflector", "node1.local. 120 IN A 10.0.0.2", Ignore, Ignore},
		{"a type that we do not have", "node1.local. 120 IN TXT \"x\"", Rename, Ignore},
		{"somebody takes ours back", "node1.local. 0 IN A 192.168.1.2", Ignore, Defend},
		{"somebody lets ours run out", "node1.local. 59 IN A 192.168.1.2", Ignore, Defend},
		{"half of its time is enough", "node1.local. 60 IN A 192.168.1.2", Ignore, Ignore},
		{"ours of another link taken back", "node1.local. 0 IN A 10.0.0.2", Ignore, Ignore},
		{"another machine gives the name up", "node1.local. 0 IN A 192.168.1.9", Ignore, Ignore},
		{"what there is not", "node1.local. 120 IN NSEC node1.local. A", Ignore, Ignore},
	} {
		for _, sure := range []bool{false, true} {
			want := c.probing
			if sure {
				want = c.sure
			}
			if got := (Claimed{Sure: sure, Here: here, All: all}).OnAnswer(rr(t, c.theirs)); got != want {
				t.Errorf("%s, sure %v: got %s, want %s", c.name, sure, got, want)
			}
		}
	}
}

// What is done about the probe of another machine, with the example of RFC 6762, section 8.2.
func TestOnProbe(t *testing.T) {
	for _, c := range []struct {
		name    string
		ours    []string
		theirs  []string
		probing Verdict
		sure    Verdict
	}{
		{"the example, as the one who loses", []string{"p.local. 120 IN A 169.254.99.200"}, []string{"p.local. 120 IN A 169.254.200.50"}, Yield, Defend},
		{"the example, as the one who wins", []string{"p.local. 120 IN A 169.254.200.50"}, []string{"p.local. 120 IN A 169.254.99.200"}, Ignore, Defend},
		{"our own", []string{"p.local. 120 IN A 10.0.0.1"}, []string{"p.local. 120 IN A 10.0.0.1"}, Ignore, Ignore},
		{"more records win", []string{"p.local. 120 IN A 10.0.0.1"}, []string{"p.local. 120 IN A 10.0.0.1", "p.local. 120 IN AAAA fe80::1"}, Yield, Defend},
		{"a larger type wins", []string{"p.local. 120 IN A 200.0.0.1"}, []string{"p.local. 120 IN AAAA fe80::1"}, Yield, Defend},
		{"bytes are compared without a sign", []string{"p.local. 120 IN A 10.0.0.1"}, []string{"p.local. 120 IN A 200.0.0.1"}, Yield, Defend},
		{"no record at all", []string{"p.local. 120 IN A 10.0.0.1"}, nil, Ignore, Ignore},
	} {
		ours := rrs(t, c.ours...)
		for _, sure := range []bool{false, true} {
			want := c.probing
			if sure {
				want = c.sure
			}
			if got := (Claimed{Sure: sure, Here: ours, All: ours}).OnProbe(rrs(t, c.theirs...)); got != want {
				t.Errorf("%s, sure %v: got %s, want %s", c.name, sure, got, want)
			}
		}
		if a, b := Later(ours, rrs(t, c.theirs...)), Later(rrs(t, c.theirs...), ours); a != -b {
			t.Errorf("%s: got %d one way and %d the other", c.name, a, b)
		}
	}
}
