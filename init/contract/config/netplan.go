package config

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// network reads netplan's version 2 as far as a node has the same: ethernets and wifis with addresses, routes and names.
func (t *translator) network(n *yaml.Node) {
	if inner := child(resolve(n), "network"); inner != nil {
		n = inner
	}
	for _, p := range t.pairs(n, "network") {
		switch name := fold(p.key.Value); name {
		case "version":
			if p.value.Value != "2" {
				t.tell(Error, p.value, "network.version", "write it in version 2, or as our section network", "only version 2 of this format is read")
				t.out.Content = nil
				return
			}
		case "ethernets":
			for _, q := range t.pairs(p.value, "ethernets") {
				t.link(q, "ethernets."+q.key.Value, false)
			}
		case "wifis":
			for _, q := range t.pairs(p.value, "wifis") {
				t.link(q, "wifis."+q.key.Value, true)
			}
		case "renderer":
		default:
			t.tell(Warning, p.key, p.key.Value, "use our section network for it", "this part of netplan's format is not read")
		}
	}
}

// link reads one interface. One that only asks DHCP for addresses, as a wireless one does by itself, needs no item.
func (t *translator) link(p pair, path string, wireless bool) {
	item := &yaml.Node{Kind: yaml.MappingNode, Line: p.key.Line, Column: p.key.Column}
	set := func(name string, at, v *yaml.Node) {
		if child(item, name) == nil {
			item.Content = append(item.Content, word(name, at), v)
		}
	}
	name, dhcp, static := word(p.key.Value, p.key), (*yaml.Node)(nil), false
	var routes []*yaml.Node
	for _, q := range t.pairs(p.value, path) {
		here := join(path, q.key.Value)
		switch fold(q.key.Value) {
		case "dhcp4", "dhcp6":
			if dhcp == nil || isTrue(q.value) {
				dhcp = q.value
			}
		case "addresses":
			var all []*yaml.Node
			for _, a := range list1(q.value) {
				if a.Kind == yaml.MappingNode && len(a.Content) > 0 { // an address with a label or a lifetime
					a = a.Content[0]
				}
				all = append(all, a)
			}
			static = static || len(all) > 0
			set("addresses", q.key, &yaml.Node{Kind: yaml.SequenceNode, Line: q.value.Line, Column: q.value.Column, Content: all})
		case "gateway4", "gateway6":
			set("gateway", q.key, q.value)
		case "nameservers":
			for _, r := range t.pairs(q.value, here) {
				switch fold(r.key.Value) {
				case "addresses":
					set("dns", r.key, r.value)
				case "search":
					set("search", r.key, r.value)
				}
			}
		case "routes":
			for _, r := range list1(q.value) {
				if to := child(r, "to"); to != nil && contains([]string{"default", "0.0.0.0/0", "::/0"}, resolve(to).Value) && child(r, "metric") == nil && child(r, "via") != nil {
					set("gateway", r, resolve(child(r, "via")))
				} else if route := t.keep(r, here, "to", "via", "metric"); route != nil {
					routes = append(routes, route)
				}
			}
		case "mtu":
			set("mtu", q.key, q.value)
		case "optional":
			set("optional", q.key, q.value)
		case "match":
			for _, r := range t.pairs(q.value, here) {
				switch fold(r.key.Value) {
				case "macaddress":
					set("mac", r.key, r.value)
				case "name":
					if name = r.value; strings.ContainsAny(name.Value, "*?[") {
						name = word("auto", r.value)
					}
				}
			}
		case "dhcp4overrides", "dhcp6overrides":
			if m := child(q.value, "route_metric"); m != nil {
				set("metric", q.key, resolve(m))
			}
		case "accesspoints":
			t.accessPoints(q, here)
		case "regulatorydomain":
			t.put("network.country", q.key, q.value)
		case "setname", "renderer", "wakeonlan", "linklocal", "acceptra", "dhcpidentifier", "critical", "ipv6privacy":
		default:
			t.tell(Warning, q.key, here, "use our section network for it", "this part of netplan's format is not read")
		}
	}
	if len(routes) > 0 {
		set("routes", routes[0], &yaml.Node{Kind: yaml.SequenceNode, Line: routes[0].Line, Column: routes[0].Column, Content: routes})
	}
	if wireless && !static {
		return
	}
	if child(item, "mac") == nil {
		set("name", p.key, name)
	}
	if dhcp != nil {
		set("dhcp", dhcp, dhcp)
	}
	t.extend("network.interfaces", p.key, item)
}

// keep gives a mapping with the named keys of n only.
func (t *translator) keep(n *yaml.Node, path string, names ...string) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}
	for _, q := range t.pairs(n, path) {
		if contains(names, fold(q.key.Value)) {
			out.Content = append(out.Content, q.key, q.value)
		}
	}
	if len(out.Content) == 0 {
		return nil
	}
	return out
}

// accessPoints reads the wireless networks of an interface, whose names are the keys.
func (t *translator) accessPoints(p pair, path string) {
	for _, q := range t.pairs(p.value, path) {
		item := &yaml.Node{Kind: yaml.MappingNode, Line: q.key.Line, Column: q.key.Column,
			Content: []*yaml.Node{word("name", q.key), q.key}}
		passphrase := child(q.value, "password")
		if auth := child(q.value, "auth"); passphrase == nil && auth != nil {
			auth = resolve(auth)
			passphrase = child(auth, "password")
			if m := child(auth, "key_management"); m != nil && strings.HasPrefix(resolve(m).Value, "eap") {
				t.tell(Warning, resolve(m), join(path, q.key.Value), "", "networks that ask for a user (EAP) are not supported")
			}
		}
		if passphrase != nil && resolve(passphrase).Value != "" {
			item.Content = append(item.Content, word("passphrase", q.key), resolve(passphrase))
		}
		if hidden := child(q.value, "hidden"); hidden != nil {
			item.Content = append(item.Content, word("hidden", q.key), resolve(hidden))
		}
		t.extend("network.wifi", q.key, item)
	}
}
