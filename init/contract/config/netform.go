package config

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// netForm brings an address, a prefix or a hardware address to its usual form, or returns why it is
// none. Such values are checked when they are read: an interface whose only address is a slip then
// asks DHCP, and stays within reach.
func netForm(f Form, t string) (fixed, why string) {
	t = strings.TrimSpace(t)
	switch f {
	case Address:
		a, err := netip.ParseAddr(t)
		if err != nil {
			return "", fmt.Sprintf("%s is not an IP address", quote(t))
		}
		return a.String(), ""
	case Prefix, Own:
		if f == Prefix && strings.EqualFold(t, "default") {
			return "default", ""
		}
		p, err := netip.ParsePrefix(t)
		if err == nil && f == Own {
			return p.String(), notOwn(p)
		}
		if err == nil {
			return p.String(), ""
		}
		if _, err := netip.ParseAddr(t); err == nil {
			return "", fmt.Sprintf("%s has no prefix length such as /24", quote(t))
		}
		return "", fmt.Sprintf("%s is not an address with a prefix length", quote(t))
	case Country:
		if up := strings.ToUpper(t); country.MatchString(up) {
			return up, ""
		}
		return "", fmt.Sprintf("%s is not a country's two letters", quote(t))
	case MAC:
		m, err := net.ParseMAC(t)
		if err != nil || len(m) != 6 {
			return "", fmt.Sprintf("%s is not a hardware address", quote(t))
		}
		return m.String(), ""
	}
	return t, ""
}

// notOwn returns why a machine cannot have this address, "" when it can. A node with such an only
// address would be out of reach.
func notOwn(p netip.Prefix) string {
	a := p.Addr()
	switch {
	case a.IsUnspecified(), a.IsMulticast(), a.Zone() != "", a.Is4() && a.As4()[0] >= 240:
		return fmt.Sprintf("%s is not an address of a machine", a)
	case !a.Is4() || p.Bits() > 30:
		return ""
	case p.Masked().Addr() == a:
		return fmt.Sprintf("%s is the network itself, not an address in it", p)
	}
	if last := a.As4(); allOnes(last, p.Bits()) {
		return fmt.Sprintf("%s is the broadcast address of its network", p)
	}
	return ""
}

// allOnes reports whether every bit after the prefix is set.
func allOnes(a [4]byte, bits int) bool {
	for i := bits; i < 32; i++ {
		if a[i/8]&(0x80>>(i%8)) == 0 {
			return false
		}
	}
	return true
}
