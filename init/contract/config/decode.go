package config

import (
	"fmt"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// decoder turns the nodes of one source into values, by the key table.
type decoder struct {
	file    string
	format  Format
	lines   []int // characters on each line of the source; nil for the command line
	shift   int   // lines before the part that is decoded (salvage)
	found   list
	secrets []secret
	literal bool // texts are texts whatever they look like (the command line)

	depth     int
	aliases   int // how many aliases the walk is inside of
	unfolded  int
	bytes     int
	exhausted bool // a bound was hit: what was decoded is not used
}

func (d *decoder) at(n *yaml.Node) place {
	return d.clamp(place{d.file, n.Line + d.shift, n.Column})
}

func (d *decoder) fatal(at place, fix, format string, args ...any) {
	d.found.problems = append(d.found.problems, Problem{File: at.file, Line: at.line, Col: at.col, Severity: Error,
		Message: without(fmt.Sprintf(format, args...), d.found.doubts), Fix: without(fix, d.found.doubts), Fatal: true})
}

// top decodes the root of a document.
func (d *decoder) top(n *yaml.Node) *value {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		d.fatal(d.at(n), "begin with a key such as hostname:", "the file is %s, not a map of keys", describe(n))
		return nil
	}
	return d.value(d.native(n), root(), "")
}

// enter follows aliases and keeps the bounds; leave with the function it gives. A nil node means a
// bound was hit.
func (d *decoder) enter(n *yaml.Node) (*yaml.Node, func()) {
	inAlias := 0
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n, inAlias = n.Alias, 1
	}
	d.aliases += inAlias
	d.depth++
	leave := func() { d.aliases -= inAlias; d.depth-- }
	if d.aliases > 0 {
		d.unfolded++
		d.bytes += len(n.Value)
	}
	if !d.exhausted && (d.depth > maxDepth || d.unfolded > maxUnfolded || d.bytes > maxUnfoldedBytes) {
		d.exhausted = true
		if d.depth > maxDepth {
			d.fatal(d.at(n), "write it flatter", "values are nested deeper than %d, or an anchor contains itself", maxDepth)
		} else {
			d.fatal(d.at(n), "write the values out", "the aliases unfold to more than %d values or %d bytes", maxUnfolded, maxUnfoldedBytes)
		}
	}
	if d.exhausted {
		leave()
		return nil, func() {}
	}
	return n, leave
}

// value decodes n as key k needs it, or reports why not and returns nil. path is the key's path
// with indexes.
func (d *decoder) value(n *yaml.Node, k *Key, path string) *value {
	n, leave := d.enter(n)
	defer leave()
	if n == nil {
		return nil
	}
	if isNull(n) {
		if n.Anchor != "" && d.aliases == 0 {
			d.found.add(d.at(n), Warning, path, "put the whole value into quotes", "a leading & is a mark of YAML's, not a value; the key is empty")
		}
		return &value{kind: null, at: d.at(n)}
	}
	switch k.Type {
	case Section:
		if k.Short != "" && n.Kind == yaml.ScalarNode {
			n = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: k.Short, Line: n.Line, Column: n.Column}, n}}
		}
		return d.section(n, k, path)
	case Items:
		return d.itemList(n, k, path)
	case Named:
		return d.named(n, k, path)
	case TextMap:
		return d.textMap(n, k, path)
	case Texts:
		return d.texts(n, k, path)
	case Free:
		if n.Kind != yaml.MappingNode {
			return d.mismatch(n, k, path)
		}
		return d.free(n, path)
	}
	return d.scalar(n, k, path)
}

// mismatch reports a value of the wrong shape.
func (d *decoder) mismatch(n *yaml.Node, k *Key, path string) *value {
	d.found.add(d.at(n), Error, path, fixShape(k), "this must be %s, not %s; it is left out", article(k.Type), describe(n))
	return nil
}

// article names a shape in a sentence.
func article(t Type) string {
	switch t {
	case Bool:
		return "true or false"
	case Named:
		return "a map of sections"
	case Free:
		return "a map"
	}
	return "a " + t.String()
}

func fixShape(k *Key) string {
	if k.Example != "" && len(k.Example) < 80 {
		return fmt.Sprintf("write it like %s: %s", k.name, k.Example)
	}
	if k.Type == Items && len(k.children) > 0 {
		return fmt.Sprintf("write it like %s: [{%s: %s}]", k.name, k.children[0].name, k.children[0].Example)
	}
	return "see docs/config.md"
}

func (d *decoder) section(n *yaml.Node, k *Key, path string) *value {
	if n.Kind != yaml.MappingNode {
		return d.mismatch(n, k, path)
	}
	out := &value{kind: mapping, at: d.at(n)}
	written := map[string]string{} // canonical name -> as written
	for _, p := range d.pairs(n, path) {
		name := p.key.Value
		child := k.find(name)
		if child == nil {
			d.unknown(p.key, k, join(path, name))
			out.odd = true
			continue
		}
		here := join(path, child.name)
		v, before := d.value(p.value, child, here), out.get(child.name)
		if was, twice := written[child.name]; twice && v != nil && v.kind == mapping && before != nil && before.kind == mapping && child.Type == Section {
			// The first one may hold the only way to the node.
			d.found.add(d.at(p.key), Warning, here, "write one section", "the section is there twice; both are read, and where they differ the later one counts")
			v = merge(before, v, child)
		} else if twice && child.took(was) && !child.took(name) {
			d.found.add(d.at(p.key), Warning, here, "keep one of them", "%q and %q are the same key; the first one counts, as in k3OS, which did not read the second", was, name)
			continue
		} else if twice && was == name {
			d.found.add(d.at(p.key), Warning, here, "keep one of them", "the key is there twice; the later one counts")
		} else if twice {
			d.found.add(d.at(p.key), Warning, here, "keep one of them", "%q and %q are the same key; the later one counts", was, name)
		}
		written[child.name] = name
		if v != nil {
			out.set(child.name, d.at(p.key), v)
		}
		out.odd = out.odd || v == nil || v.kind == seq && len(v.items) == 0 && len(list1(p.value)) > 0
	}
	d.settleItem(out, k, path)
	return out
}

// unknown reports a key that is in no table, with the key that was probably meant.
func (d *decoder) unknown(n *yaml.Node, k *Key, path string) {
	fix := "remove it, or see docs/config.md for the keys there are"
	if len(d.found.problems) >= maxProblems {
		fix = "" // it will not be shown, and the search is not for free
	} else if strings.IndexFunc(n.Value, func(r rune) bool { return r > 127 && unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' }) >= 0 {
		fix = "replace the odd spaces in it, which only look like spaces, by plain ones"
	} else if near := nearest(k, n.Value); near != "" {
		fix = fmt.Sprintf("did you mean %s?", near)
	}
	d.found.addUnknown(d.at(n), path, fix)
}

func (d *decoder) itemList(n *yaml.Node, k *Key, path string) *value {
	out := &value{kind: seq, at: d.at(n)}
	switch n.Kind {
	case yaml.MappingNode: // the intent is plain: a list of one
		d.found.add(d.at(n), Note, path, "put - in front of it", "read as a list of one")
		if v := d.section(n, k, path+"[0]"); v != nil {
			out.items = append(out.items, v)
		}
		return out
	case yaml.SequenceNode:
		for i, item := range n.Content {
			here := index(path, i)
			at := d.at(item)
			item, leave := d.enter(item)
			switch {
			case item == nil:
				return nil
			case item.Kind != yaml.MappingNode:
				d.found.add(at, Error, here, fixShape(k), "this must be a section, not %s; it is left out", describe(item))
			case k.Path == "write_files" && child(item, "source") != nil && child(item, "content") == nil:
				d.found.add(at, Error, here+".source", "write the content itself, or fetch it in run_cmd", "content is not fetched from elsewhere; the file is left out")
			default:
				if v := d.section(item, k, here); v != nil {
					out.items = append(out.items, v)
				}
			}
			leave()
		}
		return out
	}
	return d.mismatch(n, k, path)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe names a node in a message.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return "nothing"
		case "!!bool":
			return "true or false"
		case "!!int", "!!float":
			return "a number"
		}
		return "a text"
	}
	return "an alias"
}
