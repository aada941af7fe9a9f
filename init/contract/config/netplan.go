package config

import (
	"gopkg.in/yaml.v3"
)

// network reads netplan's version 2, and cloud-init's version 1, as far as a node has the same.
// The rest is reported by name.
func (t *translator) network(n *yaml.Node) {
	if inner := child(resolve(n), "network"); inner != nil {
		n = inner
	}
	n = resolve(n)
	if version := child(n, "version"); version != nil && resolve(version).Value == "1" || version == nil && child(n, "config") != nil {
		t.networkV1(n)
		return
	}
	b := &foreignNet{t: t, byID: map[string]*foreignLink{}}
	for _, p := range t.pairs(n, "network") {
		if !t.judge(p, p.key.Value, "network") {
			t.hide(p.value)
			continue
		}
		switch kind := fold(p.key.Value); kind {
		case "version":
			if p.value.Value != "2" {
				t.report(Error, p.value, "network.version", "write it in version 2, or as our section network", "only versions 1 and 2 of this format are read")
				t.out.Content = nil
				return
			}
		default:
			for _, q := range t.pairs(p.value, p.key.Value) {
				if kind != "wifis" && fold(q.key.Value) == "renderer" && q.value.Kind == yaml.ScalarNode {
					continue // for all of a kind
				}
				b.device(q, kind, p.key.Value+"."+q.key.Value)
			}
		}
	}
	b.finish()
}

// hide marks the secrets below a part that is not read: they are taken off the boot partition like
// others.
func (t *translator) hide(n *yaml.Node) {
	n = resolve(n)
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			t.hide(item)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			v := resolve(n.Content[i+1])
			switch fold(n.Content[i].Value) {
			case "password", "clientkeypassword", "key", "private", "shared", "pin", "psk", "passphrase":
				if v.Kind == yaml.ScalarNode && !isNull(v) && v.Value != "" {
					t.d.secret(v, "network.wifi.passphrase")
					continue
				}
			}
			if n.Content[i+1].Kind != yaml.AliasNode {
				t.hide(v)
			}
		}
	}
}

// device reads one interface of version 2.
func (b *foreignNet) device(p pair, kind, path string) {
	t := b.t
	l := &foreignLink{id: p.key.Value, kind: kind, at: p.key, item: &yaml.Node{Kind: yaml.MappingNode, Line: p.key.Line, Column: p.key.Column}}
	if !b.add(l, path) {
		return
	}
	scopes := []string{"device", kind}
	if kind == "ethernets" || kind == "wifis" {
		scopes = append(scopes, "physical")
	}
	for _, q := range t.pairs(p.value, path) {
		here := join(path, q.key.Value)
		if !t.judge(q, here, scopes...) {
			if fold(q.key.Value) == "auth" {
				t.hide(q.value)
			}
			continue
		}
		switch fold(q.key.Value) {
		case "dhcp4":
			l.dhcp4 = q.value
		case "dhcp6":
			l.dhcp6 = q.value
		case "acceptra":
			l.refuses("ignore_ra", q)
		case "addresses":
			b.addresses(l, q, here)
		case "gateway4":
			l.set("gateway", q.key, q.value)
		case "gateway6":
			l.set("gateway6", q.key, q.value)
		case "nameservers":
			for _, r := range t.pairs(q.value, here) {
				if t.judge(r, join(here, r.key.Value), "nameservers") {
					l.set(map[string]string{"addresses": "dns", "search": "search"}[fold(r.key.Value)], r.key, r.value)
				}
			}
		case "routes":
			for i, r := range list1(q.value) {
				b.route(l, r, index(here, i), "route")
			}
		case "mtu", "optional":
			l.set(fold(q.key.Value), q.key, q.value)
		case "match":
			b.match(l, q, here)
		case "dhcp4overrides", "dhcp6overrides", "raoverrides":
			scope := "overrides"
			if fold(q.key.Value) == "raoverrides" {
				scope = "ra-overrides"
			}
			for _, r := range t.pairs(q.value, here) {
				if !t.judge(r, join(here, r.key.Value), scope) {
					continue
				}
				switch fold(r.key.Value) {
				case "routemetric":
					l.set("metric", r.key, r.value)
				case "useroutes":
					l.refuses("ignore_routes", r)
				case "usedns":
					l.refuses("ignore_dns", r)
				}
			}
		case "accesspoints":
			t.accessPoints(q, here)
		case "regulatorydomain":
			if q.value.Value != "00" {
				t.put("network.country", q.key, q.value)
			}
		case "interfaces":
			l.ports = list1(q.value)
		case "parameters":
			b.parameters(l, q, here)
		case "id":
			l.vlan = q.value
		case "link":
			l.parent = q.value
		}
	}
}

// addresses reads a list whose items may have a label or a lifetime.
func (b *foreignNet) addresses(l *foreignLink, q pair, path string) {
	all := &yaml.Node{Kind: yaml.SequenceNode, Line: q.value.Line, Column: q.value.Column}
	for i, a := range list1(q.value) {
		if a.Kind == yaml.MappingNode && len(a.Content) > 1 {
			for _, r := range b.t.pairs(a.Content[1], index(path, i)) {
				b.t.judge(r, join(index(path, i), r.key.Value), "address")
			}
			a = a.Content[0]
		}
		all.Content = append(all.Content, a)
	}
	l.set("addresses", q.key, all)
	l.static = len(all.Content) > 0
}

// match reads what cards a device is for.
func (b *foreignNet) match(l *foreignLink, q pair, path string) {
	l.matched = true
	for _, r := range b.t.pairs(q.value, path) {
		if !b.t.judge(r, join(path, r.key.Value), "match") {
			continue
		}
		switch fold(r.key.Value) {
		case "macaddress":
			l.mac = r.value
		case "name":
			l.name = r.value
		}
	}
}

// parameters reads those of a bond or a bridge.
func (b *foreignNet) parameters(l *foreignLink, q pair, path string) {
	scope := map[string]string{"bonds": "bond params", "bridges": "bridge params"}[l.kind]
	for _, r := range b.t.pairs(q.value, path) {
		if b.t.judge(r, join(path, r.key.Value), scope) {
			l.mode = r.value // the only one that is taken
		}
	}
}
