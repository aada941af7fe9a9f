package relay

import (
	"bytes"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// offOptions is where the options of a message begin, behind the magic cookie.
const offOptions = 240

// withTime names the router as the time server in an offer or a lease that names none: boards then
// have one time while the uplink is away too. Everything else in the message stays as it is.
func withTime(data []byte, own netip.Addr) []byte {
	if !own.Is4() || len(data) < offOptions {
		return data
	}
	lease := false
	for at := offOptions; at < len(data); {
		code := data[at]
		if code == dhcpv4.OptionPad.Code() {
			at++
			continue
		}
		if code == dhcpv4.OptionEnd.Code() {
			if !lease {
				return data
			}
			option := append([]byte{dhcpv4.OptionNTPServers.Code(), 4}, own.AsSlice()...)
			return bytes.Join([][]byte{data[:at], option, data[at:]}, nil)
		}
		if at+1 >= len(data) || at+2+int(data[at+1]) > len(data) {
			return data
		}
		value := data[at+2 : at+2+int(data[at+1])]
		switch code {
		case dhcpv4.OptionNTPServers.Code(), dhcpv4.OptionOptionOverload.Code(): // there may be one in the other fields
			return data
		case dhcpv4.OptionDHCPMessageType.Code():
			lease = len(value) == 1 && (value[0] == byte(dhcpv4.MessageTypeOffer) || value[0] == byte(dhcpv4.MessageTypeAck))
		}
		at += 2 + len(value)
	}
	return data
}
