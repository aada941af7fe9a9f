package mdns

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// lan is a network of machines with a clock of its own: nothing waits for real time.
type lan struct {
	t     testing.TB
	now   time.Time
	nodes []*node
	split bool                                // nodes with even and odd numbers do not reach each other
	seen  func(from *node, o Out, m *dns.Msg) // every message, as it comes out of the wire
}

type node struct {
	lan    *lan
	number int
	m      *Machine
	facts  Facts
	joined bool
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newLAN(t testing.TB) *lan { return &lan{t: t, now: epoch} }

// add makes a node with addresses of both protocols; it is silent before start.
func (l *lan) add(host string, seed uint64, services ...Service) *node {
	n := &node{lan: l, number: len(l.nodes)}
	random := rand.New(rand.NewPCG(seed, uint64(n.number)))
	n.m = NewMachine(func(below time.Duration) time.Duration { return time.Duration(random.Int64N(int64(below))) })
	n.facts = Facts{Host: host, Services: services, Links: []Link{{Index: 1, Name: "eth0", Prefixes: []netip.Prefix{
		netip.PrefixFrom(n.addr(true), 24), netip.PrefixFrom(n.addr(false), 64),
	}}}}
	l.nodes = append(l.nodes, n)
	return n
}

func (n *node) addr(four bool) netip.Addr {
	if four {
		return netip.AddrFrom4([4]byte{10, 0, 0, byte(n.number + 1)})
	}
	return netip.MustParseAddr(fmt.Sprintf("fe80::%x", n.number+1))
}

func (n *node) start() {
	n.joined = true
	n.lan.deliver(n, n.m.Set(n.lan.now, n.facts))
}

// deliver brings messages to all who get them, the sender included, and what they answer too.
func (l *lan) deliver(from *node, list []Out) {
	for _, o := range list {
		data, err := o.Msg.Pack()
		if err != nil {
			l.t.Fatalf("%v: %v", o.Msg, err)
		}
		m, err := parse(data)
		if err != nil {
			l.t.Fatalf("%v: %v", o.Msg, err)
		}
		if l.seen != nil {
			l.seen(from, o, m)
		}
		four := o.Four
		if o.To.IsValid() {
			four = o.To.Addr().Is4()
		}
		for _, n := range l.nodes {
			if !n.joined || o.To.IsValid() && o.To.Addr() != n.addr(four) || l.split && n.number%2 != from.number%2 {
				continue
			}
			l.deliver(n, n.m.Take(l.now, Packet{Link: 1, From: netip.AddrPortFrom(from.addr(four), Port), Data: data}))
		}
	}
}

// run lets time pass.
func (l *lan) run(d time.Duration) {
	end := l.now.Add(d)
	for {
		var first *node
		at := end
		for _, n := range l.nodes {
			if next := n.m.Next(); n.joined && !next.IsZero() && !next.After(at) {
				first, at = n, next
			}
		}
		if first == nil {
			l.now = end
			return
		}
		if at.After(l.now) {
			l.now = at
		}
		l.deliver(first, first.m.Tick(l.now))
		if next := first.m.Next(); !next.IsZero() && !next.After(at) {
			l.t.Fatalf("node %d wants to be asked at once, again and again", first.number)
		}
	}
}

// ask asks from an address that is nobody's, and returns what comes back to it or to everybody.
func (l *lan) ask(port uint16, four bool, known []dns.RR, questions ...dns.Question) (direct, all []*dns.Msg) {
	q := &dns.Msg{Question: questions, Answer: known}
	if port != Port {
		q.Id = 77
	}
	data, err := q.Pack()
	if err != nil {
		l.t.Fatal(err)
	}
	from := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.99"), port)
	if !four {
		from = netip.AddrPortFrom(netip.MustParseAddr("fe80::99"), port)
	}
	before := l.seen
	defer func() { l.seen = before }()
	l.seen = func(_ *node, o Out, m *dns.Msg) {
		switch {
		case o.To == from:
			direct = append(direct, m)
		case !o.To.IsValid() && o.Four == four:
			all = append(all, m)
		case !o.To.IsValid():
		default:
			l.t.Errorf("sent to %v, want %v or everybody", o.To, from)
		}
	}
	for _, n := range l.nodes {
		if n.joined {
			l.deliver(n, n.m.Take(l.now, Packet{Link: 1, From: from, Data: data}))
		}
	}
	l.run(time.Second)
	return direct, all
}

// labels are the names that nodes have, or want.
func (l *lan) labels() (list []string) {
	for _, n := range l.nodes {
		mark := ""
		if !n.m.Sure(1) {
			mark = "?"
		}
		list = append(list, n.m.Label()+mark)
	}
	return list
}
