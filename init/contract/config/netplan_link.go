package config

import (
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

// foreignNet gathers the interfaces of a foreign network file, which name each other.
type foreignNet struct {
	t     *translator
	links []*foreignLink
	byID  map[string]*foreignLink
}

// foreignLink is one of them.
type foreignLink struct {
	id, kind string // kind: as netplan calls the section
	at       *yaml.Node
	matched  bool       // there is a match:, and the id is a word for it only
	name     *yaml.Node // of match:, perhaps with wildcards
	mac      *yaml.Node
	auto     bool // the first wired card with a link
	foreign  bool // of these one that is meant for names that no card has here
	item     *yaml.Node
	routes   []*yaml.Node

	dhcp4, dhcp6 *yaml.Node // nil: not mentioned, which means no
	static       bool       // it has addresses
	ports        []*yaml.Node
	mode         *yaml.Node // of a bond
	parent, vlan *yaml.Node
	gone         bool // it cannot be made, and is left out
}

// set sets a key of the item once.
func (l *foreignLink) set(name string, at, v *yaml.Node) {
	if child(l.item, name) == nil {
		l.item.Content = append(l.item.Content, word(name, at), v)
	}
}

// refuses sets a key of ours to false where p is false.
func (l *foreignLink) refuses(name string, p pair) {
	if v, ok := truth(p.value); ok && !v {
		l.set(name, p.key, word("true", p.value))
	}
}

// add takes a device in unless one of its name is there.
func (b *foreignNet) add(l *foreignLink, path string) bool {
	if b.byID[l.id] != nil {
		b.t.report(Error, l.at, path, "give one of them another name", "there are two devices of this name; this one is left out")
		return false
	}
	b.byID[l.id] = l
	b.links = append(b.links, l)
	return true
}

// asks reports whether the configuration gives an interface a way to an address.
func (l *foreignLink) asks() bool {
	return l.static || l.dhcp4 != nil && isTrue(l.dhcp4) || l.dhcp6 != nil && isTrue(l.dhcp6)
}

// route reads a static route; the default one becomes the gateway where that is all it has.
func (b *foreignNet) route(l *foreignLink, n *yaml.Node, path, scope string) {
	out := &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}
	var to, via, metric *yaml.Node
	for _, q := range b.t.pairs(n, path) {
		here := join(path, q.key.Value)
		if !b.t.judge(q, here, scope) {
			continue
		}
		switch fold(q.key.Value) {
		case "to":
			to = q.value
		case "via":
			via = q.value
		case "metric":
			metric = q.value
		case "type":
			if q.value.Value != "unicast" {
				b.t.report(Warning, q.value, here, "remove the route", "only routes of the type unicast are made; this one is left out")
				return
			}
		case "table":
			if v := q.value.Value; v != "254" && v != "main" {
				b.t.report(Warning, q.value, here, "remove the route", "a node has the main table alone; this route is left out")
				return
			}
		}
	}
	b.addRoute(l, out, to, via, metric)
}

// addRoute adds a route of its parts, each of which may be nil.
func (b *foreignNet) addRoute(l *foreignLink, out, to, via, metric *yaml.Node) {
	if to == nil && via == nil {
		return
	}
	if to != nil && via != nil && metric == nil && contains([]string{"default", "0.0.0.0/0", "::/0", "0.0.0.0", "::"}, to.Value) {
		key := "gateway"
		if a, err := netip.ParseAddr(via.Value); err == nil && !a.Is4() {
			key = "gateway6"
		}
		if child(l.item, key) == nil {
			l.set(key, to, via)
			return
		}
	}
	if to != nil {
		if a, err := netip.ParseAddr(to.Value); err == nil { // a machine
			to = word(netip.PrefixFrom(a, a.BitLen()).String(), to)
			if a.IsUnspecified() {
				to = word("default", to)
			}
		}
		out.Content = append(out.Content, word("to", to), to)
	}
	if via != nil {
		out.Content = append(out.Content, word("via", via), via)
	}
	if metric != nil {
		out.Content = append(out.Content, word("metric", metric), metric)
	}
	l.routes = append(l.routes, out)
}

var (
	predictable = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(en|wl)([dopsvX]\d|x[0-9a-f]{12}$)`) })
	macName     = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:en|wl)x([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$`)
	})
	kernelWlan = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^wlan\d+$`) })
)

// find settles by what a physical interface is found on a node, where cards have the kernel's own
// names.
func (b *foreignNet) find(l *foreignLink, only bool) {
	t := b.t
	name := l.name
	if name == nil && !l.matched {
		name = word(l.id, l.at)
	}
	switch {
	case l.mac != nil:
		l.name = nil
		return
	case l.kind == "wifis":
		if name == nil || !kernelWlan().MatchString(name.Value) {
			name = word("wlan0", l.at)
		}
	case name == nil || strings.ContainsAny(name.Value, "*?["):
		l.auto = true
		l.foreign = name != nil && !fitsCard(name.Value)
	case macName().MatchString(name.Value):
		l.mac = word(strings.Join(macName().FindStringSubmatch(name.Value)[1:], ":"), name)
		name = nil
	case predictable().MatchString(name.Value):
		if only {
			l.auto = true
			t.report(Warning, name, "ethernets."+l.id, "write eth0, or match: with the macaddress", "cards are called eth0, eth1 here and none %s; the first wired card with a link is taken for it", quote(name.Value))
		} else {
			t.report(Warning, name, "ethernets."+l.id, "write eth0, or match: with the macaddress", "cards are called eth0, eth1 here and none %s; until this is changed it is for no card", quote(name.Value))
		}
	}
	if l.name = name; l.auto {
		l.name = word("auto", l.at)
	}
}

// fitsCard reports whether a name with wildcards fits a card, which has the kernel's name.
func fitsCard(name string) bool {
	for i := range 4 {
		if ok, _ := path.Match(name, "eth"+strconv.Itoa(i)); ok {
			return true
		}
	}
	return false
}

// passForeign leaves out what is meant for names that no card has, where something else is for the
// cards: a file for several kinds of machines has an item for each.
func (b *foreignNet) passForeign() {
	if !slices.ContainsFunc(b.links, func(l *foreignLink) bool { return l.auto && !l.foreign }) {
		return
	}
	for _, l := range b.links {
		if l.auto && l.foreign {
			if l.gone = true; l.static {
				b.t.report(Note, l.at, "ethernets."+l.id, "", "no card here has such a name; another device of this file is for them")
			}
		}
	}
}

// ref returns what a port or the parent of a VLAN is called in our section, nil if there is no such
// thing.
func (b *foreignNet) ref(n *yaml.Node, path string) *yaml.Node {
	l := b.byID[n.Value]
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		b.t.report(Error, n, path, "name an interface", "this must be the name of an interface, not %s; it is left out", describe(n))
		return nil
	}
	if l == nil {
		return n // the kernel's name
	}
	switch {
	case l.kind != "ethernets" && l.kind != "wifis":
		return word(l.id, n)
	case l.mac != nil:
		return word(l.mac.Value, n)
	case l.auto:
		b.t.report(Error, n, path, "match it by macaddress", "%s means any card that is there, which cannot be a part of another interface; it is left out", quote(n.Value))
		return nil
	}
	return word(l.name.Value, n)
}

// finish writes the interfaces into our section network.
func (b *foreignNet) finish() {
	t := b.t
	wired := 0
	for _, l := range b.links {
		if l.kind == "ethernets" {
			wired++
		}
	}
	for _, l := range b.links {
		if l.kind == "ethernets" || l.kind == "wifis" {
			b.find(l, wired == 1)
		}
	}
	b.passForeign()
	ports := map[string]bool{}
	for _, l := range b.links {
		b.make(l, ports)
	}
	reachable := false
	for _, l := range b.links {
		reachable = reachable || l.asks() && !l.gone && !ports[l.id] && (l.kind != "wifis" || child(t.out, "network") != nil && child(resolve(child(t.out, "network")), "wifi") != nil)
	}
	auto := false
	for _, l := range b.links {
		if !l.gone {
			b.settings(l, ports[l.id], reachable, &auto)
		}
	}
	if !reachable && len(b.links) > 0 {
		t.report(Warning, b.links[0].at, "network", "give one of them dhcp4: true or addresses", "nothing that a node takes of this file leads to an address; its cards ask DHCP")
	}
}

// make adds a bond, a bridge or a VLAN, and notes the ports.
func (b *foreignNet) make(l *foreignLink, ports map[string]bool) {
	out := &yaml.Node{Kind: yaml.MappingNode, Line: l.at.Line, Column: l.at.Column, Content: []*yaml.Node{word("name", l.at), word(l.id, l.at)}}
	put := func(key string, v *yaml.Node) { out.Content = append(out.Content, word(key, v), v) }
	switch l.kind {
	case "bonds", "bridges":
		list := &yaml.Node{Kind: yaml.SequenceNode, Line: l.at.Line, Column: l.at.Column}
		for i, p := range l.ports {
			if r := b.ref(p, index(l.kind+"."+l.id+".interfaces", i)); r != nil {
				list.Content = append(list.Content, r)
				ports[p.Value] = true
			}
		}
		if l.gone = l.kind == "bonds" && len(list.Content) == 0; l.gone {
			b.t.report(Error, l.at, "bonds."+l.id, "give its interfaces", "a bond needs an interface to be made of; it is left out")
			return
		}
		put("ports", list)
		if l.kind == "bonds" {
			if l.mode == nil {
				l.mode = word("balance-rr", l.at) // what others take it to be
			}
			put("mode", l.mode)
		}
	case "vlans":
		if l.parent == nil || l.vlan == nil {
			b.t.report(Error, l.at, "vlans."+l.id, "give id and link", "a VLAN needs a number and the interface that carries it; it is left out")
			l.gone = true
			return
		}
		r := b.ref(l.parent, "vlans."+l.id+".link")
		if r == nil {
			l.gone = true
			return
		}
		put("parent", r)
		put("id", l.vlan)
	default:
		return
	}
	b.t.extend("network."+l.kind, l.at, out)
}

// settings adds the item of network.interfaces that an interface needs. Every wired card, every
// made interface and a radio that has networks ask DHCP by themselves.
func (b *foreignNet) settings(l *foreignLink, port, reachable bool, auto *bool) {
	t := b.t
	if len(l.routes) > 0 {
		l.set("routes", l.routes[0], &yaml.Node{Kind: yaml.SequenceNode, Line: l.routes[0].Line, Column: l.routes[0].Column, Content: l.routes})
	}
	only := true // nothing but optional
	for i := 0; i < len(l.item.Content); i += 2 {
		only = only && l.item.Content[i].Value == "optional"
	}
	plain := only && l.dhcp4 != nil && isTrue(l.dhcp4) && l.dhcp6 == nil
	switch {
	case port && only:
		return
	case plain && (l.kind == "wifis" || l.auto):
		return
	case l.auto && *auto:
		if l.static {
			t.report(Error, l.at, "ethernets."+l.id, "match one of them by macaddress", "two devices mean any card that is there; the first counts, and this one is left out")
		} else {
			t.report(Note, l.at, "ethernets."+l.id, "", "it means the same cards as another one before it, which counts")
		}
		return
	}
	*auto = *auto || l.auto
	if l.mac != nil && (l.kind == "ethernets" || l.kind == "wifis") {
		l.set("mac", l.mac, l.mac)
	} else if l.kind == "ethernets" || l.kind == "wifis" {
		l.set("name", l.at, l.name)
	} else {
		l.set("name", l.at, word(l.id, l.at))
	}
	switch {
	case l.dhcp4 != nil && (isTrue(l.dhcp4) || reachable):
		l.set("dhcp", l.dhcp4, l.dhcp4)
	case l.dhcp4 == nil && reachable:
		l.set("dhcp", l.at, word("false", l.at))
	}
	if l.dhcp6 != nil {
		l.set("dhcp6", l.dhcp6, l.dhcp6)
	}
	t.extend("network.interfaces", l.at, l.item)
}
