package config

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// CmdlineName is the file name of problems in the kernel command line; their column is the byte in
// that line.
const CmdlineName = "/proc/cmdline"

// control are words on the command line that look like keys and are none: k3OS's modes, what
// boot.scr passes, and what PID 1 reads there before it has a configuration. shelf.board is both:
// the boot loader knows better than the image on which board it runs.
var control = []string{
	"k3os.mode", "k3os.fallback_mode", "k3os.debug",
	"shelf.disk", "shelf.slot", "shelf.trial", "shelf.left", "shelf.last", "shelf.rescue", "shelf.watchdog", "shelf.test",
}

// CmdlineLayer reads the configuration in a kernel command line, as k3OS documented it: any key as
// a dotted path, `k3os.token=x`; an entry of a map as `k3os.sysctls[kernel.printk]="4 4 1 7"` or
// `k3os.labels.region=eu`; a key that is repeated makes a list. A key alone means true. Quotes may
// enclose the value or the whole word. Words of others are left alone; a wrong word below `k3os.`
// or `shelf.` is reported.
func CmdlineLayer(cmdline string) (*Layer, []Problem) {
	if len(cmdline) > MaxSize {
		cmdline = cmdline[:MaxSize]
	}
	d := &decoder{file: CmdlineName, literal: true}
	tree := &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}
	for _, w := range cmdlineWords(cmdline) {
		d.word(tree, w)
	}
	return &Layer{Name: CmdlineName, Unseen: true, root: d.value(tree, root(), "")}, d.found.sorted()
}

type cmdWord struct {
	text string // without the quotes
	col  int    // 1-based byte
}

// cmdlineWords splits as the kernel does: blanks outside double quotes. There is no escape.
func cmdlineWords(line string) []cmdWord {
	var out []cmdWord
	var b strings.Builder
	start, quoted := -1, false
	for i := 0; i <= len(line); i++ {
		if i == len(line) || !quoted && strings.IndexByte(" \t\r\n", line[i]) >= 0 {
			if start >= 0 {
				out = append(out, cmdWord{b.String(), start + 1})
			}
			b.Reset()
			start = -1
			continue
		}
		if start < 0 {
			start = i
		}
		if line[i] == '"' {
			quoted = !quoted
			continue
		}
		b.WriteByte(line[i])
	}
	return out
}

// word adds one word to the tree of nodes that the decoder for files then reads.
func (d *decoder) word(tree *yaml.Node, w cmdWord) {
	path, bracket, text, bare := cutWord(w.text)
	if path == "" || contains(control, path) {
		return
	}
	names := strings.Split(path, ".")
	top := root().find(names[0])
	if top == nil || top.Type != Texts && top.Type != Text && len(names) == 1 && top.name != "k3os" {
		return // a parameter of the kernel or of a module
	}
	at := place{d.file, 1, w.col}
	leaf := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Line: 1, Column: w.col}
	if bare {
		leaf.Value = "true"
	}
	k, node := root(), tree
	for i, name := range names {
		child := k.find(name)
		if k.Type == TextMap || k.Type == Free {
			bracket, names = strings.Join(names[i:], "."), names[:i]
			break
		}
		if k.Type == Named && name != "" { // services.NAME.key
			node = d.child(node, name, w.col)
			section := *k
			section.Type = Section
			k = &section
			continue
		}
		if child == nil {
			d.unknown(&yaml.Node{Kind: yaml.ScalarNode, Value: name, Line: 1, Column: w.col}, k, strings.Join(names[:i+1], "."))
			return
		}
		if k.Type == Items { // a repeated key begins the next item
			if n := len(node.Content); n == 0 || i == len(names)-1 && lookup(node.Content[n-1], child.name) != nil {
				node.Content = append(node.Content, &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: w.col})
			}
			node = node.Content[len(node.Content)-1]
		}
		k = child
		if i == len(names)-1 && bracket != "" && k.Type != TextMap && k.Type != Free {
			d.found.add(at, Error, path, fixShape(k), "%s takes no name in brackets; the word is left out", article(k.Type))
			return
		}
		if i == len(names)-1 && bracket == "" {
			d.put(node, k, leaf, strings.Join(names, "."))
			return
		}
		node = d.child(node, k.name, w.col)
		if k.Type == Items && node.Kind == yaml.MappingNode && len(node.Content) == 0 {
			node.Kind = yaml.SequenceNode
		}
	}
	if bracket == "" {
		d.found.add(at, Error, path, "give one of its keys", "this must be a section, not a text; it is left out")
		return
	}
	d.put(node, &Key{name: bracket}, leaf, join(strings.Join(names, "."), bracket))
}

// cutWord takes a word apart: path, the name in brackets, the value. bare means that there was no
// =.
func cutWord(w string) (path, bracket, text string, bare bool) {
	eq, open := strings.IndexByte(w, '='), strings.IndexByte(w, '[')
	if open > 0 && (eq < 0 || open < eq) {
		if end := strings.IndexByte(w[open:], ']'); end > 1 {
			rest := w[open+end+1:]
			if text, ok := strings.CutPrefix(rest, "="); ok || rest == "" {
				return w[:open], w[open+1 : open+end], text, !ok
			}
		}
	}
	path, text, found := strings.Cut(w, "=")
	return path, "", text, !found
}

// put stores a leaf under its key: a repeated key of a list makes the list longer, of anything else
// the later counts.
func (d *decoder) put(node *yaml.Node, k *Key, leaf *yaml.Node, path string) {
	old := lookup(node, k.name)
	switch {
	case old == nil:
		node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: k.name, Line: 1, Column: leaf.Column}, leaf)
	case k.Type == Texts && old.Kind == yaml.ScalarNode:
		first := *old
		*old = yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{&first, leaf}, Line: 1, Column: old.Column}
	case k.Type == Texts && old.Kind == yaml.SequenceNode:
		old.Content = append(old.Content, leaf)
	case old.Kind == yaml.ScalarNode:
		d.found.add(place{d.file, 1, leaf.Column}, Warning, path, "keep one of them", "the key is there twice; the later one counts")
		*old = *leaf
	default:
		d.found.add(place{d.file, 1, leaf.Column}, Error, path, "give one of its keys", "this is %s, not a text; it is left out", article(k.Type))
	}
}

// child returns the mapping below a key, made if there is none; a text that was there is reported
// and dropped.
func (d *decoder) child(node *yaml.Node, name string, col int) *yaml.Node {
	if n := lookup(node, name); n != nil {
		if n.Kind == yaml.ScalarNode {
			d.found.add(place{d.file, 1, n.Column}, Error, name, "give one of its keys", "this must be a section, not %s; it is left out", describe(n))
			*n = yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: col}
		}
		return n
	}
	n := &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: col}
	node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name, Line: 1, Column: col}, n)
	return n
}

func lookup(node *yaml.Node, name string) *yaml.Node {
	for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}
