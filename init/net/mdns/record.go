// Package mdns answers for the node in its local network: NAME.local and the services that the node
// offers, by multicast DNS (RFC 6762) and DNS-SD (RFC 6763).
//
// Machine is the protocol without clock and sockets: what comes in and what time it is go in, what
// is to be sent and when to look again come out. Responder drives it with the kernel's sockets.
package mdns

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/miekg/dns"
)

// Lifetimes of records in seconds (RFC 6762, section 10): of those that have the host's name or
// address, and of all others.
const (
	hostTTL  = 120
	otherTTL = 4500
)

// flush is the bit of a record's class that makes it replace what others remember (section 10.2);
// in a question the same bit asks for an answer by unicast (section 5.4).
const flush = 1 << 15

// Service is one that the node offers.
type Service struct {
	Type string // "_ssh._tcp"
	Name string // of the instance: NAME on HOST; empty: HOST
	Port uint16
	Text []string // key=value, each at most 255 bytes
}

// Record is one that the node has on a link.
type Record struct {
	RR     dns.RR
	Unique bool   // nobody else has records of this name and type
	Claim  bool   // its name is probed for before it is used
	Needs  string // key of another claimed name without which it is worth nothing; empty for none
}

// is reports whether a record has a name, given by its key. An empty record has none.
func (r Record) is(k string) bool { return r.RR != nil && key(r.RR.Header().Name) == k }

// key is a name as it is compared: without regard to the case of ASCII letters.
func key(name string) string { return dns.CanonicalName(name) }

// name puts labels together, which may have any character, in the form in which the library returns
// names of packets.
func name(labels ...string) string {
	var wire []byte
	for _, l := range labels {
		wire = append(append(wire, byte(len(l))), l...)
	}
	text, _, err := dns.UnpackDomainName(append(wire, 0), 0)
	if err != nil {
		return "."
	}
	return text
}

// maxLabel is the longest label in bytes.
const maxLabel = 63

// clip shortens a text to a label, at a boundary of characters.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// Host returns the label under which a node with this host name is known: the part before the first
// dot, in lower case; number is 1 for the first attempt. It is empty where there is none.
func Host(hostname string, number int) string {
	label, _, _ := strings.Cut(strings.ToLower(hostname), ".")
	if label == "" {
		return ""
	}
	if number <= 1 {
		return clip(label, maxLabel)
	}
	tail := "-" + strconv.Itoa(number)
	return strings.TrimRight(clip(label, maxLabel-len(tail)), "-") + tail
}

// instance is the label of a service's instance.
func instance(s Service, host string) string {
	if s.Name == "" {
		return host
	}
	tail := " on " + host
	if len(tail) >= maxLabel {
		return clip(s.Name, maxLabel)
	}
	return clip(s.Name, maxLabel-len(tail)) + tail
}

// Records returns what a node with this label claims on a link where it has these addresses.
// Services that cannot be put into records are left out.
func Records(host string, services []Service, addresses []netip.Addr) []Record {
	if host == "" {
		return nil
	}
	var list []Record
	self := name(host, "local")
	for _, a := range addresses {
		if a = a.Unmap().WithZone(""); a.Is4() {
			list = append(list, Record{RR: &dns.A{Hdr: header(self, dns.TypeA, hostTTL), A: a.AsSlice()}, Unique: true, Claim: true})
		} else {
			list = append(list, Record{RR: &dns.AAAA{Hdr: header(self, dns.TypeAAAA, hostTTL), AAAA: a.AsSlice()}, Unique: true, Claim: true})
		}
	}
	for _, a := range addresses {
		if back, err := dns.ReverseAddr(a.Unmap().WithZone("").String()); err == nil {
			list = append(list, Record{RR: &dns.PTR{Hdr: header(back, dns.TypePTR, hostTTL), Ptr: self}, Unique: true, Needs: key(self)})
		}
	}
	types := map[string]bool{}
	seen := map[string]bool{}
	for _, s := range services {
		labels := append(strings.Split(s.Type, "."), "local")
		if !fits(labels, s.Text) {
			continue
		}
		kind := name(labels...)
		one := name(append([]string{instance(s, host)}, labels...)...)
		if kind == "." || one == "." || seen[key(one)] {
			continue
		}
		seen[key(one)] = true
		text := s.Text
		if len(text) == 0 {
			text = []string{""} // one empty string (RFC 6763, section 6.1)
		}
		list = append(list,
			Record{RR: &dns.PTR{Hdr: header(kind, dns.TypePTR, otherTTL), Ptr: one}, Needs: key(one)},
			Record{RR: &dns.SRV{Hdr: header(one, dns.TypeSRV, hostTTL), Port: s.Port, Target: self}, Unique: true, Claim: true, Needs: key(self)},
			Record{RR: &dns.TXT{Hdr: header(one, dns.TypeTXT, otherTTL), Txt: escape(text)}, Unique: true, Claim: true})
		if !types[kind] {
			types[kind] = true
			list = append(list, Record{RR: &dns.PTR{Hdr: header("_services._dns-sd._udp.local.", dns.TypePTR, otherTTL), Ptr: kind}, Needs: key(one)})
		}
	}
	return list
}

func header(name string, kind uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// fits reports whether labels and texts have the lengths that packets allow.
func fits(labels, texts []string) bool {
	for _, l := range labels {
		if l == "" || len(l) > maxLabel {
			return false
		}
	}
	for _, t := range texts {
		if len(t) > 255 {
			return false
		}
	}
	return len(labels) == 3
}

// escape returns texts as the library has them: it reads a backslash as the begin of an escape.
func escape(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		var b strings.Builder
		for _, c := range []byte(t) {
			if c == '\\' || c == '"' {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
		out[i] = b.String()
	}
	return out
}

// data is a record's content as section 8.2 compares it: class without the top bit, type, and
// uncompressed data. It is nil for a record that cannot be packed.
func data(rr dns.RR) []byte {
	buf := make([]byte, dns.Len(rr)+1)
	end, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil
	}
	start, err := dns.PackDomainName(rr.Header().Name, make([]byte, 256), 0, nil, false)
	if err != nil || start+10 > end {
		return nil
	}
	class, kind := rr.Header().Class&^flush, rr.Header().Rrtype
	out := []byte{byte(class >> 8), byte(class), byte(kind >> 8), byte(kind)}
	return append(out, buf[start+10:end]...)
}

// same reports whether two records have the same name and content; lifetimes do not count.
func same(a, b dns.RR) bool {
	if a.Header().Rrtype != b.Header().Rrtype || key(a.Header().Name) != key(b.Header().Name) {
		return false
	}
	return bytes.Equal(folded(a), folded(b))
}

// folded is data with the names in it in lower case.
func folded(rr dns.RR) []byte {
	switch v := rr.(type) {
	case *dns.PTR:
		c := *v
		c.Ptr = key(v.Ptr)
		return data(&c)
	case *dns.SRV:
		c := *v
		c.Target = key(v.Target)
		return data(&c)
	}
	return data(rr)
}
