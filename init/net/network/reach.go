package network

import "time"

// lostAfter is how long nothing may lead to an address before the cards ask DHCP against the
// configuration: an adapter or a radio may come that late.
const lostAfter = 15 * time.Second

// leads reports whether settings lead to an address.
func (s *settings) leads() bool {
	return s != nil && s.port == "" && (s.claim || s.DHCP || s.DHCP6 == "true" || len(fromConfig(s.Interface, 0).Addresses) > 0)
}

// reachable reports whether the configuration leads to an address on an interface that frames can
// get to. A bond without ports has no cable, and a VLAN on it neither. mu is held.
func (m *Manager) reachable() bool {
	for _, l := range m.links {
		if s := m.settingsOf(l); s.leads() && m.backed(l.name, len(m.links)) && (!l.radio || len(s.nets) > 0) {
			return true
		}
	}
	return false
}

// backed reports whether there is hardware under an interface. mu is held.
func (m *Manager) backed(name string, depth int) bool {
	d, ours := m.made[name]
	if !ours {
		for _, l := range m.links {
			if l.name == name {
				return l.wired || l.radio
			}
		}
		return false
	}
	if depth <= 0 {
		return false
	}
	if d.kind == "vlan" {
		parent, ok := m.kernel.find(d.parent)
		return ok && m.backed(parent, depth-1)
	}
	for port, owner := range m.ports {
		if owner == name && m.backed(port, depth-1) {
			return true
		}
	}
	return false
}

// watchReach notes whether anything leads to an address, and reports whether that changes the
// settings of interfaces. When nothing does, a while later the cards, and what is made of them, ask
// DHCP: a mistake in the configuration must not put a node out of reach for good. applying is held.
func (m *Manager) watchReach() (changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reachable() || !m.anyHardware() {
		changed, m.lost = m.lost, false
		if m.losing != nil {
			m.losing.Stop()
			m.losing = nil
		}
		return changed
	}
	if m.lost || m.losing != nil {
		return false
	}
	m.losing = m.after(lostAfter, func() {
		m.applying.Lock()
		defer m.applying.Unlock()
		m.mu.Lock()
		m.losing = nil
		m.lost = !m.reachable()
		lost := m.lost
		m.mu.Unlock()
		if lost {
			m.say("network: nothing in the configuration leads to an address; the cards ask DHCP until it is corrected")
			m.arrangeAll()
		}
	})
	return false
}

// anyHardware reports whether there is a card. mu is held.
func (m *Manager) anyHardware() bool {
	for _, l := range m.links {
		if l.wired {
			return true
		}
	}
	return false
}
