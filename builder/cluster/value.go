package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/yamltext"
)

// value is a YAML value that knows where it is written. Values are never changed once they are
// read, except in a tree that clone has made.
type value struct {
	at    place
	keys  []entry    // of a map
	items []*value   // of a list
	node  *yaml.Node // of a scalar
	kind  yaml.Kind  // MappingNode, SequenceNode or ScalarNode
}

// entry is a key of a map with its value.
type entry struct {
	name string
	at   place // of the key
	v    *value
}

// Bounds of one file: what its aliases may unfold to, and how deep values nest.
const (
	maxSize     = 1 << 20
	maxUnfolded = 20000
	maxDepth    = 64
)

// source turns one file into a value.
type source struct {
	file  string
	count int
	err   *broken
}

// broken is why a file cannot be read.
type broken struct {
	at           place
	message, fix string
}

var lineOf = regexp.MustCompile(`line (\d+): `)

// parse reads the first document of a file. An empty one is a nil value.
func parse(file string, data []byte) (*value, *broken) {
	if len(data) > maxSize {
		return nil, &broken{place{file: file}, fmt.Sprintf("the file has %d bytes, more than the %d that are read", len(data), maxSize), "remove what does not belong into it"}
	}
	docs, err := documents(data)
	if err != nil {
		at, text := place{file, 1, 1}, err.Error()
		if m := lineOf.FindStringSubmatchIndex(text); m != nil {
			at.line, _ = strconv.Atoi(text[m[2]:m[3]])
			text = text[m[1]:]
		}
		return nil, &broken{at, "this is not YAML: " + text, "check this line and the one before it"}
	}
	if len(docs) == 0 || len(docs[0].Content) == 0 {
		return nil, nil
	}
	if len(docs) > 1 {
		return nil, &broken{place{file, docs[1].Line, 1}, "there is a second document", "write everything into one, without the line ---"}
	}
	s := &source{file: file}
	v := s.value(docs[0].Content[0], 0)
	if s.err != nil {
		return nil, s.err
	}
	return v, nil
}

// documents reads up to two documents. The library panics on some malformed input.
func documents(data []byte) (docs []*yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for len(docs) < 2 {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		docs = append(docs, &doc)
	}
	return docs, nil
}

func (s *source) at(n *yaml.Node) place { return place{s.file, n.Line, n.Column} }

func (s *source) fail(n *yaml.Node, fix, format string, a ...any) *value {
	if s.err == nil {
		s.err = &broken{s.at(n), fmt.Sprintf(format, a...), fix}
	}
	return nil
}

func (s *source) value(n *yaml.Node, depth int) *value {
	at := s.at(n)
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if s.count++; s.err != nil {
		return nil
	}
	if s.count > maxUnfolded || depth > maxDepth {
		return s.fail(n, "write it flatter, and the values of anchors out", "there are more than %d values, or they nest deeper than %d", maxUnfolded, maxDepth)
	}
	v := &value{at: at, kind: n.Kind}
	switch n.Kind {
	case yaml.MappingNode:
		var below []*value // of <<
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			for key.Kind == yaml.AliasNode && key.Alias != nil {
				key = key.Alias
			}
			if key.Kind != yaml.ScalarNode {
				return s.fail(n.Content[i], "use a plain word", "a key is not a word")
			}
			w := s.value(n.Content[i+1], depth+1)
			if w == nil {
				return nil
			}
			if key.ShortTag() == "!!merge" {
				if w.kind == yaml.SequenceNode {
					below = append(below, w.items...)
				} else {
					below = append(below, w)
				}
				continue
			}
			if old := v.entry(key.Value); old != nil {
				return s.fail(n.Content[i], "give it another name, or remove one of them", "%s is there twice, first in line %d", key.Value, old.at.line)
			}
			v.keys = append(v.keys, entry{key.Value, s.at(n.Content[i]), w})
		}
		for _, b := range below {
			for _, e := range b.keys {
				if v.get(e.name) == nil {
					v.keys = append(v.keys, e)
				}
			}
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			w := s.value(item, depth+1)
			if w == nil {
				return nil
			}
			v.items = append(v.items, w)
		}
	case yaml.ScalarNode:
		v.node = &yaml.Node{Kind: yaml.ScalarNode, Tag: n.ShortTag(), Value: n.Value, Style: n.Style &^ (yaml.TaggedStyle | yaml.FlowStyle)}
	default:
		return s.fail(n, "write the value out", "an alias has no value")
	}
	return v
}

// entry returns the entry of a map; nil for none.
func (v *value) entry(name string) *entry {
	if v == nil {
		return nil
	}
	for i := range v.keys {
		if v.keys[i].name == name {
			return &v.keys[i]
		}
	}
	return nil
}

// get returns the value at the end of a path of keys; nil if there is none.
func (v *value) get(path ...string) *value {
	for _, name := range path {
		e := v.entry(name)
		if e == nil {
			return nil
		}
		v = e.v
	}
	return v
}

func (v *value) isNull() bool { return v.kind == yaml.ScalarNode && v.node.Tag == "!!null" }

// text is a scalar's text; empty for anything else.
func (v *value) text() string {
	if v == nil || v.kind != yaml.ScalarNode || v.isNull() {
		return ""
	}
	return v.node.Value
}

// name is the name of an item of a list; empty for none.
func (v *value) name() string { return v.get("name").text() }

// clone is a copy whose maps and lists can be changed.
func (v *value) clone() *value {
	if v == nil {
		return nil
	}
	out := *v
	out.keys, out.items = nil, nil
	for _, e := range v.keys {
		out.keys = append(out.keys, entry{e.name, e.at, e.v.clone()})
	}
	for _, i := range v.items {
		out.items = append(out.items, i.clone())
	}
	return &out
}

// set sets the value at the end of a path of keys in a map, and makes the maps that are missing
// on the way, at the place of the value.
func (v *value) set(w *value, path ...string) {
	for i, name := range path {
		e := v.entry(name)
		last := i == len(path)-1
		if e == nil {
			v.keys = append(v.keys, entry{name, w.at, newMap(w.at)})
			e = &v.keys[len(v.keys)-1]
		}
		if last {
			e.v = w
		} else if e.v.kind != yaml.MappingNode {
			e.v = newMap(w.at)
		}
		v = e.v
	}
}

func newMap(at place) *value { return &value{at: at, kind: yaml.MappingNode} }

func newText(at place, text string) *value {
	return &value{at: at, kind: yaml.ScalarNode, node: &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}}
}

func newList(at place, texts ...string) *value {
	v := &value{at: at, kind: yaml.SequenceNode}
	for _, t := range texts {
		v.items = append(v.items, newText(at, t))
	}
	return v
}

// newItem is a map of texts; pairs are names and values.
func newItem(at place, pairs ...string) *value {
	v := newMap(at)
	for i := 0; i+1 < len(pairs); i += 2 {
		v.keys = append(v.keys, entry{pairs[i], at, newText(at, pairs[i+1])})
	}
	return v
}

// yaml is the value as a file.
func (v *value) yaml() ([]byte, error) { return yamltext.Marshal(v.encode()) }

func (v *value) encode() *yaml.Node {
	switch v.kind {
	case yaml.MappingNode:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, e := range v.keys {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: e.name}, e.v.encode())
		}
		return n
	case yaml.SequenceNode:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, i := range v.items {
			n.Content = append(n.Content, i.encode())
		}
		return n
	}
	return v.node
}
