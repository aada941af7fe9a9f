package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// networkV1 reads version 1: a list of interfaces, name servers and routes.
func (t *translator) networkV1(n *yaml.Node) {
	b := &foreignNet{t: t, byID: map[string]*foreignLink{}}
	var later []*yaml.Node // what is of no interface
	for _, p := range t.pairs(n, "network") {
		if !t.judge(p, p.key.Value, "v1") || fold(p.key.Value) != "config" {
			continue
		}
		if p.value.Kind != yaml.SequenceNode {
			t.report(Warning, p.value, "config", "use our section network", "this must be a list of interfaces, not %s; it is left out", describe(p.value))
			return
		}
		for i, item := range list1(p.value) {
			path := index("config", i)
			kind := child(item, "type")
			if kind == nil {
				t.report(Error, item, path, "give its type", "its type is missing; it is left out")
				continue
			}
			switch k := resolve(kind).Value; k {
			case "physical", "bond", "bridge", "vlan":
				b.deviceV1(item, k, path)
			case "nameserver", "route":
				later = append(later, item)
			case "loopback":
			default:
				t.report(Warning, resolve(kind), path+".type", "use our section network", "interfaces of the type %s are not read; it is left out", quote(k))
			}
		}
	}
	for i, item := range later {
		b.globalV1(item, index("config", i))
	}
	b.finish()
}

func (b *foreignNet) deviceV1(n *yaml.Node, kind, path string) {
	t := b.t
	name := child(n, "name")
	if name == nil || resolve(name).Value == "" {
		t.report(Error, n, path, "give its name", "the interface has no name; it is left out")
		return
	}
	at := resolve(name)
	l := &foreignLink{id: at.Value, kind: map[string]string{"physical": "ethernets", "bond": "bonds", "bridge": "bridges", "vlan": "vlans"}[kind], at: at,
		item: &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}}
	if strings.HasPrefix(l.id, "wl") && kind == "physical" {
		l.kind = "wifis"
	}
	if !b.add(l, path) {
		return
	}
	for _, q := range t.pairs(n, path) {
		here := join(path, q.key.Value)
		if !t.judge(q, here, "v1 device", "v1 "+kind) {
			continue
		}
		switch fold(q.key.Value) {
		case "macaddress":
			if kind == "physical" {
				l.mac, l.matched = q.value, true
			} else {
				t.report(Warning, q.key, here, "remove it", "it keeps the address of its first port; this is ignored")
			}
		case "mtu", "optional":
			l.set(fold(q.key.Value), q.key, q.value)
		case "acceptra":
			l.refuses("ignore_ra", q)
		case "bondinterfaces", "bridgeinterfaces":
			l.ports = list1(q.value)
		case "vlanlink":
			l.parent = q.value
		case "vlanid":
			l.vlan = q.value
		case "params":
			for _, r := range t.pairs(q.value, here) {
				if t.judge(r, join(here, r.key.Value), "v1 "+kind+" params") {
					l.mode = bondMode(r.value)
				}
			}
		case "subnets":
			for i, s := range list1(q.value) {
				b.subnet(l, s, index(here, i))
			}
		}
	}
}

// bondMode returns the name of a mode that may be written as a number.
func bondMode(n *yaml.Node) *yaml.Node {
	names := []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}
	if i, err := strconv.Atoi(n.Value); err == nil && i >= 0 && i < len(names) {
		return word(names[i], n)
	}
	return n
}

// subnet reads one way to an address.
func (b *foreignNet) subnet(l *foreignLink, n *yaml.Node, path string) {
	t := b.t
	parts := map[string]*yaml.Node{}
	for _, q := range t.pairs(n, path) {
		here := join(path, q.key.Value)
		if !t.judge(q, here, "v1 subnet") {
			continue
		}
		parts[fold(q.key.Value)] = q.value
		switch fold(q.key.Value) {
		case "type":
			switch q.value.Value {
			case "dhcp", "dhcp4":
				l.dhcp4 = word("true", q.value)
			case "dhcp6", "ipv6_dhcpv6-stateful":
				l.dhcp6 = word("true", q.value)
			case "ipv6_dhcpv6-stateless", "ipv6_slaac":
				if l.dhcp6 == nil { // the router sets all
					l.dhcp6 = word("true", q.value)
				}
			case "static", "static4", "static6", "manual":
			default:
				t.report(Warning, q.value, here, "write dhcp or static", "%s is not a way to an address; it is left out", quote(q.value.Value))
			}
		case "dnsnameservers":
			l.grow("dns", q.key, words(q.value))
		case "dnssearch":
			l.grow("search", q.key, words(q.value))
		case "metric":
			l.set("metric", q.key, q.value)
		case "control":
			if q.value.Value == "manual" {
				t.report(Warning, q.value, here, "remove it", "every interface is brought up by itself")
			}
		case "routes":
			for i, r := range list1(q.value) {
				b.routeV1(l, r, index(here, i))
			}
		}
	}
	if a := parts["address"]; a != nil {
		l.grow("addresses", a, []*yaml.Node{withMask(a, parts["netmask"], parts["prefix"])})
		l.static = true
	}
	if g := parts["gateway"]; g != nil {
		b.addRoute(l, &yaml.Node{Kind: yaml.MappingNode, Line: g.Line, Column: g.Column}, word("default", g), g, nil)
	}
}

// grow appends texts to a list of the item.
func (l *foreignLink) grow(name string, at *yaml.Node, items []*yaml.Node) {
	if list := child(l.item, name); list != nil {
		list.Content = append(list.Content, items...)
		return
	}
	l.set(name, at, &yaml.Node{Kind: yaml.SequenceNode, Line: at.Line, Column: at.Column, Content: append([]*yaml.Node(nil), items...)})
}

// words takes a list, or a text with several words in it, apart.
func words(n *yaml.Node) (out []*yaml.Node) {
	for _, item := range list1(n) {
		for _, w := range strings.FieldsFunc(item.Value, func(r rune) bool { return r == ' ' || r == ',' }) {
			out = append(out, word(w, item))
		}
	}
	return out
}

// withMask returns an address with its prefix length, which may be separate or a mask.
func withMask(a, mask, prefix *yaml.Node) *yaml.Node {
	text := a.Value
	if strings.Contains(text, "/") {
		head, tail, _ := strings.Cut(text, "/")
		mask, text = word(tail, a), head
	}
	if mask == nil {
		mask = prefix
	}
	if mask == nil {
		return word(text, a) // the decoder asks for the length
	}
	bits := mask.Value
	if m, err := netip.ParseAddr(bits); err == nil && m.Is4() {
		b := m.As4()
		if ones, size := net.IPv4Mask(b[0], b[1], b[2], b[3]).Size(); size != 0 {
			bits = strconv.Itoa(ones)
		}
	}
	return word(text+"/"+bits, a)
}

// routeV1 reads a route of a subnet, or one of no interface.
func (b *foreignNet) routeV1(l *foreignLink, n *yaml.Node, path string) {
	parts := map[string]*yaml.Node{}
	for _, q := range b.t.pairs(n, path) {
		if b.t.judge(q, join(path, q.key.Value), "v1 route") {
			parts[fold(q.key.Value)] = q.value
		}
	}
	to := parts["destination"]
	if to == nil {
		to = parts["network"]
	}
	if to != nil && to.Value != "default" && (parts["netmask"] != nil || parts["prefix"] != nil || strings.Contains(to.Value, "/")) {
		to = withMask(to, parts["netmask"], parts["prefix"])
	}
	b.addRoute(l, &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}, to, parts["gateway"], parts["metric"])
}

// globalV1 reads name servers and routes that are next to the interfaces.
func (b *foreignNet) globalV1(n *yaml.Node, path string) {
	t := b.t
	if resolve(child(n, "type")).Value == "nameserver" {
		var of *foreignLink
		for _, q := range t.pairs(n, path) {
			if t.judge(q, join(path, q.key.Value), "v1 nameserver") && fold(q.key.Value) == "interface" {
				of = b.byID[q.value.Value]
			}
		}
		for _, f := range [][2]string{{"address", "dns"}, {"search", "search"}} {
			v := child(n, f[0])
			if v == nil {
				continue
			}
			if list := words(resolve(v)); of != nil {
				of.grow(f[1], resolve(v), list)
			} else {
				t.extend("network."+f[1], resolve(v), list...)
			}
		}
		return
	}
	// The interface whose network has the gateway.
	gate := child(n, "gateway")
	var of *foreignLink
	for _, l := range b.links {
		a := child(l.item, "addresses")
		if gate == nil || a == nil {
			continue
		}
		for _, item := range a.Content {
			p, err := netip.ParsePrefix(item.Value)
			g, gerr := netip.ParseAddr(resolve(gate).Value)
			if err == nil && gerr == nil && p.Contains(g) && of == nil {
				of = l
			}
		}
	}
	if of == nil {
		t.report(Warning, n, path, "put it under the subnet of its interface", "no interface of this file has a network with the gateway of this route; it is left out")
		return
	}
	b.routeV1(of, n, path)
}
