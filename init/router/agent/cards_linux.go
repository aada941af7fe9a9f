package agent

import (
	"bytes"
	"cmp"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"imgbuild/init/router/frame"
)

// The routes to boards have a protocol number of their own, by which they are known again, and come
// before those of the uplink's network.
const (
	routeProtocol = 77
	routeMetric   = 50
)

// find returns the interface of a name or of a hardware address; nil while there is none.
func find(ref string) (netlink.Link, error) {
	mac, err := net.ParseMAC(ref)
	if err != nil {
		l, err := netlink.LinkByName(ref)
		var none netlink.LinkNotFoundError
		if errors.As(err, &none) {
			return nil, nil
		}
		return l, err
	}
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	for _, l := range links {
		a := l.Attrs()
		own := a.HardwareAddr
		if len(a.PermHWAddr) > 0 {
			own = a.PermHWAddr
		}
		if bytes.Equal(own, mac) && l.Type() != "bridge" && l.Type() != "vlan" {
			return l, nil
		}
	}
	return nil, nil
}

// card reads the state of one side.
func card(ref string) (nic, int, error) {
	l, err := find(ref)
	if l == nil || err != nil {
		return nic{Name: ref}, 0, err
	}
	a := l.Attrs()
	c := nic{Name: a.Name, MAC: frame.MACOf(a.HardwareAddr), Present: true, Link: a.RawFlags&unix.IFF_LOWER_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0}
	addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return c, a.Index, err
	}
	for _, one := range addrs {
		ip, ok := netip.AddrFromSlice(one.IP.To4())
		ones, _ := one.Mask.Size()
		if ok && !ip.IsLinkLocalUnicast() && ones < 32 && one.Flags&unix.IFA_F_SECONDARY == 0 {
			c.Address = netip.PrefixFrom(ip, ones)
			break
		}
	}
	return c, a.Index, nil
}

// gateway returns the next hop of the default route of an interface.
func gateway(index int) netip.Addr {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{LinkIndex: index, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return netip.Addr{}
	}
	slices.SortStableFunc(routes, func(a, b netlink.Route) int { return cmp.Compare(a.Priority, b.Priority) })
	for _, r := range routes {
		bits := 0
		if r.Dst != nil {
			bits, _ = r.Dst.Mask.Size()
		}
		if gw, ok := netip.AddrFromSlice(r.Gw.To4()); ok && bits == 0 {
			return gw
		}
	}
	return netip.Addr{}
}

// addresses returns the addresses of this node.
func addresses() (list []netip.Addr, err error) {
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		err = nil
	}
	for _, one := range all {
		if ip, ok := netip.AddrFromSlice(one.IP); ok {
			list = append(list, ip.Unmap())
		}
	}
	return list, err
}

// hostRoute is the route to a board. own is the address under which the node sends to it, that of
// its uplink: the shelf has none, and the kernel would take the first one of any card.
func hostRoute(index int, ip, own netip.Addr) *netlink.Route {
	return &netlink.Route{
		LinkIndex: index, Src: own.AsSlice(), Dst: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(ip.BitLen(), ip.BitLen())}, Scope: netlink.SCOPE_LINK,
		Priority: routeMetric, Protocol: routeProtocol,
	}
}

// syncRoutes makes the host routes of IPv4 or IPv6 those of the boards, and no others. own is as
// for hostRoute; it is not valid while the kernel is to choose.
func syncRoutes(index, family int, boards []netip.Addr, own netip.Addr) error {
	routes, err := netlink.RouteListFiltered(family, &netlink.Route{Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return err
	}
	want := map[netip.Addr]bool{}
	for _, b := range boards {
		want[b] = true
	}
	var errs []error
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		ip, _ := netip.AddrFromSlice(r.Dst.IP)
		ip = ip.Unmap()
		if r.LinkIndex == index && want[ip] && r.Src.Equal(own.AsSlice()) {
			delete(want, ip)
			continue
		}
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, err)
		}
	}
	if index == 0 {
		return errors.Join(errs...)
	}
	for ip := range want {
		errs = append(errs, addRoute(index, ip, own))
	}
	return errors.Join(errs...)
}

func addRoute(index int, ip, own netip.Addr) error {
	err := netlink.RouteReplace(hostRoute(index, ip, own))
	if own.IsValid() && errors.Is(err, syscall.EINVAL) { // the uplink has just lost it
		err = netlink.RouteReplace(hostRoute(index, ip, netip.Addr{}))
	}
	if errors.Is(err, syscall.ENETDOWN) {
		return nil // comes with the link
	}
	return err
}

func delRoute(index int, ip netip.Addr) error {
	err := netlink.RouteDel(hostRoute(index, ip, netip.Addr{}))
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// setSysctls writes kernel settings below /proc/sys/net; one that is missing is reported.
func setSysctls(list map[string]string) error {
	var errs []error
	for name, value := range list {
		file := filepath.Join("/proc/sys/net", name)
		if old, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(old)) == value {
			continue
		}
		if err := os.WriteFile(file, []byte(value), 0); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// proxySysctls are the settings of mode proxy-arp. rp_filter: on an interface without an address 2
// is as strict as 1, and the kernel would drop what boards send that it has no route to yet.
// proxy_delay: every first contact would wait up to 0.8 s.
func proxySysctls(uplink, shelf string) map[string]string {
	list := map[string]string{"ipv4/ip_forward": "1", "ipv4/conf/all/rp_filter": "0"}
	for _, name := range []string{uplink, shelf} {
		list["ipv4/conf/"+name+"/proxy_arp"] = "1"
		list["ipv4/conf/"+name+"/rp_filter"] = "0"
		list["ipv4/conf/"+name+"/send_redirects"] = "0"
		list["ipv4/neigh/"+name+"/proxy_delay"] = "0"
	}
	return list
}

// keepAddress has the address stay reachable on lo while the uplink does not have it.
func keepAddress(ip netip.Addr, keep bool) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	a := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(32, 32)}, Label: ""}
	if keep {
		return netlink.AddrReplace(lo, a)
	}
	if err := netlink.AddrDel(lo, a); err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
		return err
	}
	return nil
}
