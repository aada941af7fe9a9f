package network

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// WaitLimit is how long what needs a network waits for it.
const WaitLimit = 30 * time.Second

// Radio returns the name of the first Wi-Fi interface, "" while there is none.
func (m *Manager) Radio() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, l := range m.links {
		if l.radio {
			names = append(names, l.name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// wake wakes waiting callers. mu is held.
func (m *Manager) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Changed is closed at the next change of anything that Status or NTPServers return.
func (m *Manager) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Wait returns when at least one interface has an address, and every configured one that is not
// optional. When ctx ends first, the error, of kind Network, has what is missing and why.
func (m *Manager) Wait(ctx context.Context) error {
	for {
		m.mu.Lock()
		missing := m.missing()
		changed := m.changed
		m.mu.Unlock()
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			fix := "check cable and switch, or give the node a static address under network.interfaces"
			if m.onlyRadios() {
				fix = "check name and passphrase under network.wifi and how far the access point is, or plug in a cable"
			}
			return fault.New(fault.Network, fix, "the network is not up: %s", strings.Join(missing, "; "))
		}
	}
}

// onlyRadios reports whether no interface but radios is run.
func (m *Manager) onlyRadios() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	wires := 0
	for _, s := range m.status {
		if !s.WiFi {
			wires++
		}
	}
	return len(m.status) > 0 && wires == 0
}

// missing returns what Wait still waits for. mu is held.
func (m *Manager) missing() []string {
	var list []string
	done := map[string]bool{}
	for _, s := range m.status {
		if s.up() {
			done[s.of] = true
		}
	}
	for _, c := range m.cfg.Network.Interfaces {
		if !c.Optional && !done[key(c)] && (c.DHCP || c.DHCP6 == "true" || len(c.Addresses) > 0) {
			list = append(list, m.why(c))
		}
	}
	if len(done) > 0 || len(list) > 0 {
		return list
	}
	for _, name := range slices.Sorted(maps.Keys(m.status)) {
		list = append(list, m.status[name].String())
	}
	if len(list) == 0 {
		list = append(list, "this board has no wired network interface, or its driver is missing")
	}
	return list
}

func (m *Manager) why(c config.Interface) string {
	for _, name := range slices.Sorted(maps.Keys(m.status)) {
		if s := m.status[name]; s.of == key(c) {
			return s.String()
		}
	}
	if isAuto(c) {
		return "no wired interface has a cable"
	}
	return fmt.Sprintf("there is no interface %s", key(c))
}
