package vm

import (
	"encoding/binary"
	"net"
	"time"
)

// Clock is a time server for guests: SNTP on a port of this host's loopback, which a guest reaches as 10.0.2.2. It lets a test
// choose the time and needs no network.
type Clock struct {
	conn   net.PacketConn
	offset time.Duration
}

// StartClock answers with the host's time plus offset.
func StartClock(offset time.Duration) (*Clock, error) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Clock{conn, offset}
	go c.serve()
	return c, nil
}

// Guest is the address as a guest sees it.
func (c *Clock) Guest() string {
	_, port, _ := net.SplitHostPort(c.conn.LocalAddr().String())
	return net.JoinHostPort(hostAddress, port)
}

// Now is the time that the clock tells.
func (c *Clock) Now() time.Time { return time.Now().Add(c.offset) }

// Close ends the service.
func (c *Clock) Close() error { return c.conn.Close() }

// serve answers client packets (mode 3) as RFC 4330 section 5 has it: the client's transmit time goes back as originate time.
func (c *Clock) serve() {
	buf := make([]byte, 512)
	for {
		n, from, err := c.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if n < 48 || buf[0]&7 != 3 {
			continue
		}
		now := ntpTime(c.Now())
		var out [48]byte
		out[0] = buf[0]&0x38 | 4 // no leap second, the client's version, mode server
		out[1] = 1               // stratum: primary
		out[2] = buf[2]          // poll
		out[3] = 0xec            // precision: 2^-20 s
		copy(out[12:], "LOCL")
		binary.BigEndian.PutUint64(out[16:], now-1<<32) // reference: set a second ago
		copy(out[24:32], buf[40:48])
		binary.BigEndian.PutUint64(out[32:], now)
		binary.BigEndian.PutUint64(out[40:], now)
		c.conn.WriteTo(out[:], from)
	}
}

// ntpTime is seconds since 1900 in the upper half, their fraction in the lower.
func ntpTime(t time.Time) uint64 {
	const from1900To1970 = 2208988800
	return uint64(t.Unix()+from1900To1970)<<32 | uint64(t.Nanosecond())<<32/1e9
}
