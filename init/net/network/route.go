package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The black hole for a node without a way out, as k3s' own air-gap documentation has it: k3s does
// not start without a default route, and takes this one. 203.0.113.0/24 is TEST-NET-3 (RFC 5737):
// nobody is there.
const (
	dummyName   = "dummy0"
	dummyMetric = 1 << 20 // any real route wins
)

var (
	dummyAddr = netip.MustParsePrefix("203.0.113.254/31")
	dummyGate = netip.MustParseAddr("203.0.113.255")
)

// HasDefaultRoute reports whether the main table has a default route, for IPv4 or for IPv6.
func HasDefaultRoute() (bool, error) {
	routes, err := mainRoutes()
	return slices.ContainsFunc(routes, isDefault), err
}

// mainRoutes lists the main table of both families.
func mainRoutes() (all []netlink.Route, err error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			if family == netlink.FAMILY_V6 && (errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EOPNOTSUPP)) {
				continue // IPv6 is switched off
			}
			return nil, fmt.Errorf("listing routes: %w", err)
		}
		all = append(all, routes...)
	}
	return all, nil
}

// isDefault reports whether a route leads everywhere: not one that only means that there is no way.
func isDefault(r netlink.Route) bool {
	if r.Type != unix.RTN_UNSPEC && r.Type != unix.RTN_UNICAST {
		return false
	}
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0 && r.Dst.IP.IsUnspecified()
}

// DropDummy removes the route into nowhere once there is a real one, and reports whether there was
// something to remove. A service that was started with it has to start again: k3s takes the node's
// address from the interface of the default route, once.
func DropDummy() (dropped bool, err error) {
	d, err := netlink.LinkByName(dummyName)
	if gone(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	routes, err := mainRoutes()
	if err != nil {
		return false, err
	}
	if !overtaken(routes, d.Attrs().Index) {
		return false, nil
	}
	if err := netlink.LinkDel(d); err != nil {
		return false, fmt.Errorf("removing %s: %w", dummyName, err)
	}
	return true, nil
}

// overtaken reports whether our default route through the interface dummy is next to a real
// one.
func overtaken(routes []netlink.Route, dummy int) bool {
	ours, real := false, false
	for _, r := range routes {
		if !isDefault(r) {
			continue
		}
		switch {
		case r.LinkIndex == dummy:
			ours = ours || r.Priority == dummyMetric && r.Gw.Equal(dummyGate.AsSlice())
		case r.Flags&unix.RTNH_F_LINKDOWN == 0:
			real = true
		}
	}
	return ours && real
}

// EnsureDefaultRoute makes a default route into nowhere when there is none, and reports whether it
// had to.
func EnsureDefaultRoute() (made bool, err error) {
	if has, err := HasDefaultRoute(); err != nil || has {
		return false, err
	}
	err = netlink.LinkAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: dummyName}})
	if err != nil && !errors.Is(err, syscall.EEXIST) {
		return false, fmt.Errorf("adding %s: %w", dummyName, err)
	}
	d, err := netlink.LinkByName(dummyName)
	if err != nil {
		return false, err
	}
	if err := netlink.AddrReplace(d, &netlink.Addr{IPNet: ipNet(dummyAddr)}); err != nil {
		return false, fmt.Errorf("%s: address %s: %w", dummyName, dummyAddr, err)
	}
	if err := netlink.LinkSetUp(d); err != nil {
		return false, fmt.Errorf("%s: %w", dummyName, err)
	}
	err = netlink.RouteReplace(&netlink.Route{
		LinkIndex: d.Attrs().Index, Dst: ipNet(defaultRoute(dummyGate)), Gw: dummyGate.AsSlice(), Priority: dummyMetric,
	})
	if err != nil {
		return false, fmt.Errorf("%s: default route: %w", dummyName, err)
	}
	return true, nil
}
