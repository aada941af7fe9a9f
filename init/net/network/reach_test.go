package network

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/config"
)

// fakeKernel refuses what Linux refuses.
type fakeKernel struct {
	links   map[string]device // cards have no kind
	master  map[string]string
	broken  map[string]bool // kinds whose module is missing
	routers map[int]netip.Addr
}

func newFakeKernel(cards ...string) *fakeKernel {
	k := &fakeKernel{links: map[string]device{}, master: map[string]string{}, broken: map[string]bool{}}
	for _, c := range cards {
		k.links[c] = device{name: c}
	}
	return k
}

func (k *fakeKernel) kernel() kernel {
	return kernel{
		routers: func() map[int]netip.Addr { return k.routers },
		add: func(d device) (int, error) {
			_, there := k.links[d.name]
			_, parent := k.kernel().find(d.parent)
			switch {
			case k.broken[d.kind]:
				return 0, errors.New("operation not supported")
			case there:
				return 0, errors.New("file exists")
			case d.name == "" || len(d.name) > 15 || strings.ContainsAny(d.name, "/: \t\n"):
				return 0, errors.New("invalid argument")
			case d.kind == "vlan" && (!parent || d.id < 1 || d.id > 4094):
				return 0, errors.New("numerical result out of range")
			}
			k.links[d.name] = d
			return len(k.links), nil
		},
		remove: func(name string) error {
			delete(k.links, name)
			for p, owner := range k.master {
				if owner == name {
					delete(k.master, p)
				}
			}
			return nil
		},
		join: func(owner device, port string) error {
			switch d := k.links[port]; {
			case k.links[owner.name].kind == "":
				return errors.New("no such device")
			case strings.HasPrefix(port, "wlan"), d.kind == owner.kind && d.kind != "", d.kind == "vlan" && d.parent == owner.name:
				return errors.New("operation not supported")
			case k.master[port] != "" && k.master[port] != owner.name:
				return errors.New("device or resource busy")
			}
			k.master[port] = owner.name
			return nil
		},
		leave: func(port string) error { delete(k.master, port); return nil },
		find: func(ref string) (string, bool) {
			for name := range k.links {
				if name == ref || strings.HasPrefix(name, "eth") && len(name) == 4 && fmt.Sprintf("02:00:00:00:00:0%s", name[3:]) == ref {
					return name, true
				}
			}
			return "", false
		},
	}
}

type never struct{}

func (never) Stop() bool { return true }

// node is a Manager with cards, whose configuration has been taken up as far as devices go; late is
// called when nothing has led to an address for a while.
func node(t *testing.T, k *fakeKernel, cfg *config.Config) (m *Manager, late func()) {
	m = New(cfg, "", t.TempDir()+"/resolv.conf", func(string, ...any) {})
	m.kernel = k.kernel()
	m.after = func(time.Duration, func()) stopper { return never{} }
	show := func() {
		m.links = map[int]*link{}
		i := 0
		for name, d := range k.links {
			i++
			l := &link{name: name, index: i, mac: net.HardwareAddr{2, 0, 0, 0, 1, byte(i)}, m: m, kick: make(chan struct{}, 1)}
			if d.kind == "" {
				l.wired = !strings.HasPrefix(name, "wlan")
				l.radio = !l.wired
				l.perm = net.HardwareAddr{2, 0, 0, 0, 0, name[len(name)-1] - '0'}
				l.mac = l.perm
			}
			l.carrier.Store(true)
			m.links[i] = l
		}
	}
	for range 3 { // as one interface after the other appears
		show()
		m.devices()
		m.watchReach()
	}
	show()
	return m, func() { m.lost = m.lost || !m.reachable() && m.anyHardware() }
}

// ways lists the interfaces on which the node may get an address, with what it does there.
func ways(m *Manager) (out []string) {
	for _, l := range m.links {
		s := m.settings(l)
		if !s.leads() || !m.backed(l.name, 9) || l.radio && len(s.nets) == 0 {
			continue
		}
		what := strings.Join(s.Addresses, " ")
		if s.DHCP || s.claim {
			what += " dhcp"
		}
		if s.DHCP6 == "true" {
			what += " dhcp6"
		}
		out = append(out, l.name+": "+strings.TrimSpace(what))
	}
	slices.Sort(out)
	return out
}

// A device that is refused frees its ports, and interfaces that are not configured work as usual.
func TestRefusedFreesPorts(t *testing.T) {
	for _, c := range []struct {
		name, network, broken string
		want                  []string
	}{
		{"a good bond", "{bonds: [{name: bond0, ports: [eth0, eth1]}], interfaces: [{name: bond0, addresses: [10.0.0.2/24]}]}", "", []string{"bond0: 10.0.0.2/24"}},
		{"ports by MAC", "{bonds: [{name: bond0, ports: ['02:00:00:00:00:00', eth1]}], interfaces: [{name: bond0, addresses: [10.0.0.2/24]}]}", "", []string{"bond0: 10.0.0.2/24"}},
		{"a parent by MAC", "{vlans: [{name: v, parent: '02:00:00:00:00:01', id: 5}], interfaces: [{name: v, addresses: [10.0.0.2/24]}]}", "", []string{"eth0: dhcp", "eth1: dhcp", "v: 10.0.0.2/24"}},
		{"a long name", "{bonds: [{name: bond-over-both-cards, ports: [eth0, eth1]}]}", "", []string{"eth0: dhcp", "eth1: dhcp"}},
		{"a card's name", "{bridges: [{name: eth1, ports: [eth0]}]}", "", []string{"eth0: dhcp", "eth1: dhcp"}},
		{"its own name", "{bridges: [{name: br0, ports: [br0, eth0]}]}", "", []string{"br0: dhcp", "eth1: dhcp"}},
		{"a missing module", "{bonds: [{name: bond0, ports: [eth0, eth1]}], interfaces: [{name: eth0, dhcp: false}, {name: eth1, dhcp: false}, {name: bond0, addresses: [10.0.0.2/24]}]}", "bond", []string{"eth0: dhcp", "eth1: dhcp"}},
		{"a bridge over a bond that cannot be made", "{bonds: [{name: bond0, ports: [eth0, eth1]}], bridges: [{name: br0, ports: [bond0]}], interfaces: [{name: br0, addresses: [10.0.0.2/24]}]}", "bond", []string{"eth0: dhcp", "eth1: dhcp"}},
		{"a VLAN without its parent", "{vlans: [{name: v, parent: eth9, id: 5}], interfaces: [{name: eth0, dhcp: false}, {name: eth1, dhcp: false}, {name: v, addresses: [10.0.0.2/24]}]}", "", []string{"eth0: dhcp", "eth1: dhcp"}},
		{"a VLAN out of range", "{vlans: [{name: v, parent: eth0, id: 5000}], interfaces: [{name: eth0, dhcp: false}, {name: eth1, dhcp: false}, {name: v, addresses: [10.0.0.2/24]}]}", "", []string{"eth0: dhcp", "eth1: dhcp"}},
		{"a bridge with no port that is there", "{bridges: [{name: br0, ports: [eth7]}], interfaces: [{name: eth0, dhcp: false}, {name: eth1, dhcp: false}, {name: br0, dhcp: true}]}", "", []string{"eth0: dhcp", "eth1: dhcp"}},
		{"a radio as a port", "{bridges: [{name: br0, ports: [wlan0]}], wifi: [{name: home}]}", "", []string{"eth0: dhcp", "eth1: dhcp", "wlan0: dhcp"}},
		{"two owners of a port", "{bonds: [{name: bond0, ports: [eth0]}], bridges: [{name: br0, ports: [eth0, eth1]}]}", "", []string{"bond0: dhcp", "br0: dhcp"}},
		{"two owners of a port, by name and MAC", "{bonds: [{name: bond0, ports: [eth0]}], bridges: [{name: br0, ports: ['02:00:00:00:00:00', eth1]}]}", "", []string{"bond0: dhcp", "br0: dhcp"}},
		{"the same name twice", "{bonds: [{name: x, ports: [eth0]}], bridges: [{name: x, ports: [eth1]}]}", "", []string{"eth1: dhcp", "x: dhcp"}},
		{"no DHCP anywhere", "{interfaces: [{name: eth0, dhcp: false}, {name: eth1, dhcp: false}]}", "", []string{"eth0: dhcp", "eth1: dhcp"}},
		{"no DHCP on what is made of all", "{bonds: [{name: bond0, ports: [eth0, eth1]}], interfaces: [{name: bond0, dhcp: false}]}", "", []string{"bond0: dhcp"}},
		{"one has no DHCP and is meant", "{interfaces: [{name: eth0, dhcp: false}]}", "", []string{"eth1: dhcp"}},
		{"IPv6 alone", "{interfaces: [{name: eth0, dhcp: false, dhcp6: true}, {name: eth1, dhcp: false}]}", "", []string{"eth0: dhcp6"}},
	} {
		k := newFakeKernel("eth0", "eth1", "wlan0")
		k.broken[c.broken] = true
		m, late := node(t, k, parseNetwork(c.network))
		late()
		if got := ways(m); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		// Taken out again, every card asks DHCP as on a node without a configuration.
		m.cfg = &config.Config{}
		m.devices()
		m.lost = false
		if got := ways(m); !slices.Contains(got, "eth0: dhcp") || !slices.Contains(got, "eth1: dhcp") || len(k.master) != 0 {
			t.Errorf("%s, and taken out: %q %v", c.name, got, k.master)
		}
	}
}

func parseNetwork(text string) *config.Config {
	l, _ := config.Parse("f.yaml", []byte("network: "+text))
	c, _ := config.Merge(l)
	return c
}

// A mistake anywhere in a good network section never takes the node off the network: some interface
// on hardware asks DHCP or has an address.
func TestSlipsStayReachable(t *testing.T) {
	good := []string{
		"network:\n  interfaces:\n  - name: eth0\n    addresses: [192.168.1.10/24]\n    gateway: 192.168.1.1\n    dhcp: false\n  - name: eth1\n    dhcp: false\n",
		"network:\n  interfaces:\n  - name: bond0\n    dhcp: false\n    addresses: [192.168.1.10/24]\n    gateway: 192.168.1.1\n  bonds:\n  - name: bond0\n    ports: [eth0, eth1]\n    mode: active-backup\n",
		"network:\n  interfaces:\n  - {name: eth0, dhcp: false}\n  - {name: eth1, dhcp: false}\n  - {name: lan20, addresses: [10.20.0.2/24], gateway: 10.20.0.1}\n  vlans:\n  - {name: lan20, parent: eth0, id: 20}\n",
		"network:\n  interfaces:\n  - {name: br0.5, addresses: [10.5.0.2/24, 'fd00::2/64'], dhcp: no}\n  - {name: br0, dhcp: no}\n  bonds: [{name: bond0, ports: [eth0, eth1], mode: 802.3ad}]\n  bridges: [{name: br0, ports: [bond0]}]\n  vlans: [{parent: br0, id: 5}]\n",
		"network:\n  interfaces:\n  - {mac: '02:00:00:00:00:00', addresses: [10.0.0.2/24], dhcp: false}\n  - {name: eth1, dhcp: false}\n  wifi: [{name: home, passphrase: correct horse}]\n",
	}
	r := rand.New(rand.NewPCG(9, 20))
	letters := "abcdefghijklmnopqrstuvwxyz0123456789:.,/-_{}[]'\" \n#&*"
	for i := range 2000 {
		text := []byte(good[i%len(good)])
		for range 1 + r.IntN(3) {
			at := r.IntN(len(text))
			switch r.IntN(6) {
			case 0:
				text = slices.Delete(text, at, at+1)
			case 1:
				text = slices.Insert(text, at, letters[r.IntN(len(letters))])
			case 2:
				text[at] = letters[r.IntN(len(letters))]
			case 3:
				other := r.IntN(len(text))
				text[at], text[other] = text[other], text[at]
			case 4: // a word is lost
				end := at
				for end < len(text) && text[end] != ' ' && text[end] != '\n' {
					end++
				}
				text = slices.Delete(text, at, end)
			case 5: // a line comes twice
				lines := strings.SplitAfter(string(text), "\n")
				n := r.IntN(len(lines))
				text = []byte(strings.Join(slices.Insert(lines, n, lines[n]), ""))
			}
		}
		l, _ := config.Parse("f.yaml", text)
		c, _ := config.Merge(l)
		k := newFakeKernel("eth0", "eth1", "wlan0")
		k.broken[[]string{"", "bond", "bridge", "vlan"}[r.IntN(4)]] = true
		m, late := node(t, k, c)
		late()
		if got := ways(m); len(got) == 0 {
			t.Fatalf("the node is off the network with\n%s", text)
		}
	}
}
