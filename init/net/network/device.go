package network

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"

	"imgbuild/init/contract/config"
)

// device is an interface that is made: a VLAN, a bridge or a bond. It is comparable, so that a change shows.
type device struct {
	kind, name, parent string
	id                 int
	mode               string
	ports              string // joined by spaces
}

// wantedDevices lists what the configuration wants to be made: bonds before the bridges that may have them as a port, both
// before the VLANs on top of them.
func wantedDevices(n config.Network) []device {
	var list []device
	for _, b := range n.Bonds {
		list = append(list, device{kind: "bond", name: b.Name, mode: b.Mode, ports: strings.Join(b.Ports, " ")})
	}
	for _, b := range n.Bridges {
		list = append(list, device{kind: "bridge", name: b.Name, ports: strings.Join(b.Ports, " ")})
	}
	for _, v := range n.VLANs {
		list = append(list, device{kind: "vlan", name: v.Name, parent: v.Parent, id: v.ID})
	}
	return slices.DeleteFunc(list, func(d device) bool { return d.name == "" })
}

// planDevices gives the names of the made devices that have to go, and those that have to be made, in order. A change of
// ports alone keeps a device; one whose kernel settings change is made anew.
func planDevices(made map[string]device, want []device) (remove []string, add []device) {
	shape := func(d device) device { d.ports = ""; return d }
	for name, d := range made {
		if !slices.ContainsFunc(want, func(w device) bool { return shape(w) == shape(d) }) {
			remove = append(remove, name)
		}
	}
	slices.Sort(remove)
	for _, w := range want {
		if d, have := made[w.name]; !have || shape(d) != shape(w) {
			add = append(add, w)
		}
	}
	return remove, add
}

// portOf gives the bridge or the bond that an interface belongs to, "" for none.
func portOf(n config.Network, name string) string {
	for _, b := range n.Bonds {
		if slices.Contains(b.Ports, name) {
			return b.Name
		}
	}
	for _, b := range n.Bridges {
		if slices.Contains(b.Ports, name) {
			return b.Name
		}
	}
	return ""
}

// devices makes what is wanted and can be made by now, gives it its ports, and removes what is not wanted any more. It is
// called again whenever an interface appears. applying is held, or nothing else runs yet.
func (m *Manager) devices() {
	m.mu.Lock()
	want := wantedDevices(m.cfg.Network)
	remove, add := planDevices(m.made, want)
	before := make(map[string]device, len(m.made))
	for k, v := range m.made {
		before[k] = v
	}
	m.mu.Unlock()
	if len(want) == 0 && len(remove) == 0 {
		return
	}
	for _, name := range remove {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkDel(l)
		}
		m.complain(name, err)
		m.mu.Lock()
		delete(m.made, name)
		m.mu.Unlock()
	}
	for _, d := range add {
		// Its ports first: a VLAN keeps the address that its bridge has at this moment.
		for _, under := range want {
			if d.kind == "vlan" && under.name == d.parent {
				m.complain(under.name+" ports", addPorts(under))
			}
		}
		err := makeDevice(d)
		m.complain(d.name, err)
		if l, lerr := netlink.LinkByName(d.name); err == nil && lerr == nil {
			m.mu.Lock()
			m.made[d.name], m.madeAs[d.name] = d, l.Attrs().Index
			m.mu.Unlock()
		}
	}
	for _, d := range want {
		if d.kind == "vlan" {
			continue
		}
		if old := before[d.name]; old.ports != d.ports {
			for _, p := range strings.Fields(old.ports) {
				if l, err := netlink.LinkByName(p); err == nil && !slices.Contains(strings.Fields(d.ports), p) {
					m.complain(p, netlink.LinkSetNoMaster(l))
				}
			}
		}
		m.complain(d.name+" ports", addPorts(d))
		m.mu.Lock()
		if _, have := m.made[d.name]; have {
			m.made[d.name] = d
		}
		m.mu.Unlock()
	}
}

// complain tells what is wrong with a device once, not at every new interface.
func (m *Manager) complain(name string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	m.mu.Lock()
	news := m.told[name] != text
	m.told[name] = text
	m.mu.Unlock()
	if news && text != "" {
		m.say("%s: %s", strings.TrimSuffix(name, " ports"), text)
	}
}

// makeDevice makes an interface. A bridge of that name is taken as it is; a VLAN or a bond may be another one, such as the bond0
// of mode 0 that comes with the kernel's module, and is made anew. A bridge or a bond has the address of its first port from
// the beginning: the DHCP server is to know it again after every boot.
func makeDevice(d device) error {
	var l netlink.Link
	var mac net.HardwareAddr
	for _, name := range strings.Fields(d.ports) {
		if p, err := netlink.LinkByName(name); err == nil {
			mac = p.Attrs().HardwareAddr
			break
		}
	}
	switch d.kind {
	case "vlan":
		parent, err := netlink.LinkByName(d.parent)
		if err != nil {
			return fmt.Errorf("there is no interface %s to carry it", d.parent)
		}
		l = &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: d.name, ParentIndex: parent.Attrs().Index}, VlanId: d.id}
	case "bridge":
		l = &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: d.name, HardwareAddr: mac}}
	default:
		b := netlink.NewLinkBond(netlink.LinkAttrs{Name: d.name, HardwareAddr: mac})
		b.Mode, b.Miimon = netlink.StringToBondMode(d.mode), 100
		l = b
	}
	err := netlink.LinkAdd(l)
	if errors.Is(err, syscall.EEXIST) {
		if old, lerr := netlink.LinkByName(d.name); lerr == nil && old.Type() == l.Type() {
			if d.kind == "bridge" {
				return nil
			}
			if err = netlink.LinkDel(old); err == nil {
				err = netlink.LinkAdd(l)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("it cannot be made: %w", err)
	}
	return nil
}

// addPorts gives a bridge or a bond the ports that exist. A port of a bond must be down at that moment.
func addPorts(d device) error {
	master, err := netlink.LinkByName(d.name)
	if err != nil {
		return nil // told already
	}
	var errs []error
	for _, name := range strings.Fields(d.ports) {
		p, err := netlink.LinkByName(name)
		if err != nil || p.Attrs().MasterIndex == master.Attrs().Index {
			continue
		}
		if d.kind == "bond" {
			if err := netlink.LinkSetDown(p); err != nil {
				errs = append(errs, fmt.Errorf("port %s: %w", name, err))
			}
		}
		err = netlink.LinkSetMaster(p, master)
		if err == nil {
			err = netlink.LinkSetUp(p)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("port %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
