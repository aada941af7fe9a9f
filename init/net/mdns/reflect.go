package mdns

import (
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// Reflected returns a packet as a router brings it to another link of the same network: without
// addresses that hold on their own link alone. ok is false for what is not mDNS, and for a packet
// of which nothing is left.
//
// The sender keeps its address: answers to it alone come by the router's routes.
func Reflected(packet []byte) (out []byte, ok bool) {
	m, err := parse(packet)
	if err != nil || len(m.Question)+len(m.Answer)+len(m.Ns) == 0 {
		return nil, false
	}
	near := func(rr dns.RR) bool {
		switch a := rr.(type) {
		case *dns.A:
			return a.A.IsLinkLocalUnicast()
		case *dns.AAAA:
			return a.AAAA.IsLinkLocalUnicast()
		}
		return false
	}
	if !slices.ContainsFunc(slices.Concat(m.Answer, m.Ns, m.Extra), near) {
		return packet, true
	}
	m.Answer, m.Ns, m.Extra = slices.DeleteFunc(m.Answer, near), slices.DeleteFunc(m.Ns, near), slices.DeleteFunc(m.Extra, near)
	if len(m.Question)+len(m.Answer)+len(m.Ns) == 0 {
		return nil, false
	}
	out, err = pack(m)
	return out, err == nil
}

// pack writes a message of others. Whatever it holds, the worst is an error.
func pack(m *dns.Msg) (b []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			b, err = nil, fmt.Errorf("a packet that the library cannot write: %v", v)
		}
	}()
	m.Compress = true
	return m.Pack()
}
