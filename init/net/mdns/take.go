package mdns

import (
	"slices"
	"time"

	"github.com/miekg/dns"
)

// legacyTTL is the longest lifetime in seconds that a simple resolver gets (section 6.7): it does
// not listen for changes.
const legacyTTL = 10

// Take takes a packet. One that is not from the link, or cannot be read, changes nothing.
func (m *Machine) Take(now time.Time, p Packet) []Out {
	s := m.links[p.Link]
	if s == nil || !s.Near(p.From.Addr()) {
		return nil
	}
	msg, err := parse(p.Data)
	if err != nil {
		return nil
	}
	if msg.Response {
		if p.From.Port() != Port || m.mine(p) {
			return nil
		}
		return m.answered(now, s, p, msg)
	}
	if len(msg.Ns) > 0 && m.mine(p) {
		return nil // our own probe, back from another of our links
	}
	if out, over := m.probedBy(now, s, p, msg); over {
		return out
	}
	return s.asked(now, p, msg, m.random)
}

// mine reports whether a packet is from the node itself.
func (m *Machine) mine(p Packet) bool {
	for _, s := range m.links {
		if slices.Contains(s.Addresses(), p.From.Addr().Unmap().WithZone("")) {
			return true
		}
	}
	return false
}

// claim returns what is known about a name that the node claims on a link; ok is false for others.
func (m *Machine) claim(s *state, k string) (c Claimed, ok bool) {
	for _, other := range m.links {
		for _, r := range other.own {
			if !r.Claim || key(r.RR.Header().Name) != k {
				continue
			}
			c.All = append(c.All, r.RR)
			if other == s {
				c.Here = append(c.Here, r.RR)
			}
		}
	}
	c.Sure = s.sure[k]
	return c, len(c.Here) > 0
}

// answered takes the answers of another machine.
func (m *Machine) answered(now time.Time, s *state, p Packet, msg *dns.Msg) []Out {
	var defend []int
	for _, rr := range slices.Concat(msg.Answer, msg.Extra) {
		k := key(rr.Header().Name)
		if rr.Header().Class&^flush != dns.ClassINET {
			continue
		}
		c, ours := m.claim(s, k)
		if !ours {
			continue
		}
		switch c.OnAnswer(rr) {
		case Rename:
			return m.rename(now, p)
		case Doubt:
			m.doubt(now, s, k)
		case Defend:
			for i, r := range s.own {
				if same(r.RR, rr) {
					defend = append(defend, i)
				}
			}
		}
	}
	return s.multicast(now, defend, p.From.Addr().Unmap().Is4(), again)
}

// rename takes the next name instead of the one that is taken, on all links.
func (m *Machine) rename(now time.Time, p Packet) []Out {
	out := m.Bye()
	if m.number == 1 {
		m.taken = p.From.Addr().Unmap()
	}
	m.number++
	pause := m.conflict(now)
	for _, s := range m.links {
		s.sure = map[string]bool{}
		m.renew(s, now)
		s.probeAt = s.probeAt.Add(pause)
	}
	return out
}

// doubt has a name probed for again that another machine uses too.
func (m *Machine) doubt(now time.Time, s *state, k string) {
	if slices.Contains(s.probing, k) {
		return
	}
	delete(s.sure, k)
	s.probing = append(s.probing, k)
	s.probed, s.probeAt = 0, now.Add(m.random(probeEvery)+m.conflict(now))
	s.announceAt = time.Time{}
}

// conflict counts one, and returns how long to wait because there are too many.
func (m *Machine) conflict(now time.Time) time.Duration {
	if n := len(m.recent); n > 0 && now.Sub(m.recent[n-1]) > stormOver {
		m.storm = false
	}
	recent := m.recent[:0]
	for _, t := range m.recent {
		if now.Sub(t) <= stormWindow {
			recent = append(recent, t)
		}
	}
	m.recent = append(recent, now)
	m.storm = m.storm || len(m.recent) > stormCount
	if m.storm {
		return stormPause
	}
	return 0
}

// probedBy takes the probe of another machine; over is false if it is none, or about names that are
// not ours.
func (m *Machine) probedBy(now time.Time, s *state, p Packet, msg *dns.Msg) (out []Out, over bool) {
	if len(msg.Ns) == 0 {
		return nil, false
	}
	var defend []int
	for _, q := range msg.Question {
		k := key(q.Name)
		c, ours := m.claim(s, k)
		if !ours {
			continue
		}
		var theirs []dns.RR
		for _, rr := range msg.Ns {
			if key(rr.Header().Name) == k {
				theirs = append(theirs, rr)
			}
		}
		switch c.OnProbe(theirs) {
		case Yield:
			s.probed, s.probeAt = 0, now.Add(yieldFor)
			over = true
		case Defend:
			for i, r := range s.own {
				if r.Claim && key(r.RR.Header().Name) == k {
					defend = append(defend, i)
				}
			}
			over = true
		}
	}
	if len(defend) == 0 {
		return nil, over
	}
	// To everybody, for what they remember, and to the one who asks, should that be too soon.
	out = s.multicast(now, defend, p.From.Addr().Unmap().Is4(), probeEvery)
	if len(out) == 0 {
		for _, r := range replies(pick(s.own, defend), nil, false) {
			out = append(out, Out{Link: s.Index, To: p.From, Msg: r})
		}
	}
	return out, true
}

// asked answers questions.
func (s *state) asked(now time.Time, p Packet, msg *dns.Msg, random func(time.Duration) time.Duration) (out []Out) {
	four := p.From.Addr().Unmap().Is4()
	if len(msg.Question) == 0 { // more of what the one who has asked knows already
		for i, w := range s.waiting {
			if w.from == p.From {
				s.waiting[i].records = slices.DeleteFunc(w.records, func(r int) bool { return known(s.own[r], msg.Answer) })
			}
		}
		return nil
	}
	own := s.live()
	var direct, all []int
	var absent []*dns.NSEC
	legacy, shared := p.From.Port() != Port, false
	for _, q := range msg.Question {
		found, none := matches(own, q)
		if none != nil && !slices.ContainsFunc(absent, func(n *dns.NSEC) bool { return key(n.Hdr.Name) == key(none.Hdr.Name) }) {
			absent = append(absent, none)
		}
		for _, i := range found {
			if slices.Contains(all, i) || !legacy && known(own[i], msg.Answer) {
				continue
			}
			all = append(all, i)
			shared = shared || !own[i].Unique
			if q.Qclass&flush != 0 {
				direct = append(direct, i)
			}
		}
	}
	if len(all)+len(absent) == 0 {
		return nil
	}
	if legacy {
		return []Out{{Link: s.Index, To: p.From, Msg: plain(own, all, absent, msg)}}
	}
	if len(direct) > 0 {
		extra, more := further(own, direct)
		for _, r := range replies(pick(own, direct), append(pick(own, extra), absences(more)...), false) {
			out = append(out, Out{Link: s.Index, To: p.From, Msg: r})
		}
		all = slices.DeleteFunc(all, func(i int) bool { // what everybody got lately need not be repeated
			quarter := time.Duration(own[i].RR.Header().Ttl) * time.Second / 4
			return slices.Contains(direct, i) && !s.sent[i].IsZero() && now.Sub(s.sent[i]) < quarter
		})
	}
	if len(absent) > 0 {
		out = append(out, s.group(four, replies(absences(absent), nil, false))...)
	}
	if len(all) == 0 {
		return out
	}
	delay := time.Duration(0)
	switch {
	case msg.Truncated:
		delay = moreLeast + random(moreMost-moreLeast)
	case shared:
		delay = shareLeast + random(shareMost-shareLeast)
	}
	if delay == 0 {
		return append(out, s.multicast(now, all, four, again)...)
	}
	if len(s.waiting) < mostWaiting {
		s.waiting = append(s.waiting, wait{now.Add(delay), p.From, four, all})
	}
	return out
}

// mostWaiting bounds what somebody who asks very often can have us remember.
const mostWaiting = 64

// plain is an answer for a simple resolver: as one of DNS, without what only mDNS knows.
func plain(own []Record, all []int, absent []*dns.NSEC, q *dns.Msg) *dns.Msg {
	extra, _ := further(own, all)
	r := replies(append(pick(own, all), absences(absent)...), pick(own, extra), true)[0]
	r.Id = q.Id
	for _, one := range q.Question {
		one.Qclass &^= flush
		r.Question = append(r.Question, one)
	}
	for _, rr := range slices.Concat(r.Answer, r.Extra) {
		rr.Header().Ttl = min(rr.Header().Ttl, legacyTTL)
	}
	return r
}
