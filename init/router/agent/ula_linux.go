package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/router/neighbour"
)

// loadULA returns the shelf's network of IPv6, which is made at the first start and kept: boards
// have their addresses by it. It is the zero Prefix on a node without IPv6.
func (a *Agent) loadULA() (netip.Prefix, error) {
	if !HasIPv6() {
		return netip.Prefix{}, nil
	}
	file := filepath.Join(a.State, "ula")
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return netip.Prefix{}, err
	}
	p, ok := parseULA(string(data))
	if err == nil && !ok {
		a.Say("%s is not a network of RFC 4193: another one is made", file)
	}
	if ok {
		return p, nil
	}
	p = newULA()
	return p, atomicfile.Write(file, []byte(p.String()+"\n"), 0o644)
}

// setULA sets the address of IPv6 on the shelf's card, by which dnsmasq advertises the network, and
// has the kernel forward. The firewall hides the network behind the uplink's address.
func (a *Agent) setULA() error {
	up, shelf := a.cards[neighbour.Uplink], a.cards[neighbour.Shelf]
	if !a.ula.IsValid() || !shelf.Present || !up.Present || up.Name == shelf.Name {
		return nil
	}
	if err := setSysctls(natSysctls6(shelf.Name)); err != nil {
		return err
	}
	l, err := netlink.LinkByIndex(a.index[neighbour.Shelf])
	if err != nil {
		return err
	}
	own := ownULA(a.ula)
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: own.Addr().AsSlice(), Mask: net.CIDRMask(own.Bits(), 128)}, Flags: unix.IFA_F_NODAD}
	if err := netlink.AddrReplace(l, addr); err != nil {
		return fmt.Errorf("the address %v on %s: %w", own, shelf.Name, err)
	}
	return nil
}
