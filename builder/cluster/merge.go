package cluster

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// merge puts b over a without changing either: maps key by key, and lists whose items all have a
// name by that, an item of a new name at the end. Everything else of b replaces what a has. nil
// means that there is no value.
func merge(a, b *value) *value {
	switch {
	case b == nil:
		return a
	case a == nil || a.kind != b.kind:
		return b
	case b.kind == yaml.MappingNode:
		out := *a
		out.keys = slices.Clone(a.keys)
		for _, e := range b.keys {
			if old := out.entry(e.name); old != nil {
				*old = entry{e.name, e.at, merge(old.v, e.v)}
			} else {
				out.keys = append(out.keys, e)
			}
		}
		return &out
	case b.kind == yaml.SequenceNode && named(a) && named(b):
		out := *a
		out.items = slices.Clone(a.items)
		for _, item := range b.items {
			if i := index(out.items, item.name()); i >= 0 {
				out.items[i] = merge(out.items[i], item)
			} else {
				out.items = append(out.items, item)
			}
		}
		return &out
	}
	return b
}

// named reports whether every item of a list has a name of its own. An empty list has not: it
// replaces, and is the way to take over nothing.
func named(v *value) bool {
	for i, item := range v.items {
		if item.name() == "" || index(v.items[:i], item.name()) >= 0 {
			return false
		}
	}
	return len(v.items) > 0
}

func index(items []*value, name string) int {
	return slices.IndexFunc(items, func(v *value) bool { return v.name() == name })
}
