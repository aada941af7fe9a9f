package vm

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"
)

// Advert is what a LAN's router says in its advertisements (RFC 4861, RFC 8106).
type Advert struct {
	Prefix netip.Prefix  // of 64 bits, for addresses that machines make themselves
	DNS    netip.Addr    // name server
	Search string        // domain
	Life   time.Duration // of all of it; 0 takes it back
}

var (
	routerAddress = netip.MustParseAddr("fe80::1")
	allNodes      = netip.MustParseAddr("ff02::1")
	allNodesMAC   = []byte{0x33, 0x33, 0, 0, 0, 1}
)

// Advertise sends an advertisement, and from now on to everybody who asks for one.
func (l *LAN) Advertise(a Advert) error {
	l.advert.Store(&a)
	return l.write(ethernet(allNodesMAC, 0x86dd, a.packet()))
}

// solicited answers who asks for routers: ICMPv6 of type 133.
func (l *LAN) solicited(p []byte) []byte {
	a := l.advert.Load()
	if a == nil || len(p) < 48 || p[6] != 58 || p[40] != 133 {
		return nil
	}
	return ethernet(allNodesMAC, 0x86dd, a.packet())
}

// packet is the advertisement from its IPv6 header on.
func (a Advert) packet() []byte {
	life := binary.BigEndian.AppendUint32(nil, uint32(a.Life/time.Second))
	m := []byte{134, 0, 0, 0, 64, 0}
	m = binary.BigEndian.AppendUint16(m, uint16(a.Life/time.Second))
	m = append(m, make([]byte, 8)...) // times that hosts choose
	m = append(append(m, 1, 1), lanMAC...)
	m = append(m, 3, 4, byte(a.Prefix.Bits()), 0xc0) // on the link, and for addresses of one's own
	m = append(append(append(m, life...), life...), 0, 0, 0, 0)
	m = append(m, a.Prefix.Masked().Addr().AsSlice()...)
	m = append(append(append(m, 25, 3, 0, 0), life...), a.DNS.AsSlice()...)
	var name []byte
	for label := range strings.SplitSeq(a.Search, ".") {
		name = append(append(name, byte(len(label))), label...)
	}
	name = append(name, 0)
	for len(name)%8 != 0 {
		name = append(name, 0)
	}
	m = append(append(append(m, 31, byte(1+len(name)/8), 0, 0), life...), name...)

	src, dst := routerAddress.As16(), allNodes.As16()
	pseudo := append(append([]byte{}, src[:]...), dst[:]...)
	pseudo = append(binary.BigEndian.AppendUint32(pseudo, uint32(len(m))), 0, 0, 0, 58)
	binary.BigEndian.PutUint16(m[2:], inverse(pseudo, m))
	head := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(m)))
	head = append(head, 58, 255) // only what comes from the link itself is believed
	return append(append(append(head, src[:]...), dst[:]...), m...)
}

// tagged answers a frame of a VLAN (IEEE 802.1Q) in that VLAN.
func (l *LAN) tagged(f []byte) []byte {
	if len(f) < 18 {
		return nil
	}
	id := int(binary.BigEndian.Uint16(f[14:]) & 0xfff)
	inner := append(append([]byte{}, f[:12]...), f[16:]...)
	out := l.answer(inner)
	if out == nil {
		return nil
	}
	select {
	case l.Tags <- id:
	default:
	}
	return append(append(append([]byte{}, out[:12]...), f[12:16]...), out[12:]...)
}
