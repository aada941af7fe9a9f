package vm

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// LAN is a network for one guest with nobody on it but us: DHCP on 10.9.8.1, which hands out 10.9.8.2, no gateway, and names itself as
// time server; NTP on the same address; the same in every VLAN; IPv6 once Advertise was called. It needs no privilege, since it speaks Ethernet over a cable, and lets a test choose the time.
type LAN struct {
	end    *Link
	offset time.Duration
	Leases chan string // hostname of each lease given; full = forgotten
	Tags   chan int    // VLAN of each tagged frame that was answered; full = forgotten
	advert atomic.Pointer[Advert]
	tcp    chan segment
	mu     sync.Mutex // guards writes of whole frames
}

var (
	lanMAC      = net.HardwareAddr{0x52, 0x54, 0, 0, 9, 1}
	lanGuestMAC = net.HardwareAddr{0x52, 0x54, 0, 0, 9, 2}
	lanUs       = net.IPv4(10, 9, 8, 1).To4()
	lanGuest    = net.IPv4(10, 9, 8, 2).To4()
	toAll       = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

// NewLAN makes the network and the guest's end of its cable. The clock tells this host's time plus offset. It ends with the guest.
func NewLAN(offset time.Duration) (*LAN, *Link, error) {
	guest, us, err := NewLink(lanGuestMAC.String(), lanMAC.String())
	if err != nil {
		return nil, nil, err
	}
	l := &LAN{end: us, offset: offset, Leases: make(chan string, 16), Tags: make(chan int, 16), tcp: make(chan segment, 16)}
	go l.serve()
	return l, guest, nil
}

// Now is the time that the network tells.
func (l *LAN) Now() time.Time { return time.Now().Add(l.offset) }

// serve answers frames; QEMU puts a length of four bytes before each.
func (l *LAN) serve() {
	defer l.end.Close()
	r := bufio.NewReader(l.end.end)
	for {
		var n uint32
		if binary.Read(r, binary.BigEndian, &n) != nil || n > 1<<16 {
			return
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		if answer := l.answer(frame); answer != nil {
			if l.write(answer) != nil {
				return
			}
		}
	}
}

// write sends a frame.
func (l *LAN) write(frame []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.end.end.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	return err
}

// answer takes an Ethernet frame and gives the one to send back, nil for none.
func (l *LAN) answer(f []byte) []byte {
	if len(f) < 14 {
		return nil
	}
	from, body := net.HardwareAddr(f[6:12]), f[14:]
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x0806:
		// RFC 826: request for our address; sender and target change places.
		if len(body) < 28 || binary.BigEndian.Uint16(body[6:]) != 1 || !net.IP(body[24:28]).Equal(lanUs) {
			return nil
		}
		out := append([]byte{0, 1, 8, 0, 6, 4, 0, 2}, lanMAC...)
		out = append(append(append(out, lanUs...), body[8:14]...), body[14:18]...)
		return ethernet(from, 0x0806, out)
	case 0x0800:
		return l.ip(from, body)
	case 0x86dd:
		return l.solicited(body)
	case 0x8100:
		return l.tagged(f)
	}
	return nil
}

// ip answers UDP to the ports 67 and 123, and passes TCP on; RFC 791 and 768.
func (l *LAN) ip(from net.HardwareAddr, p []byte) []byte {
	if len(p) < 20 || p[0]>>4 != 4 {
		return nil
	}
	head, end := int(p[0]&15)*4, int(binary.BigEndian.Uint16(p[2:]))
	if head < 20 || end < head+8 || end > len(p) {
		return nil
	}
	src, u := net.IP(p[12:16]), p[head:end]
	if p[9] == 6 && src.Equal(lanGuest) {
		l.received(u)
	}
	if p[9] != 17 {
		return nil
	}
	end = int(binary.BigEndian.Uint16(u[4:]))
	if end < 8 || end > len(u) {
		return nil
	}
	data := u[8:end]
	switch binary.BigEndian.Uint16(u[2:]) {
	case 67:
		if reply := l.dhcp(data); reply != nil {
			return ethernet(toAll, 0x0800, udp(lanUs, net.IPv4bcast.To4(), 67, 68, reply))
		}
	case 123:
		if reply := sntp(data, l.Now()); reply != nil && net.IP(p[16:20]).Equal(lanUs) {
			return ethernet(from, 0x0800, udp(lanUs, src.To4(), 123, binary.BigEndian.Uint16(u), reply))
		}
	}
	return nil
}

// dhcp answers a client that discovers or requests.
func (l *LAN) dhcp(data []byte) []byte {
	m, err := dhcpv4.FromBytes(data)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootRequest {
		return nil
	}
	kind := dhcpv4.MessageTypeOffer
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
	case dhcpv4.MessageTypeRequest:
		kind = dhcpv4.MessageTypeAck
		select {
		case l.Leases <- m.HostName():
		default:
		}
	default:
		return nil
	}
	r, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(lanGuest), dhcpv4.WithServerIP(lanUs),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(lanUs)), dhcpv4.WithOption(dhcpv4.OptNTPServers(lanUs)))
	if err != nil {
		return nil
	}
	return r.ToBytes()
}

// ethernet puts a frame together; short ones are filled up to 60 bytes.
func ethernet(to net.HardwareAddr, kind uint16, body []byte) []byte {
	f := append(append([]byte{}, to...), lanMAC...)
	f = append(binary.BigEndian.AppendUint16(f, kind), body...)
	for len(f) < 60 {
		f = append(f, 0)
	}
	return f
}

// udp puts an IPv4 packet together; a UDP checksum of zero means that there is none.
func udp(src, dst net.IP, sport, dport uint16, data []byte) []byte {
	var h []byte
	for _, v := range []uint16{sport, dport, uint16(8 + len(data)), 0} {
		h = binary.BigEndian.AppendUint16(h, v)
	}
	return ipv4(17, src, dst, append(h, data...))
}

// ipv4 puts a header in front of what it carries.
func ipv4(protocol byte, src, dst net.IP, data []byte) []byte {
	p := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0}
	p = append(append(p, src...), dst...)
	binary.BigEndian.PutUint16(p[2:], uint16(20+len(data)))
	binary.BigEndian.PutUint16(p[10:], inverse(p))
	return append(p, data...)
}

// sntp answers a client packet (mode 3) as RFC 4330 section 5 has it: the client's transmit time goes back as originate time.
func sntp(in []byte, now time.Time) []byte {
	if len(in) < 48 || in[0]&7 != 3 {
		return nil
	}
	out := make([]byte, 48)
	out[0] = in[0]&0x38 | 4 // no leap second, the client's version, mode server
	out[1] = 1              // stratum: primary
	out[2] = in[2]          // poll
	out[3] = 0xec           // precision: 2^-20 s
	copy(out[12:], "LOCL")
	at := ntpTime(now)
	binary.BigEndian.PutUint64(out[16:], at-1<<32) // reference: set a second ago
	copy(out[24:32], in[40:48])
	binary.BigEndian.PutUint64(out[32:], at)
	binary.BigEndian.PutUint64(out[40:], at)
	return out
}

// ntpTime is seconds since 1900 in the upper half, their fraction in the lower.
func ntpTime(t time.Time) uint64 {
	const from1900To1970 = 2208988800
	return uint64(t.Unix()+from1900To1970)<<32 | uint64(t.Nanosecond())<<32/1e9
}
