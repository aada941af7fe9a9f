package network

import (
	"maps"
	"slices"
	"strings"

	"imgbuild/init/contract/config"
)

// device is an interface that is made: a VLAN, a bridge or a bond. It is comparable, so that a
// change shows.
type device struct {
	kind, name, parent string
	id                 int
	mode               string
	ports              string // names or hardware addresses, joined by spaces
}

// wantedDevices lists what the configuration wants to be made: bonds before the bridges that may
// have them as a port, both before the VLANs on top of them. Of two of one name the first counts,
// and a port belongs to the first that names it.
func wantedDevices(n config.Network) []device {
	var list []device
	taken := map[string]bool{}
	ports := func(own string, names []string) string {
		var out []string
		for _, p := range names {
			if p != own && !taken[p] && p != "" && !strings.ContainsAny(p, " \t\n") {
				taken[p] = true
				out = append(out, p)
			}
		}
		return strings.Join(out, " ")
	}
	seen := map[string]bool{"": true, "lo": true}
	add := func(d device, names []string) {
		if !seen[d.name] {
			seen[d.name] = true
			d.ports = ports(d.name, names)
			list = append(list, d)
		}
	}
	for _, b := range n.Bonds {
		add(device{kind: "bond", name: b.Name, mode: b.Mode}, b.Ports)
	}
	for _, b := range n.Bridges {
		add(device{kind: "bridge", name: b.Name}, b.Ports)
	}
	for _, v := range n.VLANs {
		add(device{kind: "vlan", name: v.Name, parent: v.Parent, id: v.ID}, nil)
	}
	return list
}

// planDevices returns the names of the made devices that have to go, and those that have to be
// made, in order. A change of ports alone keeps a device; one whose kernel settings change is made
// again.
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

// ownerOf returns the bridge or the bond that has an interface as its port, "" for none. mu is
// held.
func (m *Manager) ownerOf(name string) string { return m.ports[name] }

// devices makes what is wanted and can be made by now, gives it its ports, and removes what is not
// wanted any more. It is called again whenever an interface appears. Only what a device that exists
// really has as its port is none of an interface's own: a device that cannot be made, and a port
// that is refused, leave the interface as free as one that nobody mentions. applying is held, or
// nothing else runs yet. changed reports that a port came or went.
func (m *Manager) devices() (changed bool) {
	m.mu.Lock()
	want := wantedDevices(m.cfg.Network)
	remove, add := planDevices(m.made, want)
	before, was := maps.Clone(m.made), maps.Clone(m.ports)
	m.mu.Unlock()
	if len(want) == 0 && len(remove) == 0 {
		return false
	}
	ports := map[string]string{}
	for _, name := range remove {
		m.complain(name, m.kernel.remove(name))
		m.mu.Lock()
		delete(m.made, name)
		m.mu.Unlock()
	}
	for _, d := range add {
		// Its ports first: a VLAN keeps the address that its bridge has at this moment.
		for _, under := range want {
			if d.kind == "vlan" && under.name == d.parent {
				m.addPorts(under, ports)
			}
		}
		index, err := m.kernel.add(d)
		m.complain(d.name, err)
		if err == nil {
			m.mu.Lock()
			m.made[d.name], m.madeAs[d.name] = d, index
			m.mu.Unlock()
		}
	}
	for _, d := range want {
		if d.kind == "vlan" {
			continue
		}
		for _, ref := range strings.Fields(before[d.name].ports) {
			if p, ok := m.kernel.find(ref); ok && !slices.Contains(strings.Fields(d.ports), ref) {
				m.complain(p, m.kernel.leave(p))
			}
		}
		m.addPorts(d, ports)
		m.mu.Lock()
		if _, have := m.made[d.name]; have {
			m.made[d.name] = d
		}
		m.mu.Unlock()
	}
	m.mu.Lock()
	m.ports = ports
	m.mu.Unlock()
	return !maps.Equal(was, ports)
}

// addPorts adds the ports that exist to a bridge or a bond that is made, and notes those that it
// has.
func (m *Manager) addPorts(d device, ports map[string]string) {
	m.mu.Lock()
	_, have := m.made[d.name]
	m.mu.Unlock()
	for _, ref := range strings.Fields(d.ports) {
		name, ok := m.kernel.find(ref)
		if !have || !ok || ports[name] != "" {
			continue
		}
		err := m.kernel.join(d, name)
		if err == nil {
			ports[name] = d.name
		}
		m.complain(d.name+" port "+name, err)
	}
}

// complain reports what is wrong with a device once, not at every new interface.
func (m *Manager) complain(name string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	m.mu.Lock()
	news := m.reported[name] != text
	m.reported[name] = text
	m.mu.Unlock()
	if news && text != "" {
		m.say("%s: %s", name, text)
	}
}
