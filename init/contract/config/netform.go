package config

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// netForm brings an address, a prefix or a hardware address to its usual form, or says why it is none. Such values are
// checked when they are read: an interface whose only address is a slip then asks DHCP, and stays within reach.
func netForm(f Form, t string) (fixed, why string) {
	t = strings.TrimSpace(t)
	switch f {
	case Address:
		a, err := netip.ParseAddr(t)
		if err != nil {
			return "", fmt.Sprintf("%q is not an IP address", clip(t))
		}
		return a.String(), ""
	case Prefix:
		if strings.EqualFold(t, "default") {
			return "default", ""
		}
		p, err := netip.ParsePrefix(t)
		if err == nil {
			return p.String(), ""
		}
		if _, err := netip.ParseAddr(t); err == nil {
			return "", fmt.Sprintf("%q has no prefix length such as /24", clip(t))
		}
		return "", fmt.Sprintf("%q is not an address with a prefix length", clip(t))
	case MAC:
		m, err := net.ParseMAC(t)
		if err != nil || len(m) != 6 {
			return "", fmt.Sprintf("%q is not a hardware address", clip(t))
		}
		return m.String(), ""
	}
	return t, ""
}
