package agent

import (
	"crypto/rand"
	"net/netip"
	"os"
	"strings"
)

// HasIPv6 reports whether the kernel has IPv6: ipv6.disable=1 on its command line takes it away.
func HasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

// newULA returns a network of IPv6 of the shelf's own: a random prefix as RFC 4193 has it, of which
// the first /64 is used.
func newULA() netip.Prefix {
	var a [16]byte
	a[0] = 0xfd
	_, _ = rand.Read(a[1:6]) // does not fail
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// parseULA reads what newULA made.
func parseULA(text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(strings.TrimSpace(text))
	if err != nil || p.Bits() != 64 || !p.Addr().Is6() || p.Addr().As16()[0] != 0xfd || p != p.Masked() {
		return netip.Prefix{}, false
	}
	return p, true
}

// ownULA is the router's address in the network.
func ownULA(p netip.Prefix) netip.Prefix {
	a := p.Addr().As16()
	a[15] = 1
	return netip.PrefixFrom(netip.AddrFrom16(a), p.Bits())
}

// natSysctls6 are the kernel settings of mode nat for IPv6. On the shelf this node is the router:
// what others advertise there is not heeded. The uplink's settings are the network's.
func natSysctls6(shelf string) map[string]string {
	return map[string]string{"ipv6/conf/all/forwarding": "1", "ipv6/conf/" + shelf + "/accept_ra": "0"}
}
