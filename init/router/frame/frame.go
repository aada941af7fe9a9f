// Package frame reads and writes the kinds of Ethernet frames that a router handles itself: ARP
// (RFC 826), UDP in IPv4 (RFC 768, RFC 791), as DHCP needs it, and neighbour discovery of IPv6
// (RFC 4861).
package frame

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// MAC is a hardware address.
type MAC [6]byte

// Broadcast is everybody's.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// MACOf converts an address; what has another length gives the zero MAC.
func MACOf(b []byte) (m MAC) {
	if len(b) == len(m) {
		copy(m[:], b)
	}
	return m
}

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText writes aa:bb:cc:dd:ee:ff.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is the way back.
func (m *MAC) UnmarshalText(b []byte) error {
	a, err := net.ParseMAC(string(b))
	if err != nil || len(a) != len(m) {
		return fmt.Errorf("%q is not a hardware address", b)
	}
	copy(m[:], a)
	return nil
}

// Multicast reports whether a frame to this address is for several machines.
func (m MAC) Multicast() bool { return m[0]&1 != 0 }

const (
	etherLen   = 14
	arpLen     = 28
	ipLen      = 20
	udpLen     = 8
	typeIPv4   = 0x0800
	typeARP    = 0x0806
	protoUDP   = 17
	timeToLive = 64
)

// Operations of ARP.
const (
	Request uint16 = 1
	Reply   uint16 = 2
)

// ARP is a frame with ARP for IPv4 over Ethernet.
type ARP struct {
	From, To  MAC // of the frame
	Op        uint16
	SenderMAC MAC
	Sender    netip.Addr
	TargetMAC MAC
	Target    netip.Addr
}

// ParseARP reads a frame; false for anything else than ARP for IPv4 over Ethernet.
func ParseARP(b []byte) (a ARP, ok bool) {
	if len(b) < etherLen+arpLen || binary.BigEndian.Uint16(b[12:]) != typeARP {
		return a, false
	}
	p := b[etherLen:]
	if binary.BigEndian.Uint16(p) != 1 || binary.BigEndian.Uint16(p[2:]) != typeIPv4 || p[4] != 6 || p[5] != 4 {
		return a, false
	}
	return ARP{
		From: MAC(b[6:12]), To: MAC(b[0:6]), Op: binary.BigEndian.Uint16(p[6:]),
		SenderMAC: MAC(p[8:14]), Sender: netip.AddrFrom4([4]byte(p[14:18])),
		TargetMAC: MAC(p[18:24]), Target: netip.AddrFrom4([4]byte(p[24:28])),
	}, true
}

// Bytes is the frame on the wire. Sender and Target must be IPv4.
func (a ARP) Bytes() []byte {
	b := make([]byte, 0, etherLen+arpLen)
	b = append(append(b, a.To[:]...), a.From[:]...)
	b = binary.BigEndian.AppendUint16(b, typeARP)
	b = append(b, 0, 1, typeIPv4>>8, typeIPv4&0xff, 6, 4)
	b = binary.BigEndian.AppendUint16(b, a.Op)
	b = append(append(b, a.SenderMAC[:]...), a.Sender.AsSlice()...)
	return append(append(b, a.TargetMAC[:]...), a.Target.AsSlice()...)
}

// Datagram is a frame with a UDP datagram in IPv4.
type Datagram struct {
	From, To MAC // of the frame
	Src, Dst netip.AddrPort
	Data     []byte
	TTL      uint8 // of what is written; 0 is the usual one
}

// ParseUDP reads a frame; false for anything else than a whole UDP datagram. The checksum of UDP is
// not compared: a virtual card leaves it to a card that never sees the frame. Data is a part of b.
func ParseUDP(b []byte) (d Datagram, ok bool) {
	if len(b) < etherLen+ipLen || binary.BigEndian.Uint16(b[12:]) != typeIPv4 {
		return d, false
	}
	p := b[etherLen:]
	head, total := int(p[0]&15)*4, int(binary.BigEndian.Uint16(p[2:]))
	fragment := binary.BigEndian.Uint16(p[6:]) & 0x3fff // except for "do not fragment"
	if p[0]>>4 != 4 || head < ipLen || total < head+udpLen || total > len(p) || p[9] != protoUDP || fragment != 0 {
		return d, false
	}
	u := p[head:total]
	size := int(binary.BigEndian.Uint16(u[4:]))
	if size < udpLen || size > len(u) {
		return d, false
	}
	return Datagram{
		From: MAC(b[6:12]), To: MAC(b[0:6]),
		Src:  netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[12:16])), binary.BigEndian.Uint16(u)),
		Dst:  netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[16:20])), binary.BigEndian.Uint16(u[2:])),
		Data: u[udpLen:size],
	}, true
}

// Bytes is the frame on the wire, with both checksums. Src and Dst must be IPv4.
func (d Datagram) Bytes() []byte {
	udp := make([]byte, 0, udpLen+len(d.Data))
	udp = binary.BigEndian.AppendUint16(udp, d.Src.Port())
	udp = binary.BigEndian.AppendUint16(udp, d.Dst.Port())
	udp = binary.BigEndian.AppendUint16(udp, uint16(udpLen+len(d.Data)))
	udp = append(append(udp, 0, 0), d.Data...)

	src, dst := d.Src.Addr().As4(), d.Dst.Addr().As4()
	ip := make([]byte, ipLen, ipLen+len(udp))
	ip[0], ip[8], ip[9] = 4<<4|ipLen/4, cmp.Or(d.TTL, timeToLive), protoUDP
	binary.BigEndian.PutUint16(ip[2:], uint16(ipLen+len(udp)))
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	binary.BigEndian.PutUint16(ip[10:], Checksum(ip))

	pseudo := append(append(append([]byte{}, src[:]...), dst[:]...), 0, protoUDP)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(udp)))
	sum := Checksum(append(pseudo, udp...))
	if sum == 0 {
		sum = 0xffff // 0 would mean that there is none
	}
	binary.BigEndian.PutUint16(udp[6:], sum)

	b := append(append(make([]byte, 0, etherLen+ipLen+len(udp)), d.To[:]...), d.From[:]...)
	b = binary.BigEndian.AppendUint16(b, typeIPv4)
	return append(append(b, ip...), udp...)
}

// Checksum is that of RFC 1071.
func Checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
