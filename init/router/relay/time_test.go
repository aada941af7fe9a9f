package relay

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Offers and leases without a time server get the router's address as one; nothing else changes.
func TestWithTime(t *testing.T) {
	own := netip.MustParseAddr("10.0.0.9")
	message := func(kind dhcpv4.MessageType, more ...dhcpv4.Option) []byte {
		p, err := dhcpv4.New(dhcpv4.WithMessageType(kind), dhcpv4.WithOption(dhcpv4.OptServerIdentifier([]byte{10, 0, 0, 1})))
		if err != nil {
			t.Fatal(err)
		}
		p.OpCode, p.BootFileName = dhcpv4.OpcodeBootReply, "boot.efi"
		for _, o := range more {
			p.UpdateOption(o)
		}
		return p.ToBytes()
	}
	overload := dhcpv4.OptGeneric(dhcpv4.OptionOptionOverload, []byte{1})
	for _, c := range []struct {
		name string
		data []byte
		own  netip.Addr
		want bool
	}{
		{"offer", message(dhcpv4.MessageTypeOffer), own, true},
		{"lease", message(dhcpv4.MessageTypeAck), own, true},
		{"refusal", message(dhcpv4.MessageTypeNak), own, false},
		{"one that has a server", message(dhcpv4.MessageTypeAck, dhcpv4.OptNTPServers([]byte{10, 0, 0, 2})), own, false},
		{"options in other fields", message(dhcpv4.MessageTypeAck, overload), own, false},
		{"no address yet", message(dhcpv4.MessageTypeAck), netip.Addr{}, false},
		{"cut off", message(dhcpv4.MessageTypeAck)[:offOptions+2], own, false},
		{"short", []byte{2, 1, 6}, own, false},
	} {
		before := bytes.Clone(c.data)
		got := withTime(c.data, c.own)
		if !bytes.Equal(c.data, before) {
			t.Errorf("%s: the message itself was changed", c.name)
		}
		if !c.want {
			if !bytes.Equal(got, before) {
				t.Errorf("%s: got %x, want it unchanged", c.name, got)
			}
			continue
		}
		p, err := dhcpv4.FromBytes(got)
		if err != nil {
			t.Fatal(err)
		}
		if list := p.NTPServers(); len(list) != 1 || list[0].String() != own.String() {
			t.Errorf("%s: got %v", c.name, list)
		}
		p.DeleteOption(dhcpv4.OptionNTPServers)
		if !bytes.Equal(p.ToBytes(), before) {
			t.Errorf("%s: more than the time server changed", c.name)
		}
	}
}

func FuzzWithTime(f *testing.F) {
	f.Add(make([]byte, 300))
	f.Add(append(make([]byte, offOptions), 53, 1, 5, 255))
	f.Add(append(make([]byte, offOptions), 53, 1, 2, 42))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := withTime(data, netip.MustParseAddr("10.0.0.9")); len(got) != len(data) && len(got) != len(data)+6 {
			t.Errorf("%x: got %x", data, got)
		}
	})
}
