package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// knock is how often a port is tried.
const knock = 20 * time.Millisecond

// The flags of TCP, RFC 9293.
const (
	flagSYN = 2
	flagRST = 4
	flagACK = 16
)

// Banner knocks at a TCP port of the guest until somebody there answers with a line that begins with want, and gives the moment
// at which it came. It begins before the guest has a network: one packet for each try, which a machine that is not that far drops
// and a kernel without a listener refuses, so that what is measured is not slowed down by connections that pile up.
func (l *LAN) Banner(ctx context.Context, port uint16, want string) (time.Time, error) {
	tick := time.NewTicker(knock)
	defer tick.Stop()
	from, open := uint16(40000), false
	for {
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("nobody says %q at port %d: %w", want, port, ctx.Err())
		case <-tick.C:
			if !open {
				if from++; from == 60000 {
					from = 40001
				}
				l.send(segment{from, port, 1, 0, flagSYN, nil})
			}
		case s := <-l.tcp:
			at := time.Now()
			switch {
			case s.from != port || s.flags&flagRST != 0:
			case s.flags&flagSYN != 0 && !open: // to one of the last tries: the answer may have taken longer than the next knock
				open, from = true, s.to
				l.send(segment{from, port, s.ack, s.seq + 1, flagACK, nil})
			case s.flags&flagSYN != 0 && s.to != from:
				l.send(segment{s.to, port, s.ack, 0, flagRST, nil})
			case open && s.to == from && bytes.HasPrefix(s.data, []byte(want)):
				l.send(segment{from, port, s.ack, 0, flagRST, nil})
				return at, nil
			}
		}
	}
}

// segment is what of a TCP segment matters here.
type segment struct {
	from, to uint16
	seq, ack uint32
	flags    byte
	data     []byte
}

func (l *LAN) send(s segment) {
	h := make([]byte, 20)
	binary.BigEndian.PutUint16(h, s.from)
	binary.BigEndian.PutUint16(h[2:], s.to)
	binary.BigEndian.PutUint32(h[4:], s.seq)
	binary.BigEndian.PutUint32(h[8:], s.ack)
	h[12], h[13] = 5<<4, s.flags
	binary.BigEndian.PutUint16(h[14:], 65535) // window
	pseudo := append(append([]byte{}, lanUs...), lanGuest...)
	pseudo = append(pseudo, 0, 6, 0, byte(len(h)))
	binary.BigEndian.PutUint16(h[16:], inverse(pseudo, h))
	l.write(ethernet(lanGuestMAC, 0x0800, ipv4(6, lanUs, lanGuest, h)))
}

// inverse is the checksum of RFC 1071 over pieces of an even length.
func inverse(pieces ...[]byte) uint16 {
	var sum uint32
	for _, p := range pieces {
		for i := 0; i+1 < len(p); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(p[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// received hands a segment of the guest's to whoever waits for one.
func (l *LAN) received(b []byte) {
	if len(b) < 20 || int(b[12]>>4)*4 > len(b) {
		return
	}
	s := segment{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13], b[int(b[12]>>4)*4:]}
	select {
	case l.tcp <- s:
	default: // nobody listens
	}
}
