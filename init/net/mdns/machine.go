package mdns

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Times of RFC 6762: sections 8.1 to 8.3, 6 and 7.2.
const (
	probeEvery  = 250 * time.Millisecond
	probes      = 3
	yieldFor    = time.Second
	announces   = 3 // 0, 1 and 3 seconds after the name is ours
	again       = time.Second
	shareLeast  = 20 * time.Millisecond
	shareMost   = 120 * time.Millisecond
	moreLeast   = 400 * time.Millisecond
	moreMost    = 500 * time.Millisecond
	stormWindow = 10 * time.Second
	stormCount  = 15
	stormPause  = 5 * time.Second
	stormOver   = time.Minute // without a conflict
)

// Facts are what the node claims. No host name or no link means that it is silent.
type Facts struct {
	Host     string // host name of the configuration
	Services []Service
	Links    []Link
}

// Packet is what came from a link.
type Packet struct {
	Link int
	From netip.AddrPort
	Data []byte
}

// Out is a message to be sent on a link.
type Out struct {
	Link int
	To   netip.AddrPort // one machine; the zero value: everybody
	Four bool           // to everybody by IPv4, else by IPv6
	Msg  *dns.Msg
}

// Machine is the protocol for all links of a node. Its methods are for one goroutine.
type Machine struct {
	random func(below time.Duration) time.Duration
	facts  Facts
	number int // of the name: 1, then NAME-2 and so on
	links  map[int]*state
	recent []time.Time // of the last conflicts
	storm  bool        // there were too many, and they go on
	taken  netip.Addr  // who has the name that was given up
}

// state is what is known of one link.
type state struct {
	Link
	own  []Record
	sent []time.Time     // when each of own was last sent to everybody
	sure map[string]bool // keys of names that are ours

	probing []string  // keys of names that are probed for, in order
	probed  int       // how many probes were sent
	probeAt time.Time // of the next one, or of the end

	announced  int
	announceAt time.Time // zero: over

	waiting []wait
}

// wait is an answer that is sent later.
type wait struct {
	at      time.Time
	from    netip.AddrPort // who asked
	four    bool
	records []int
}

// NewMachine makes one. random returns a time from 0 up to below.
func NewMachine(random func(below time.Duration) time.Duration) *Machine {
	return &Machine{random: random, number: 1, links: map[int]*state{}}
}

// Label is the label of the node's name, empty while there is none.
func (m *Machine) Label() string { return Host(m.facts.Host, m.number) }

// Sure reports whether the node's name is its own on a link.
func (m *Machine) Sure(link int) bool {
	s := m.links[link]
	return s != nil && s.sure[key(name(m.Label(), "local"))]
}

// Taken returns who has the name of the configuration; the zero value if nobody has.
func (m *Machine) Taken() netip.Addr {
	if m.number == 1 {
		return netip.Addr{}
	}
	return m.taken
}

// Set takes new facts.
func (m *Machine) Set(now time.Time, f Facts) (out []Out) {
	if Host(f.Host, 1) != Host(m.facts.Host, 1) || len(f.Links) == 0 {
		out = m.Bye()
		m.number, m.taken = 1, netip.Addr{}
		m.links = map[int]*state{}
	}
	f.Services = slices.Clone(f.Services)
	old := m.facts
	m.facts = f
	if f.Host == "" {
		f.Links = nil
	}
	for index := range m.links {
		if !slices.ContainsFunc(f.Links, func(l Link) bool { return l.Index == index }) {
			delete(m.links, index)
		}
	}
	for _, l := range f.Links {
		s := m.links[l.Index]
		if s == nil {
			s = &state{Link: l, sure: map[string]bool{}}
			m.links[l.Index] = s
		} else if reflect.DeepEqual(s.Link, l) && reflect.DeepEqual(old.Services, f.Services) {
			continue
		}
		gone := s.own
		s.Link = l
		m.renew(s, now)
		var bye []Record
		for _, r := range gone {
			if s.usable(r) && !slices.ContainsFunc(s.own, func(o Record) bool { return same(o.RR, r.RR) }) {
				bye = append(bye, goodbye(r))
			}
		}
		if len(bye) > 0 {
			out = append(out, s.everybody(replies(bye, nil, true)...)...)
		}
		for n := range s.sure { // names that are no more
			if !slices.ContainsFunc(s.own, func(o Record) bool { return o.Claim && key(o.RR.Header().Name) == n }) {
				delete(s.sure, n)
			}
		}
		if len(s.probing) == 0 {
			s.announced, s.announceAt = 0, now
		}
	}
	return append(out, m.Tick(now)...)
}

// renew makes the records of a link again, and probes for the names that are not sure.
func (m *Machine) renew(s *state, now time.Time) {
	s.own = Records(m.Label(), m.facts.Services, s.Addresses())
	s.sent = make([]time.Time, len(s.own))
	s.waiting = nil
	s.probing = nil
	for _, r := range s.own {
		if k := key(r.RR.Header().Name); r.Claim && !s.sure[k] && !slices.Contains(s.probing, k) {
			s.probing = append(s.probing, k)
		}
	}
	s.probed, s.probeAt = 0, now.Add(m.random(probeEvery))
}

// usable reports whether a record may be sent: the names that it rests on are ours.
func (s *state) usable(r Record) bool {
	if r.Claim && !s.sure[key(r.RR.Header().Name)] {
		return false
	}
	return r.Needs == "" || s.sure[r.Needs]
}

// live returns the records that may be sent; the places of the others are empty.
func (s *state) live() []Record {
	out := slices.Clone(s.own)
	for i, r := range out {
		if !s.usable(r) {
			out[i] = Record{}
		}
	}
	return out
}

// everybody sends messages to the group, by each protocol that the link has.
func (s *state) everybody(list ...*dns.Msg) (out []Out) {
	for _, four := range []bool{true, false} {
		if s.Has(four) {
			for _, m := range list {
				out = append(out, Out{Link: s.Index, Four: four, Msg: m})
			}
		}
	}
	return out
}

func goodbye(r Record) Record {
	r.RR = dns.Copy(r.RR)
	r.RR.Header().Ttl = 0
	return r
}

// Bye takes back all that was announced.
func (m *Machine) Bye() (out []Out) {
	for _, index := range slices.Sorted(maps.Keys(m.links)) {
		s := m.links[index]
		var list []Record
		for _, r := range s.own {
			if s.usable(r) {
				list = append(list, goodbye(r))
			}
		}
		if len(list) > 0 {
			out = append(out, s.everybody(replies(list, nil, true)...)...)
		}
		s.sure, s.announceAt, s.waiting = map[string]bool{}, time.Time{}, nil
	}
	return out
}

// Next is when Tick has something to do; the zero time: never.
func (m *Machine) Next() (at time.Time) {
	see := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, s := range m.links {
		if len(s.probing) > 0 {
			see(s.probeAt)
		}
		see(s.announceAt)
		for _, w := range s.waiting {
			see(w.at)
		}
	}
	return at
}

// Tick does what is due.
func (m *Machine) Tick(now time.Time) (out []Out) {
	for _, index := range slices.Sorted(maps.Keys(m.links)) {
		s := m.links[index]
		if len(s.probing) > 0 && !now.Before(s.probeAt) {
			out = append(out, s.probe(now)...)
		}
		if !s.announceAt.IsZero() && !now.Before(s.announceAt) {
			out = append(out, s.announce(now)...)
		}
		due := s.waiting
		s.waiting = nil
		for _, w := range due {
			if now.Before(w.at) {
				s.waiting = append(s.waiting, w)
				continue
			}
			out = append(out, s.multicast(now, w.records, w.four, again)...)
		}
	}
	return out
}

// probe sends the next probe, or ends probing: the names are ours.
func (s *state) probe(now time.Time) []Out {
	if s.probed == probes {
		for _, k := range s.probing {
			s.sure[k] = true
		}
		s.probing = nil
		s.announced, s.announceAt = 0, now
		return nil
	}
	s.probed++
	s.probeAt = now.Add(probeEvery)
	q := &dns.Msg{Compress: true}
	for _, k := range s.probing {
		q.Question = append(q.Question, dns.Question{Name: k, Qtype: dns.TypeANY, Qclass: dns.ClassINET | flush})
	}
	for _, r := range s.own {
		if r.Claim && slices.Contains(s.probing, key(r.RR.Header().Name)) {
			q.Ns = append(q.Ns, r.RR)
		}
	}
	return s.everybody(split(q)...)
}

// split divides a probe into messages that fit, each with the records of its own questions.
func split(q *dns.Msg) (list []*dns.Msg) {
	if q.Len() <= fit || len(q.Question) < 2 {
		return []*dns.Msg{q}
	}
	for _, half := range [][]dns.Question{q.Question[:len(q.Question)/2], q.Question[len(q.Question)/2:]} {
		p := &dns.Msg{Compress: true, Question: half}
		for _, rr := range q.Ns {
			if slices.ContainsFunc(half, func(h dns.Question) bool { return key(h.Name) == key(rr.Header().Name) }) {
				p.Ns = append(p.Ns, rr)
			}
		}
		list = append(list, split(p)...)
	}
	return list
}

// announce sends all that is ours.
func (s *state) announce(now time.Time) []Out {
	s.announced++
	s.announceAt = time.Time{}
	if s.announced < announces {
		s.announceAt = now.Add(time.Duration(s.announced) * time.Second)
	}
	var list []Record
	for i, r := range s.own {
		if s.usable(r) {
			list = append(list, r)
			s.sent[i] = now
		}
	}
	if len(list) == 0 {
		return nil
	}
	return s.everybody(replies(list, nil, false)...)
}

// multicast sends records to everybody, but none that was sent less than least ago.
func (s *state) multicast(now time.Time, records []int, four bool, least time.Duration) []Out {
	own := s.live()
	var list []int
	for _, i := range records {
		if s.usable(s.own[i]) && (s.sent[i].IsZero() || now.Sub(s.sent[i]) >= least) && !slices.Contains(list, i) {
			list = append(list, i)
		}
	}
	if len(list) == 0 {
		return nil
	}
	extra, absent := further(own, list)
	msgs := replies(pick(own, list), append(pick(own, extra), absences(absent)...), false)
	for _, i := range list {
		s.sent[i] = now
	}
	return s.group(four, msgs)
}

// group sends messages to everybody by one protocol.
func (s *state) group(four bool, list []*dns.Msg) (out []Out) {
	for _, m := range list {
		out = append(out, Out{Link: s.Index, Four: four, Msg: m})
	}
	return out
}
