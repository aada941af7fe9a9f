package config

import (
	"strings"

	"imgbuild/init/contract/mask"

	"gopkg.in/yaml.v3"
)

// named decodes a map whose names are free and whose values are sections.
func (d *decoder) named(n *yaml.Node, k *Key, path string) *value {
	if n.Kind != yaml.MappingNode {
		return d.mismatch(n, k, path)
	}
	out := &value{kind: mapping, at: d.at(n)}
	for _, p := range d.unique(n, path) {
		here := join(path, p.key.Value)
		v, leave := d.enter(p.value)
		switch {
		case v == nil:
			return nil
		case isNull(v):
			out.add(p.key.Value, d.at(p.key), &value{kind: null, at: d.at(v)})
		default:
			if v := d.section(v, k, here); v != nil {
				out.add(p.key.Value, d.at(p.key), v)
			}
		}
		leave()
	}
	return out
}

// textMap decodes labels, sysctls and the like.
func (d *decoder) textMap(n *yaml.Node, k *Key, path string) *value {
	if n.Kind != yaml.MappingNode {
		return d.mismatch(n, k, path)
	}
	out := &value{kind: mapping, at: d.at(n)}
	for _, p := range d.unique(n, path) {
		here := join(path, p.key.Value)
		v, leave := d.enter(p.value)
		if v == nil {
			return nil
		}
		switch v.Kind {
		case yaml.ScalarNode:
			if secretEntry(k, p.key.Value, v.Value) {
				at := d.at(v)
				if d.secret(v, here) {
					out.add(p.key.Value, d.at(p.key), &value{kind: moved, at: at})
				} else if t, ok := d.text(v, here); ok {
					out.add(p.key.Value, d.at(p.key), &value{kind: scalar, at: at, text: t})
				}
			} else if t, ok := d.mapText(v, here); ok {
				out.add(p.key.Value, d.at(p.key), &value{kind: scalar, at: d.at(v), text: t})
			}
		default:
			d.found.add(d.at(v), Error, here, "put the text into quotes", "this must be a text, not %s; it is left out", describe(v))
		}
		leave()
	}
	return out
}

// secretEntry reports whether an entry of a map of texts is a secret: a variable of such a name, or
// an address with a password in it, or one that was blanked.
func secretEntry(k *Key, name, text string) bool {
	if !strings.HasSuffix(k.Path, ".environment") {
		return false
	}
	return mask.Name(name) || addressName.MatchString(name) && (blanked(text) || passwordInURL.MatchString(text))
}

var (
	addressName   = pattern{text: `(?i)(?:_proxy|_url|_uri|_dsn|_endpoint|_server)$`}
	passwordInURL = pattern{text: `^(?:[A-Za-z][A-Za-z0-9+.-]*://)?[^/\s:@]*:[^\s]+@`}
)

// free decodes what has no form yet; n is neither an alias nor null.
func (d *decoder) free(n *yaml.Node, path string) *value {
	out := &value{at: d.at(n)}
	switch n.Kind {
	case yaml.ScalarNode:
		t, ok := d.text(n, path)
		if !ok {
			return nil
		}
		out.kind, out.text, out.tag = scalar, t, n.ShortTag()
	case yaml.SequenceNode:
		out.kind = seq
		for i, item := range n.Content {
			if v := d.freeChild(item, index(path, i)); v != nil {
				out.items = append(out.items, v)
			}
		}
	case yaml.MappingNode:
		out.kind = mapping
		for _, p := range d.unique(n, path) {
			if v := d.freeChild(p.value, join(path, p.key.Value)); v != nil {
				out.add(p.key.Value, d.at(p.key), v)
			}
		}
	}
	return out
}

func (d *decoder) freeChild(n *yaml.Node, path string) *value {
	n, leave := d.enter(n)
	defer leave()
	if n == nil {
		return nil
	}
	if isNull(n) {
		return &value{kind: null, at: d.at(n)}
	}
	return d.free(n, path)
}
