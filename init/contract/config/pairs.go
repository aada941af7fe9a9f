package config

import "gopkg.in/yaml.v3"

type pair struct{ key, value *yaml.Node }

// pairs returns the keys of a mapping in the order of the file. Merge keys (<<) are unfolded, and
// what they bring comes first and only where the mapping has no value. The same name may
// come twice.
func (d *decoder) pairs(n *yaml.Node, path string) []pair {
	var own, merged []pair
	names := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		for key.Kind == yaml.AliasNode && key.Alias != nil {
			key = key.Alias
		}
		switch {
		case key.Kind != yaml.ScalarNode:
			d.found.add(d.at(n.Content[i]), Error, path, "use a plain word", "a key is %s; it is left out", describe(key))
		case key.ShortTag() == "!!merge":
			merged = append(merged, d.merged(n.Content[i+1], path)...)
		default:
			names[key.Value] = true
			own = append(own, pair{key, n.Content[i+1]})
		}
	}
	var out []pair
	for _, p := range merged {
		if !names[p.key.Value] {
			names[p.key.Value] = true // of several merged mappings the first wins
			out = append(out, p)
		}
	}
	return append(out, own...)
}

// merged returns the pairs of a merge key: a mapping, or a list of them.
func (d *decoder) merged(n *yaml.Node, path string) []pair {
	at := d.at(n)
	n, leave := d.enter(n)
	defer leave()
	if n == nil {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return d.pairs(n, path)
	case yaml.SequenceNode:
		var out []pair
		for _, item := range n.Content {
			out = append(out, d.merged(item, path)...)
		}
		return out
	}
	d.found.add(at, Error, path, "name a map with an anchor", "<< must be followed by a map, not %s", describe(n))
	return nil
}

// unique is pairs for a map with free names: of a name that is there twice the later one counts,
// and that is reported.
func (d *decoder) unique(n *yaml.Node, path string) []pair {
	all := d.pairs(n, path)
	last := map[string]int{}
	for i, p := range all {
		if _, twice := last[p.key.Value]; twice {
			d.found.add(d.at(p.key), Warning, join(path, p.key.Value), "keep one of them", "the key is there twice; the later one counts")
		}
		last[p.key.Value] = i
	}
	out := all[:0]
	for i, p := range all {
		if last[p.key.Value] == i {
			out = append(out, p)
		}
	}
	return out
}
