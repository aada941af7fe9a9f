package mdns

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
)

// Port is where everybody listens.
const Port = 5353

// Groups are the addresses to which everything is sent.
var (
	Group4 = netip.MustParseAddr("224.0.0.251")
	Group6 = netip.MustParseAddr("ff02::fb")
)

// maxPacket is the largest packet in bytes, with its headers (section 17).
const maxPacket = 9000

// maxRecords is the most records of a packet that are looked at.
const maxRecords = 500

// parse reads a packet. Whatever it holds, the worst is an error: this is PID 1.
func parse(packet []byte) (m *dns.Msg, err error) {
	defer func() {
		if v := recover(); v != nil {
			m, err = nil, fmt.Errorf("a packet that the library cannot read: %v", v)
		}
	}()
	if len(packet) > maxPacket {
		return nil, fmt.Errorf("a packet of %d bytes", len(packet))
	}
	m = &dns.Msg{}
	if err := m.Unpack(packet); err != nil {
		return nil, err
	}
	if m.Opcode != dns.OpcodeQuery || m.Rcode != 0 {
		return nil, errors.New("neither a question nor an answer") // section 18.3, 18.11
	}
	if len(m.Question)+len(m.Answer)+len(m.Ns)+len(m.Extra) > maxRecords {
		return nil, errors.New("too many records")
	}
	return m, nil
}
