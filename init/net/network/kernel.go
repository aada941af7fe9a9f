package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
)

// kernel is what makes and joins interfaces; the tests have one of their own.
type kernel struct {
	add    func(d device) (index int, err error)   // makes an interface; an equal one that is there will do
	remove func(name string) error                 // removes one; one that is gone is not an error
	join   func(owner device, port string) error   // makes an interface that exists a port; a port already is not an error
	leave  func(port string) error                 // frees a port
	find   func(ref string) (name string, ok bool) // the interface of a name or a hardware address

	routers func() map[int]netip.Addr // that advertised themselves, by the interface's number
}

// real is the kernel that runs.
var real = kernel{add: makeDevice, remove: removeDevice, join: joinPort, leave: leavePort, find: findLink, routers: func() map[int]netip.Addr {
	routes, err := mainRoutes()
	if err != nil {
		return nil
	}
	return advertisedBy(routes)
}}

// findLink finds an interface by its name, or one of hardware by the address it was made with.
func findLink(ref string) (string, bool) {
	mac, err := net.ParseMAC(ref)
	if err != nil {
		_, err := netlink.LinkByName(ref)
		return ref, err == nil
	}
	links, err := netlink.LinkList()
	if err != nil {
		return "", false
	}
	for _, l := range links {
		if a := l.Attrs(); l.Type() == "device" && slices.Equal(permanent(a), mac) {
			return a.Name, true
		}
	}
	return "", false
}

// permanent is the hardware address that a card came with: ports of a bond all have the bond's.
func permanent(a *netlink.LinkAttrs) net.HardwareAddr {
	if len(a.PermHWAddr) > 0 {
		return a.PermHWAddr
	}
	return a.HardwareAddr
}

func removeDevice(name string) error {
	l, err := netlink.LinkByName(name)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return netlink.LinkDel(l)
}

// makeDevice makes an interface. A bridge of that name is taken as it is; a VLAN or a bond may be
// another one, such as the bond0 of mode 0 that comes with the kernel's module, and is made again.
// A bridge or a bond has the address of its first port from the beginning: the DHCP server is to
// know it again after every boot.
func makeDevice(d device) (index int, err error) {
	var l netlink.Link
	var mac net.HardwareAddr
	for _, ref := range strings.Fields(d.ports) {
		if name, ok := findLink(ref); ok {
			if p, err := netlink.LinkByName(name); err == nil {
				mac = permanent(p.Attrs())
				break
			}
		}
	}
	switch d.kind {
	case "vlan":
		name, ok := findLink(d.parent)
		if !ok {
			return 0, fmt.Errorf("there is no interface %s to carry it", d.parent)
		}
		parent, err := netlink.LinkByName(name)
		if err != nil {
			return 0, err
		}
		l = &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: d.name, ParentIndex: parent.Attrs().Index}, VlanId: d.id}
	case "bridge":
		l = &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: d.name, HardwareAddr: mac}}
	default:
		b := netlink.NewLinkBond(netlink.LinkAttrs{Name: d.name, HardwareAddr: mac})
		b.Mode, b.Miimon = netlink.StringToBondMode(d.mode), 100
		l = b
	}
	err = netlink.LinkAdd(l)
	if errors.Is(err, syscall.EEXIST) {
		if old, lerr := netlink.LinkByName(d.name); lerr == nil && old.Type() == l.Type() {
			if d.kind == "bridge" {
				return old.Attrs().Index, nil
			}
			if err = netlink.LinkDel(old); err == nil {
				err = netlink.LinkAdd(l)
			}
		}
	}
	if err != nil {
		return 0, fmt.Errorf("it cannot be made: %w", err)
	}
	made, err := netlink.LinkByName(d.name)
	if err != nil {
		return 0, err
	}
	return made.Attrs().Index, nil
}

// joinPort adds a port to a bridge or a bond. A port of a bond must be down at that moment; one
// that is refused is up again.
func joinPort(owner device, port string) error {
	master, err := netlink.LinkByName(owner.name)
	if err != nil {
		return err
	}
	p, err := netlink.LinkByName(port)
	if err != nil || p.Attrs().MasterIndex == master.Attrs().Index {
		return err
	}
	if owner.kind == "bond" {
		if err := netlink.LinkSetDown(p); err != nil {
			return err
		}
	}
	err = netlink.LinkSetMaster(p, master)
	return errors.Join(err, netlink.LinkSetUp(p))
}

func leavePort(port string) error {
	l, err := netlink.LinkByName(port)
	if gone(err) {
		return nil
	}
	if err != nil || l.Attrs().MasterIndex == 0 {
		return err
	}
	return netlink.LinkSetNoMaster(l)
}
