package agent

import (
	"net/netip"
	"slices"

	"imgbuild/init/router/ndp"
)

// proxySysctls6 are the kernel settings of mode proxy-arp for IPv6. On the shelf this node is the
// router: what others advertise there is not heeded. The uplink's settings are the network's.
func proxySysctls6(shelf string) map[string]string { return natSysctls6(shelf) }

// withSix adds the addresses of IPv6 to the boards that have them.
func withSix(boards []Board, six []ndp.Board) []Board {
	for _, b := range six {
		mac, ip := b.MAC.String(), b.IP.String()
		if i := slices.IndexFunc(boards, func(o Board) bool { return o.MAC == mac }); i >= 0 {
			boards[i].IPv6 = append(boards[i].IPv6, ip)
		} else {
			boards = append(boards, Board{IP: ip, MAC: mac, Since: b.Since})
		}
	}
	return boards
}

// groupsOf are the groups to which questions for these addresses go, each once.
func groupsOf(boards []ndp.Board, group func(netip.Addr) netip.Addr) (list []netip.Addr) {
	for _, b := range boards {
		list = append(list, group(b.IP))
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}
