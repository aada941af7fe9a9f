package network

import (
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"

	"imgbuild/init/contract/config"
)

// settings of an interface: from the configuration, or DHCP.
type settings struct {
	config.Interface
	metric int
	claim  bool          // to wait for a link, and then perhaps be the one called auto
	auto   bool          // it has the settings called auto
	port   string        // of this bridge or bond: switched on, and nothing else
	nets   []config.WiFi // of a radio: in another network, another lease
	mac    string        // the six bytes of the interface's own address, which may change
}

// The lowest metric wins: what is configured, in its order, before what is not, cables before
// radios; all after what is set by hand.
const (
	firstMetric   = 100
	defaultMetric = 1000
	radioMetric   = 3000
)

// settings returns the configuration of an interface, nil for one that is none of our
// business: a pod's end of a cable, a tunnel, a radio without a Wi-Fi network. mu is held.
func (m *Manager) settings(l *link) *settings {
	s := m.settingsOf(l)
	if _, ours := m.made[l.name]; m.lost && (l.wired || ours) && !s.leads() && (s == nil || s.port == "") {
		p := plain(l.name, l.index)
		s = &p
	}
	if s != nil && s.auto {
		m.auto = l.name
	}
	if s != nil {
		s.mac = string(l.mac)
	}
	return s
}

func (m *Manager) settingsOf(l *link) *settings {
	n := m.cfg.Network
	if owner := m.ownerOf(l.name); owner != "" {
		return &settings{Interface: config.Interface{Name: l.name, Optional: true}, port: owner}
	}
	var nets []config.WiFi
	if l.radio {
		nets = m.cfg.AllWiFi()
	}
	mac := ""
	if l.wired || l.radio { // a bridge has the address of one of its ports
		mac = l.mac.String()
		if len(l.perm) > 0 {
			mac = l.perm.String()
		}
	}
	if s, ok := find(n.Interfaces, l.name, mac); ok {
		s.nets = nets
		return &s
	}
	_, ours := m.made[l.name]
	if !l.wired && !ours && len(nets) == 0 {
		return nil
	}
	if i := slices.IndexFunc(n.Interfaces, isAuto); i >= 0 && l.wired {
		switch {
		case m.auto == l.name, m.auto == "" && l.carrier.Load():
			c := n.Interfaces[i]
			return &settings{Interface: c, metric: metricOf(c, i), auto: true}
		case m.auto == "":
			return &settings{Interface: config.Interface{Name: l.name, Optional: true}, claim: true}
		}
	}
	s := plain(l.name, l.index)
	if l.radio {
		s.metric, s.nets = radioMetric+l.index, nets
	}
	return &s
}

// claim assigns the settings called auto to an interface with a link if none has them yet.
func (m *Manager) claim(l *link) settings {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := plain(l.name, l.index)
	i := slices.IndexFunc(m.cfg.Network.Interfaces, isAuto)
	if i >= 0 && (m.auto == "" || m.auto == l.name) {
		m.auto = l.name
		c := m.cfg.Network.Interfaces[i]
		s = settings{Interface: c, metric: metricOf(c, i), auto: true}
	}
	s.mac = string(l.mac)
	if l.set0 != nil && l.set0.claim {
		l.set0 = &s
	}
	return s
}

func isAuto(c config.Interface) bool { return c.MAC == "" && (c.Name == "auto" || c.Name == "") }

// find returns the settings that name an interface by MAC or, where they have none, by name. ok is
// false when none do.
func find(list []config.Interface, name, mac string) (s settings, ok bool) {
	for i, c := range list {
		if c.MAC != "" && c.MAC == mac || c.MAC == "" && c.Name == name && name != "auto" {
			return settings{Interface: c, metric: metricOf(c, i)}, true
		}
	}
	return settings{}, false
}

func metricOf(c config.Interface, i int) int {
	if c.Metric != 0 {
		return c.Metric
	}
	return firstMetric + i
}

// plain is an interface that the configuration does not mention.
func plain(name string, index int) settings {
	return settings{Interface: config.Interface{Name: name, DHCP: true, Optional: true}, metric: defaultMetric + index}
}

// key names settings in a list of what a boot waits for.
func key(c config.Interface) string {
	switch {
	case c.MAC != "":
		return c.MAC
	case c.Name != "":
		return c.Name
	}
	return "auto"
}

// wired reports whether an interface is a piece of hardware with an Ethernet plug: not loopback,
// bridge, veth of a pod, or Wi-Fi.
func wired(a *netlink.LinkAttrs) bool {
	if a.Flags&net.FlagLoopback != 0 || a.EncapType != "ether" || len(a.HardwareAddr) != 6 || isRadio(a.Name) {
		return false
	}
	_, err := os.Stat(filepath.Join("/sys/class/net", a.Name, "device"))
	return err == nil
}

// isRadio reports whether an interface is one of a Wi-Fi radio.
func isRadio(name string) bool {
	for _, sign := range []string{"wireless", "phy80211"} {
		if _, err := os.Stat(filepath.Join("/sys/class/net", name, sign)); err == nil {
			return true
		}
	}
	return false
}
