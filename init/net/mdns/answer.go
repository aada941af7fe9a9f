package mdns

import (
	"slices"

	"github.com/miekg/dns"
)

// matches returns the records that answer a question. For a name of ours that has none of the type,
// absent is what proves that (section 6.1); own is what is sure on the link.
func matches(own []Record, q dns.Question) (found []int, absent *dns.NSEC) {
	if class := q.Qclass &^ flush; class != dns.ClassINET && class != dns.ClassANY {
		return nil, nil
	}
	ours, want := false, key(q.Name)
	for i, r := range own {
		if !r.is(want) {
			continue
		}
		h := r.RR.Header()
		ours = ours || r.Unique
		if q.Qtype == dns.TypeANY || q.Qtype == h.Rrtype {
			found = append(found, i)
		}
	}
	if ours && len(found) == 0 {
		absent = types(own, want)
	}
	return found, absent
}

// types lists the types that a name has.
func types(own []Record, want string) *dns.NSEC {
	n := &dns.NSEC{}
	for _, r := range own {
		if r.is(want) {
			h := r.RR.Header()
			n.Hdr, n.NextDomain = header(h.Name, dns.TypeNSEC, hostTTL), h.Name
			n.TypeBitMap = append(n.TypeBitMap, h.Rrtype)
		}
	}
	slices.Sort(n.TypeBitMap)
	n.TypeBitMap = slices.Compact(n.TypeBitMap)
	return n
}

// known reports whether the one who asks has a record already, for at least half of its lifetime
// (section 7.1).
func known(r Record, answers []dns.RR) bool {
	return slices.ContainsFunc(answers, func(k dns.RR) bool {
		return same(r.RR, k) && k.Header().Ttl >= r.RR.Header().Ttl/2
	})
}

// further returns what will be asked for next: the service behind a pointer, the addresses of a
// host, and that there are no others (RFC 6763, section 12).
func further(own []Record, answers []int) (extra []int, absent []*dns.NSEC) {
	all := slices.Clone(answers)
	add := func(name string, kinds ...uint16) {
		for i, r := range own {
			if r.is(key(name)) && slices.Contains(kinds, r.RR.Header().Rrtype) && !slices.Contains(all, i) {
				all = append(all, i)
			}
		}
	}
	host := ""
	for at := 0; at < len(all); at++ {
		switch rr := own[all[at]].RR.(type) {
		case *dns.PTR:
			add(rr.Ptr, dns.TypeSRV, dns.TypeTXT)
		case *dns.SRV:
			add(rr.Target, dns.TypeA, dns.TypeAAAA)
		case *dns.A, *dns.AAAA:
			host = rr.Header().Name
			add(host, dns.TypeA, dns.TypeAAAA)
		}
	}
	if host != "" {
		if n := types(own, key(host)); len(n.TypeBitMap) < 2 {
			absent = append(absent, n)
		}
	}
	return all[len(answers):], absent
}

// fit is the largest message in bytes that is sent: what an Ethernet frame takes.
const fit = 1400

// replies puts records into as few messages as fit; the additional ones only where there is space.
// Bit flush is set for unique ones unless plain is.
func replies(answers, extra []Record, plain bool) []*dns.Msg {
	fresh := func() *dns.Msg {
		m := &dns.Msg{Compress: true}
		m.Response, m.Authoritative = true, true
		return m
	}
	mark := func(r Record) dns.RR {
		rr := dns.Copy(r.RR)
		if r.Unique && !plain {
			rr.Header().Class |= flush
		}
		return rr
	}
	m := fresh()
	list := []*dns.Msg{m}
	for _, r := range answers {
		m.Answer = append(m.Answer, mark(r))
		if len(m.Answer) > 1 && m.Len() > fit {
			last := len(m.Answer) - 1
			rr := m.Answer[last]
			m.Answer = m.Answer[:last]
			m = fresh()
			m.Answer = append(m.Answer, rr)
			list = append(list, m)
		}
	}
	for _, r := range extra {
		m.Extra = append(m.Extra, mark(r))
		if m.Len() > fit {
			m.Extra = m.Extra[:len(m.Extra)-1]
			break
		}
	}
	return list
}

func pick(own []Record, at []int) []Record {
	var out []Record
	for _, i := range at {
		out = append(out, own[i])
	}
	return out
}

func absences(list []*dns.NSEC) []Record {
	var out []Record
	for _, n := range list {
		out = append(out, Record{RR: n, Unique: true})
	}
	return out
}
