package config

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// accessPoints reads the wireless networks of an interface, whose names are the keys. One that asks
// for more than a passphrase, or of which a part is not understood and may be the passphrase, is
// left out: never joined as an open one.
func (t *translator) accessPoints(p pair, path string) {
	for _, q := range t.pairs(p.value, path) {
		here := join(path, q.key.Value)
		if q.value.Kind != yaml.MappingNode {
			t.report(Error, q.key, here, "write password: below its name, or {} for an open network", "this must be a map, not %s; the network is left out", describe(q.value))
			if q.value.Kind == yaml.ScalarNode && q.value.Value != "" && !isNull(q.value) {
				t.d.secret(q.value, "network.wifi.passphrase")
			}
			continue
		}
		item := &yaml.Node{Kind: yaml.MappingNode, Line: q.key.Line, Column: q.key.Column, Content: []*yaml.Node{word("name", q.key), q.key}}
		a := accessPoint{t: t, item: item}
		for _, r := range t.pairs(q.value, here) {
			a.read(r, join(here, r.key.Value))
		}
		switch {
		case a.why == "" && a.passphrase == nil && (a.protected || a.odd):
			a.why = "it has no passphrase that is understood, and is not joined without"
		case a.why == "" && a.passphrase != nil && (isNull(a.passphrase) || a.passphrase.Kind != yaml.ScalarNode):
			a.why = "its password is empty"
		}
		if a.why != "" {
			at := here
			if a.whyKey != "" {
				at = join(here, a.whyKey)
			}
			t.report(Error, q.key, at, "correct it, or remove it", "the network is left out: %s", a.why)
			t.hide(q.value)
			continue
		}
		if a.passphrase != nil && a.passphrase.Value != "" {
			item.Content = append(item.Content, word("passphrase", q.key), a.passphrase)
		}
		t.extend("network.wifi", q.key, item)
	}
}

// accessPoint is one network while it is read.
type accessPoint struct {
	t          *translator
	item       *yaml.Node
	passphrase *yaml.Node
	protected  bool   // auth: asks for a key
	odd        bool   // a key in it is unknown
	why        string // it is left out
	whyKey     string // because of this key
}

func (a *accessPoint) read(r pair, path string) {
	if !a.t.judge(r, path, "access-point") {
		a.odd = a.odd || foreignRules()["access-point"][fold(r.key.Value)].verdict == unknownKey
		return
	}
	switch fold(r.key.Value) {
	case "password", "psk", "passphrase":
		a.passphrase = r.value
	case "hidden":
		a.item.Content = append(a.item.Content, word("hidden", r.key), r.value)
	case "mode":
		if r.value.Value != "infrastructure" {
			a.why, a.whyKey = "a node joins networks, and makes none of the mode "+quote(r.value.Value), "mode"
		}
	case "auth":
		for _, s := range a.t.pairs(r.value, path) {
			name := fold(s.key.Value)
			if !a.t.judge(s, join(path, s.key.Value), "auth") {
				a.odd = a.odd || foreignRules()["auth"][name].verdict == unknownKey
				continue
			}
			switch name {
			case "password", "psk":
				if a.passphrase == nil {
					a.passphrase = s.value
				}
			case "keymanagement":
				switch m := strings.ToLower(s.value.Value); {
				case m == "none":
				case m == "psk", m == "psk-sha256", m == "sae":
					a.protected = true
				default:
					a.why, a.whyKey = "networks with the key management "+quote(m)+" are not supported", "auth.key-management"
				}
			}
		}
	}
}
