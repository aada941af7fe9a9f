package config

import "fmt"

// Merge puts layers on top of each other, the later ones winning, and fills in the defaults of the
// key table.
//
// A key's value replaces the earlier one as a whole, lists and the maps labels, sysctls and
// environment included, as in k3OS. Sections (k3os, k3os.install and ours) and free-form sections
// are merged key by key, services by name. An explicit null erases the value of earlier layers, at
// any level. A secret that Blank has moved off its source keeps the value of earlier layers; where
// they have none either, that is the one problem Merge reports. Nil layers are skipped.
//
// Merging is associative: any grouping of the same sequence gives the same Config.
func Merge(layers ...*Layer) (*Config, []Problem) {
	var v *value
	for _, l := range layers {
		if l != nil {
			v = merge(v, l.root, root())
		}
	}
	c := Default()
	c.where, c.unseen = map[string]place{}, map[string]bool{}
	for _, l := range layers {
		if l != nil && l.Unseen {
			c.unseen[l.Name] = true
		}
	}
	var found list
	c.fill(v, &found)
	c.settle()
	return c, found.sorted()
}

// merge puts b over a for key k without changing either. nil means that a layer has no value.
func merge(a, b *value, k *Key) *value {
	switch {
	case b == nil:
		return a
	case a == nil:
		return b
	case b.kind == moved:
		return a
	case b.kind != mapping || b.reset || k.Type == TextMap || k.Type == Text:
		return b
	case a.kind == null: // remember the erasure for whatever is below
		out := *b
		out.reset = true
		return &out
	case a.kind != mapping:
		return b
	}
	out := &value{kind: mapping, at: b.at, reset: a.reset, entries: append([]entry(nil), a.entries...)}
	where := make(map[string]int, len(out.entries))
	for i, e := range out.entries {
		where[e.name] = i
	}
	for _, e := range b.entries {
		if i, both := where[e.name]; both {
			v := merge(out.entries[i].v, e.v, k.entryKey(e.name))
			at := e.at
			// A section of both is where it began, unless a program wrote it there.
			if v != e.v && v.kind == mapping && !v.reset && FormatOf(out.entries[i].at.file) == Native {
				at = out.entries[i].at
			}
			out.entries[i] = entry{e.name, at, v}
			continue
		}
		out.add(e.name, e.at, e.v)
	}
	return out
}

// replaced is the key of values that a later layer replaces as a whole.
var replaced = &Key{Type: Text}

// entryKey returns the key by which an entry of a mapping is merged.
func (k *Key) entryKey(name string) *Key {
	if k.Type == Section {
		if c := k.find(name); c != nil {
			return c
		}
	}
	return replaced // a service, or an entry of a free-form section
}

// index is the path of an item.
func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
