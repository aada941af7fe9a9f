package frame

import (
	"encoding/binary"
	"net/netip"
)

const (
	typeIPv6  = 0x86dd
	ip6Len    = 40
	protoICMP = 58
	hopLimit  = 255 // of neighbour discovery: a smaller one has come through a router
)

// Types of the messages.
const (
	RouterSolicit    uint8 = 133
	RouterAdvert     uint8 = 134
	NeighbourSolicit uint8 = 135 // the question for an address
	NeighbourAdvert  uint8 = 136 // the answer
)

// Options, flags and lengths of the messages.
const (
	optionSourceLink = 1
	optionTargetLink = 2
	optionPrefix     = 3
	linkOptionLen    = 8
	prefixOptionLen  = 32
	flagSolicited    = 0x40
	flagOverride     = 0x20
	flagAutonomous   = 0x40
	solicitLen       = 8 // of a question for routers
	advertLen        = 16
	ndLen            = 24 // of a question or an answer for an address
)

// AllNodes is the group of all machines of a link.
var AllNodes = netip.MustParseAddr("ff02::1")

// ND is a frame with a message of neighbour discovery (RFC 4861). Of router advertisements nothing
// but the sender is read.
type ND struct {
	From, To  MAC // of the frame
	Src, Dst  netip.Addr
	Type      uint8
	Target    netip.Addr // of the questions and answers for an address
	Link      MAC        // of the sender or the target; zero where it is not given
	Solicited bool       // of an answer: to a question
	Override  bool       // of an answer: it replaces what is known
}

// Group is the group to which questions for an address go.
func Group(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// GroupMAC is the hardware address of a group of IPv6.
func GroupMAC(group netip.Addr) MAC {
	b := group.As16()
	return MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// ParseND reads a frame; false for anything else than a message of neighbour discovery that is
// valid by RFC 4861, sections 6.1 and 7.1, and for extension headers.
func ParseND(b []byte) (n ND, ok bool) {
	if len(b) < etherLen+ip6Len || binary.BigEndian.Uint16(b[12:]) != typeIPv6 {
		return n, false
	}
	p := b[etherLen:]
	size := int(binary.BigEndian.Uint16(p[4:]))
	if p[0]>>4 != 6 || p[6] != protoICMP || p[7] != hopLimit || size < solicitLen || size > len(p)-ip6Len {
		return n, false
	}
	m := p[ip6Len : ip6Len+size]
	n = ND{From: MAC(b[6:12]), To: MAC(b[0:6]), Src: netip.AddrFrom16([16]byte(p[8:24])), Dst: netip.AddrFrom16([16]byte(p[24:40])), Type: m[0]}
	if m[1] != 0 || n.Src.IsMulticast() || sum6(n.Src, n.Dst, m) != 0 {
		return ND{}, false
	}
	want, head := uint8(optionSourceLink), solicitLen
	switch n.Type {
	case RouterSolicit:
	case RouterAdvert:
		if size < advertLen || !n.Src.IsLinkLocalUnicast() {
			return ND{}, false
		}
		return n, true
	case NeighbourSolicit, NeighbourAdvert:
		if size < ndLen {
			return ND{}, false
		}
		head = ndLen
		n.Target = netip.AddrFrom16([16]byte(m[8:24]))
		if n.Target.IsMulticast() || n.Target.IsUnspecified() {
			return ND{}, false
		}
		if n.Type == NeighbourAdvert {
			want, n.Solicited, n.Override = optionTargetLink, m[4]&flagSolicited != 0, m[4]&flagOverride != 0
			if n.Src.IsUnspecified() || n.Solicited && n.Dst.IsMulticast() {
				return ND{}, false
			}
		} else if n.Src.IsUnspecified() && n.Dst != Group(n.Target) {
			return ND{}, false
		}
	default:
		return ND{}, false
	}
	for o := m[head:]; len(o) > 0; {
		if len(o) < 2 || o[1] == 0 || int(o[1])*8 > len(o) {
			return ND{}, false
		}
		if o[0] == want && o[1] == 1 {
			n.Link = MAC(o[2:8])
		}
		o = o[int(o[1])*8:]
	}
	if n.Src.IsUnspecified() && n.Link != (MAC{}) {
		return ND{}, false
	}
	return n, true
}

// Bytes is a question or an answer for an address on the wire. The addresses must be IPv6.
func (n ND) Bytes() []byte {
	m := make([]byte, 8, ndLen+linkOptionLen)
	m[0] = n.Type
	option := byte(optionSourceLink)
	if n.Type == NeighbourAdvert {
		option = optionTargetLink
		if n.Solicited {
			m[4] |= flagSolicited
		}
		if n.Override {
			m[4] |= flagOverride
		}
	}
	m = append(m, n.Target.AsSlice()...)
	if n.Link != (MAC{}) {
		m = append(append(m, option, 1), n.Link[:]...)
	}
	return icmp6(n.From, n.To, n.Src, n.Dst, m)
}

// Prefix is a network in an advertisement. Boards form addresses of it, and send to all of them
// through the router.
type Prefix struct {
	Net              netip.Prefix
	Preferred, Valid uint32 // seconds
}

// Advert is a router advertisement.
type Advert struct {
	From, To MAC // of the frame
	Src, Dst netip.Addr
	Lifetime uint16 // seconds as the way out; 0: it is none
	Prefixes []Prefix
}

// Bytes is the advertisement on the wire. The addresses must be IPv6.
func (a Advert) Bytes() []byte {
	m := make([]byte, advertLen, advertLen+linkOptionLen+len(a.Prefixes)*prefixOptionLen)
	m[0], m[4] = RouterAdvert, 64 // the hop limit of what boards send
	binary.BigEndian.PutUint16(m[6:], a.Lifetime)
	m = append(append(m, optionSourceLink, 1), a.From[:]...)
	for _, p := range a.Prefixes {
		m = append(m, optionPrefix, prefixOptionLen/8, byte(p.Net.Bits()), flagAutonomous)
		m = binary.BigEndian.AppendUint32(m, p.Valid)
		m = binary.BigEndian.AppendUint32(m, p.Preferred)
		m = append(append(m, 0, 0, 0, 0), p.Net.Masked().Addr().AsSlice()...)
	}
	return icmp6(a.From, a.To, a.Src, a.Dst, m)
}

// icmp6 puts a message, whose checksum is set, into a frame.
func icmp6(from, to MAC, src, dst netip.Addr, m []byte) []byte {
	binary.BigEndian.PutUint16(m[2:], sum6(src, dst, m))
	ip := make([]byte, 8, ip6Len)
	ip[0], ip[6], ip[7] = 6<<4, protoICMP, hopLimit
	binary.BigEndian.PutUint16(ip[4:], uint16(len(m)))
	ip = append(append(ip, src.AsSlice()...), dst.AsSlice()...)
	b := append(append(make([]byte, 0, etherLen+ip6Len+len(m)), to[:]...), from[:]...)
	b = binary.BigEndian.AppendUint16(b, typeIPv6)
	return append(append(b, ip...), m...)
}

// sum6 is the checksum of a message with its pseudo header; 0 for one whose own is right.
func sum6(src, dst netip.Addr, m []byte) uint16 {
	pseudo := append(append(make([]byte, 0, ip6Len+len(m)), src.AsSlice()...), dst.AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(m)))
	return Checksum(append(append(pseudo, 0, 0, 0, protoICMP), m...))
}
