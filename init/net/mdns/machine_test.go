package mdns

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var ssh = Service{Type: "_ssh._tcp", Port: 22}

// A node alone probes three times, then announces three times, by both protocols, and takes all of
// it back at its end.
func TestStart(t *testing.T) {
	l := newLAN(t)
	n := l.add("Node1.example", 1, ssh)
	var said []string
	l.seen = func(_ *node, o Out, m *dns.Msg) {
		kind := "announce"
		switch {
		case !m.Response && len(m.Ns) > 0:
			kind = "probe"
		case m.Response && m.Answer[0].Header().Ttl == 0:
			kind = "goodbye"
		}
		if o.Four {
			said = append(said, kind)
		} else {
			said = append(said, kind+"6")
		}
	}
	n.start()
	if n.m.Sure(1) {
		t.Error("the name is used before it was probed for")
	}
	l.run(10 * time.Second)
	if got := strings.Join(l.labels(), " "); got != "node1" {
		t.Errorf("got %q, want node1", got)
	}
	l.deliver(n, n.m.Bye())
	want := "probe probe6 probe probe6 probe probe6 announce announce6 announce announce6 announce announce6 goodbye goodbye6"
	if got := strings.Join(said, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if at := n.m.Next(); !at.IsZero() {
		t.Errorf("something is due at %v after the end", at)
	}
}

// The one who comes second gets another name; the first keeps its own and is not disturbed.
func TestSecond(t *testing.T) {
	l := newLAN(t)
	a, b := l.add("node1", 1, ssh), l.add("NODE1", 2, ssh)
	a.start()
	l.run(10 * time.Second)
	b.start()
	l.run(10 * time.Second)
	if got := strings.Join(l.labels(), " "); got != "node1 node1-2" {
		t.Errorf("got %q, want node1 node1-2", got)
	}
	if by := b.m.Taken(); by != a.addr(true) && by != a.addr(false) {
		t.Errorf("the name is taken by %v, want the first node", by)
	}
	if by := a.m.Taken(); by.IsValid() {
		t.Errorf("the first node's name is taken by %v", by)
	}
	// Another host name, from the configuration, is free.
	b.facts.Host = "node2"
	b.start()
	l.run(10 * time.Second)
	if got := strings.Join(l.labels(), " "); got != "node1 node2" || b.m.Taken().IsValid() {
		t.Errorf("got %q, taken by %v, want node1 node2", got, b.m.Taken())
	}
}

// Any number of nodes that want one name at any times end with different ones, the first of which
// is the name itself, and then are quiet. So do two networks that become one.
func TestNamesProperty(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 9))
		l := newLAN(t)
		l.split = seed%3 == 0
		for range 2 + r.IntN(5) {
			l.add("box", seed, ssh, Service{Type: "_nfs._tcp", Name: "my photos", Port: 2049, Text: []string{"path=/srv/photos"}})
		}
		for _, n := range l.nodes {
			l.run(time.Duration(r.IntN(3000)) * time.Millisecond)
			n.start()
		}
		l.run(2 * time.Minute)
		if l.split { // and now they are one network: what is announced next shows it
			l.split = false
			for _, n := range l.nodes {
				n.facts.Services = append(n.facts.Services, Service{Type: "_smb._tcp", Port: 445})
				n.start()
			}
			l.run(2 * time.Minute)
		}
		got := l.labels()
		slices.Sort(got)
		if once := slices.Compact(slices.Clone(got)); len(once) != len(l.nodes) || got[0] != "box" || strings.Contains(strings.Join(got, " "), "?") {
			t.Errorf("seed %d: got %q, want %d different names, box among them", seed, got, len(l.nodes))
		}
		l.seen = func(n *node, o Out, m *dns.Msg) { t.Errorf("seed %d: node %d still sends %v", seed, n.number, m) }
		l.run(time.Hour)
	}
}

// A machine that answers to every name, and never probes, cannot make a node send without pause.
func TestStorm(t *testing.T) {
	l := newLAN(t)
	n := l.add("node1", 1)
	sent := 0
	l.seen = func(_ *node, o Out, m *dns.Msg) {
		sent++
		if m.Response || !o.Four {
			return
		}
		r := &dns.Msg{}
		r.Response = true
		r.Answer = []dns.RR{&dns.A{Hdr: header(m.Question[0].Name, dns.TypeA, 120), A: []byte{10, 0, 0, 66}}}
		data, err := r.Pack()
		if err != nil {
			t.Fatal(err)
		}
		n.m.Take(l.now, Packet{Link: 1, From: netip.MustParseAddrPort("10.0.0.66:5353"), Data: data})
	}
	n.start()
	l.run(10 * time.Minute)
	if n.m.Sure(1) {
		t.Errorf("it has the name %s, want none", n.m.Label())
	}
	if sent > 400 { // one attempt in five seconds, two packets for each
		t.Errorf("%d packets in ten minutes, want at most 400", sent)
	}
}

func question(name string, kind uint16) dns.Question {
	return dns.Question{Name: name, Qtype: kind, Qclass: dns.ClassINET}
}

// names lists the records of messages as "section name type", sorted.
func names(list []*dns.Msg) string {
	var out []string
	for _, m := range list {
		for _, rr := range m.Answer {
			out = append(out, rr.Header().Name+dns.TypeToString[rr.Header().Rrtype])
		}
		for _, rr := range m.Extra {
			out = append(out, "+"+rr.Header().Name+dns.TypeToString[rr.Header().Rrtype])
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestAnswers(t *testing.T) {
	for _, four := range []bool{true, false} {
		l := newLAN(t)
		n := l.add("node1", 1, ssh, Service{Type: "_nfs._tcp", Name: "my photos", Port: 2049, Text: []string{"path=/srv/data/photos"}})
		n.start()
		l.run(time.Minute)
		host := "node1.local."
		photos := `my\ photos\ on\ node1._nfs._tcp.local.`
		for _, c := range []struct {
			name string
			q    dns.Question
			want string
		}{
			{"address", question(host, dns.TypeA), "+node1.local.AAAA node1.local.A"},
			{"address of IPv6", question("NODE1.LOCAL.", dns.TypeAAAA), "+node1.local.A node1.local.AAAA"},
			{"a type that is not there", question(host, dns.TypeMX), "node1.local.NSEC"},
			{"another name", question("node2.local.", dns.TypeA), ""},
			{"another class", dns.Question{Name: host, Qtype: dns.TypeA, Qclass: dns.ClassCHAOS}, ""},
			{"back from the address", question("1.0.0.10.in-addr.arpa.", dns.TypePTR), "1.0.0.10.in-addr.arpa.PTR"},
			{"services", question("_services._dns-sd._udp.local.", dns.TypePTR), "_services._dns-sd._udp.local.PTR _services._dns-sd._udp.local.PTR"},
			{"instances", question("_nfs._tcp.local.", dns.TypePTR), "+" + photos + "SRV +" + photos + "TXT +node1.local.A +node1.local.AAAA _nfs._tcp.local.PTR"},
			{"an instance", question(photos, dns.TypeSRV), "+node1.local.A +node1.local.AAAA " + photos + "SRV"},
			{"its text", question(photos, dns.TypeTXT), photos + "TXT"},
		} {
			l.run(time.Hour)
			direct, all := l.ask(Port, four, nil, c.q)
			if got := names(all); got != c.want || len(direct) != 0 {
				t.Errorf("%s: got %s and %d answers to the one who asks, want %s", c.name, got, len(direct), c.want)
			}
			for _, m := range all {
				if m.Id != 0 || !m.Authoritative || len(m.Question) != 0 {
					t.Errorf("%s: got the header %+v, want that of mDNS", c.name, m.MsgHdr)
				}
			}
		}
		// Known for long enough: no answer. For less than half of its time: an answer.
		l.run(time.Hour)
		a := rr(t, "node1.local. 60 IN A 10.0.0.1")
		if _, all := l.ask(Port, four, []dns.RR{a}, question(host, dns.TypeA)); names(all) != "" {
			t.Errorf("got %s for what is known, want nothing", names(all))
		}
		a.Header().Ttl = 59
		if _, all := l.ask(Port, four, []dns.RR{a}, question(host, dns.TypeA)); !strings.Contains(names(all), "node1.local.A") {
			t.Errorf("got %s for what is nearly forgotten, want the address", names(all))
		}
		// Asked for an answer by unicast: everybody got it lately, so only the one who asks does.
		direct, all := l.ask(Port, four, nil, dns.Question{Name: host, Qtype: dns.TypeA, Qclass: dns.ClassINET | flush})
		if len(direct) != 1 || len(all) != 0 || direct[0].Answer[0].Header().Class != dns.ClassINET|flush {
			t.Errorf("got %v and %v, want one answer by unicast", direct, all)
		}
		// A simple resolver: its own number and question, short lifetimes, plain classes.
		direct, all = l.ask(40000, four, nil, question(host, dns.TypeA))
		if len(direct) != 1 || len(all) != 0 || direct[0].Id != 77 || len(direct[0].Question) != 1 || direct[0].Answer[0].Header().Ttl > 10 || direct[0].Answer[0].Header().Class != dns.ClassINET {
			t.Errorf("got %v and %v, want an answer as DNS has them", direct, all)
		}
	}
}

// Nothing is sent twice within a second, except to defend the name.
func TestOncePerSecond(t *testing.T) {
	l := newLAN(t)
	l.add("node1", 1).start()
	l.run(time.Hour)
	ask := func() string {
		var all []*dns.Msg
		l.seen = func(_ *node, o Out, m *dns.Msg) { all = append(all, m) }
		data, err := (&dns.Msg{Question: []dns.Question{question("node1.local.", dns.TypeA)}}).Pack()
		if err != nil {
			t.Fatal(err)
		}
		n := l.nodes[0]
		l.deliver(n, n.m.Take(l.now, Packet{Link: 1, From: netip.MustParseAddrPort("10.0.0.99:5353"), Data: data}))
		return names(all)
	}
	if got := ask(); got == "" {
		t.Error("got no answer to the first question")
	}
	l.now = l.now.Add(999 * time.Millisecond)
	if got := ask(); got != "" {
		t.Errorf("got %s within a second, want nothing", got)
	}
	l.now = l.now.Add(time.Millisecond)
	if got := ask(); got == "" {
		t.Error("got no answer after a second")
	}
}

// Packets from elsewhere, and answers that do not come from the port, change nothing.
func TestStrangers(t *testing.T) {
	l := newLAN(t)
	n := l.add("node1", 1)
	n.start()
	l.run(time.Hour)
	q, err := (&dns.Msg{Question: []dns.Question{question("node1.local.", dns.TypeA)}}).Pack()
	if err != nil {
		t.Fatal(err)
	}
	r := &dns.Msg{Answer: rrs(t, "node1.local. 120 IN A 10.0.0.9")}
	r.Response = true
	conflict, err := r.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Packet{
		"from another network":       {1, netip.MustParseAddrPort("192.0.2.1:5353"), q},
		"from another link":          {2, netip.MustParseAddrPort("10.0.0.9:5353"), q},
		"an answer from a program":   {1, netip.MustParseAddrPort("10.0.0.9:40000"), conflict},
		"an answer from elsewhere":   {1, netip.MustParseAddrPort("192.0.2.1:5353"), conflict},
		"an answer from the node":    {1, netip.MustParseAddrPort("10.0.0.1:5353"), conflict},
		"not a packet":               {1, netip.MustParseAddrPort("10.0.0.9:5353"), []byte("x")},
		"an order, not a question":   {1, netip.MustParseAddrPort("10.0.0.9:5353"), append([]byte{0, 0, 0x28, 0}, q[4:]...)},
		"an answer with an error":    {1, netip.MustParseAddrPort("10.0.0.9:5353"), append([]byte{0, 0, 0x84, 3}, conflict[4:]...)},
		"an answer that is too long": {1, netip.MustParseAddrPort("10.0.0.9:5353"), append(conflict, make([]byte, maxPacket)...)},
	} {
		if out := n.m.Take(l.now, p); len(out) != 0 || !n.m.Sure(1) || !n.m.Next().IsZero() {
			t.Errorf("%s: got %v, sure %v, next %v, want nothing", name, out, n.m.Sure(1), n.m.Next())
		}
	}
	if out := n.m.Take(l.now, Packet{1, netip.MustParseAddrPort("10.0.0.9:5353"), conflict}); len(out) != 0 || n.m.Sure(1) {
		t.Errorf("got %v, sure %v after a real conflict, want the name in doubt", out, n.m.Sure(1))
	}
}

// Links and services come and go.
func TestChanges(t *testing.T) {
	l := newLAN(t)
	n := l.add("node1", 1, ssh)
	n.start()
	l.run(time.Minute)
	var got []string
	l.seen = func(_ *node, o Out, m *dns.Msg) {
		for _, rr := range m.Answer {
			if s := fmt.Sprintf("%s %d", rr.Header().Name+dns.TypeToString[rr.Header().Rrtype], min(1, rr.Header().Ttl)); o.Four && !slices.Contains(got, s) {
				got = append(got, s)
			}
		}
		for _, q := range m.Question {
			if s := "probe " + q.Name; o.Four && !slices.Contains(got, s) {
				got = append(got, s)
			}
		}
		slices.Sort(got)
	}
	// A new service is probed for, while the rest goes on being answered.
	n.facts.Services = []Service{ssh, {Type: "_smb._tcp", Port: 445}}
	n.start()
	if !n.m.Sure(1) {
		t.Error("the name is not answered while a service is new")
	}
	l.run(time.Minute)
	if s := strings.Join(got, "; "); !strings.Contains(s, "probe node1._smb._tcp.local.") || strings.Contains(s, "probe node1.local.") || !strings.Contains(s, "_smb._tcp.local.PTR 1") {
		t.Errorf("got %s, want a probe for the new service alone, then its announcement", s)
	}
	// One that is gone is taken back.
	got = nil
	n.facts.Services = []Service{ssh}
	n.start()
	l.run(time.Minute)
	if s := strings.Join(got, "; "); !strings.Contains(s, "_smb._tcp.local.PTR 0") || strings.Contains(s, "_ssh._tcp.local.PTR 0") {
		t.Errorf("got %s, want the old service taken back", s)
	}
	// Another address is announced, the old one taken back.
	got = nil
	n.facts.Links = []Link{{Index: 1, Name: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.77/24")}}}
	n.start()
	l.run(time.Minute)
	if s := strings.Join(got, "; "); !strings.Contains(s, "node1.local.A 1") || !strings.Contains(s, "node1.local.A 0") || strings.Contains(s, "probe") {
		t.Errorf("got %s, want the new address and the old one taken back", s)
	}
	// Without a link there is nothing to do.
	n.facts.Links = nil
	n.start()
	if !n.m.Next().IsZero() || n.m.Sure(1) {
		t.Errorf("something is due at %v without a link", n.m.Next())
	}
}

func TestHost(t *testing.T) {
	long := strings.Repeat("x", 70)
	for _, c := range []struct {
		host   string
		number int
		want   string
	}{
		{"node1", 1, "node1"}, {"Node1.lan", 1, "node1"}, {"node1", 2, "node1-2"}, {"node1", 12, "node1-12"}, {"", 1, ""}, {"", 2, ""},
		{long, 1, long[:63]}, {long, 2, long[:61] + "-2"}, {strings.Repeat("x", 60) + "-yyy", 2, strings.Repeat("x", 60) + "-2"},
	} {
		if got := Host(c.host, c.number); got != c.want {
			t.Errorf("%s, %d: got %s, want %s", c.host, c.number, got, c.want)
		}
	}
}

// Names and texts with any character, and too long ones, make packets that can be read.
func TestRecords(t *testing.T) {
	services := []Service{
		{Type: "_nfs._tcp", Name: `a.b\c "d" ü`, Port: 1, Text: []string{`path=/x\y "z"`, "n=\x00\xff"}},
		{Type: "_nfs._tcp", Name: strings.Repeat("ü", 40), Port: 2},
		{Type: "_nfs._tcp", Name: strings.Repeat("ü", 40), Port: 3}, // the same label
		{Type: "nonsense", Port: 4}, {Type: "_x._tcp", Port: 5, Text: []string{strings.Repeat("x", 256)}}, {Type: "._tcp", Port: 6},
	}
	list := Records("node1", services, []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%eth0")})
	srv, back := 0, ""
	for _, m := range replies(list, nil, false) {
		data, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		read, err := parse(data)
		if err != nil {
			t.Fatal(err)
		}
		for i, rr := range read.Answer {
			if !same(rr, m.Answer[i]) {
				t.Errorf("got %v back, want %v", rr, m.Answer[i])
			}
			if s, ok := rr.(*dns.SRV); ok {
				srv++
				if s.Port == 1 {
					back = s.Hdr.Name
				}
			}
		}
	}
	if srv != 2 {
		t.Errorf("got %d services, want the 2 that can be announced", srv)
	}
	if want := name(`a.b\c "d" ü on node1`, "_nfs", "_tcp", "local"); key(back) != key(want) {
		t.Errorf("got %s, want %s", back, want)
	}
	// Many records go into several packets that fit.
	var many []Service
	for i := range 100 {
		many = append(many, Service{Type: "_nfs._tcp", Name: fmt.Sprintf("share number %d", i), Port: 2049, Text: []string{"path=" + strings.Repeat("p", 100)}})
	}
	total := 0
	for _, m := range replies(Records("node1", many, nil), nil, false) {
		if data, err := m.Pack(); err != nil || len(data) > fit {
			t.Errorf("a packet of %d bytes, %v, want at most %d", len(data), err, fit)
		}
		total += len(m.Answer)
	}
	if total != 301 {
		t.Errorf("got %d records, want 301", total)
	}
}

// FuzzTake: no packet makes a node fail, answer to other links, or send what cannot be read.
func FuzzTake(f *testing.F) {
	l := newLAN(f)
	l.seen = func(_ *node, o Out, m *dns.Msg) {
		if data, err := o.Msg.Pack(); err == nil {
			f.Add(data, true)
			f.Add(data, false)
		}
	}
	services := []Service{ssh, {Type: "_nfs._tcp", Name: "my photos", Port: 2049, Text: []string{"path=/srv"}}}
	l.add("node1", 1, services...).start()
	l.run(time.Minute)
	for _, kind := range []uint16{dns.TypeA, dns.TypeANY, dns.TypePTR} {
		for _, n := range []string{"node1.local.", "_ssh._tcp.local.", "_services._dns-sd._udp.local."} {
			data, err := (&dns.Msg{Question: []dns.Question{question(n, kind)}}).Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data, true)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, port bool) {
		l := newLAN(t)
		n := l.add("node1", 1, services...)
		n.start()
		from := netip.MustParseAddrPort("10.0.0.9:40000")
		if port {
			from = netip.MustParseAddrPort("10.0.0.9:5353")
		}
		for range 3 { // probing, announcing, at rest
			out := n.m.Take(l.now, Packet{Link: 1, From: from, Data: data})
			for _, o := range append(out, n.m.Tick(l.now.Add(time.Second))...) {
				if o.Link != 1 || o.To.IsValid() && o.To != from {
					t.Errorf("sent to %v on link %d", o.To, o.Link)
				}
				packet, err := o.Msg.Pack()
				if err != nil {
					t.Fatalf("%v: %v", o.Msg, err)
				}
				if _, err := parse(packet); err != nil {
					t.Fatalf("%v: %v", o.Msg, err)
				}
			}
			l.run(30 * time.Second)
		}
	})
}
