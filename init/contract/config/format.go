package config

import (
	"bytes"
	"path"
	"strings"

	"gopkg.in/yaml.v3"
)

// Format is how a source is written.
type Format uint8

// The formats. The last three are cloud-init's, as Raspberry Pi Imager and others write them.
const (
	Native        Format = iota // k3OS's keys and ours
	UserData                    // the same, and the keys of cloud-init that a node can follow; or a script
	NetworkConfig               // netplan, version 2
	MetaData                    // the identity of the machine
)

// The names of cloud-init's files.
const (
	UserDataName      = "user-data"
	NetworkConfigName = "network-config"
	MetaDataName      = "meta-data"
)

// FormatOf returns the format of a file by its name.
func FormatOf(file string) Format {
	name := strings.ToLower(path.Base(file))
	for _, end := range []string{".txt", ".yaml", ".yml"} { // on a laptop
		name = strings.TrimSuffix(name, end)
	}
	switch name {
	case UserDataName, "userdata":
		return UserData
	case NetworkConfigName:
		return NetworkConfig
	case MetaDataName:
		return MetaData
	}
	return Native
}

// ScriptPath is where a user-data that is a script is on the node, as in k3OS.
const ScriptPath = "/run/k3os/userdata"

// script returns the layer of a user-data that is a program, not YAML: it is written to
// ScriptPath and run by run_cmd.
func script(file string, data []byte) *value {
	at := place{file, 1, 1}
	text := func(t string) *value { return &value{kind: scalar, at: at, text: t, tag: "!!str"} }
	item := &value{kind: mapping, at: at}
	item.add("path", at, text(ScriptPath))
	item.add("content", at, text(string(data)))
	item.add("permissions", at, text("0700"))
	out := &value{kind: mapping, at: at}
	out.add("write_files", at, &value{kind: seq, at: at, items: []*value{item}})
	out.add("run_cmd", at, &value{kind: seq, at: at, items: []*value{text(ScriptPath)}})
	return out
}

// isScript reports whether a user-data is something that the kernel runs. k3OS ran all that has a
// NUL in it.
func isScript(data []byte) bool {
	return bytes.HasPrefix(data, []byte("#!")) || bytes.HasPrefix(data, []byte("\x7fELF"))
}

// Hollow reports whether a file has nothing in it but NULs and white space.
func Hollow(data []byte) bool {
	return len(bytes.Trim(bytes.TrimPrefix(data, []byte("\ufeff")), "\x00 \t\r\n\v\f")) == 0
}

// Empty reports a file that holds nothing. A node takes such a file on BOOT for a damaged one and
// keeps its settings, so that nobody can mean it. A meta-data may be empty, as cloud-init's often
// is.
func Empty(name string, data []byte) []Problem {
	if !Hollow(data) || path.Base(name) == MetaDataName && !bytes.ContainsRune(data, 0) {
		return nil
	}
	what := "the file is empty"
	if bytes.ContainsRune(data, 0) {
		what = "the file holds nothing but zeros"
	}
	return []Problem{{File: name, Severity: Error, Message: what + "; a node counts it as damaged and keeps the settings that it had",
		Fix: "write settings into it, or a comment for none"}}
}

// packed are the first bytes of compressed files.
var packed = [][2]string{{"\x1f\x8b", "gzip"}, {"BZh", "bzip2"}, {"\xfd7zXZ", "xz"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"PK\x03\x04", "zip"}}

// packedWith returns the program that compressed a file, "" if none did.
func packedWith(data []byte) string {
	for _, p := range packed {
		if bytes.HasPrefix(data, []byte(p[0])) {
			return p[1]
		}
	}
	return ""
}

// foreign are the first words of user-data that cloud-init knows and a node does not.
var foreign = []string{"#include", "#cloud-boothook", "#part-handler", "#cloud-config-archive", "#cloud-config-jsonp", "## template:", "Content-Type:", "MIME-Version:"}

// notOurs returns the first word by which a user-data is of a kind that is not read.
func notOurs(data []byte) string {
	for _, word := range foreign {
		if len(data) >= len(word) && strings.EqualFold(string(data[:len(word)]), word) {
			return word
		}
	}
	return ""
}

// native brings a document of another format to the keys of the table. The nodes of values are
// those of the source, so that problems and secrets keep their places.
func (d *decoder) native(n *yaml.Node) *yaml.Node {
	t := &translator{d: d, mine: map[*yaml.Node]bool{}, out: &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}}
	switch d.format {
	case UserData:
		t.userData(n)
	case NetworkConfig:
		t.network(n)
	case MetaData:
		t.metaData(n)
	default:
		return n
	}
	return t.out
}

// translator builds the native document.
type translator struct {
	d    *decoder
	out  *yaml.Node
	mine map[*yaml.Node]bool // lists that were made here and may grow

	others []string // users of cloud-init without a login here
}

// put sets a key by its dotted path unless it is there already. name is the node of the key in the
// source.
func (t *translator) put(path string, name, v *yaml.Node) {
	at := t.out
	parts := strings.Split(path, ".")
	for i, part := range parts {
		here := child(at, part)
		if i == len(parts)-1 {
			if here == nil {
				at.Content = append(at.Content, word(part, name), v)
			}
			return
		}
		if here == nil {
			here = &yaml.Node{Kind: yaml.MappingNode, Line: name.Line, Column: name.Column}
			at.Content = append(at.Content, word(part, name), here)
		}
		if here = resolve(here); here.Kind != yaml.MappingNode {
			return // the decoder reports what is wrong with it
		}
		at = here
	}
}

// extend appends items to a list that is there already.
func (t *translator) extend(path string, name *yaml.Node, items ...*yaml.Node) {
	if len(items) == 0 {
		return
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Line: name.Line, Column: name.Column, Content: append([]*yaml.Node(nil), items...)}
	parts := strings.Split(path, ".")
	at := t.out
	for _, part := range parts {
		if at = child(at, part); at == nil {
			t.put(path, name, list)
			t.mine[list] = true
			return
		}
		at = resolve(at)
	}
	if t.mine[at] {
		at.Content = append(at.Content, items...)
		return
	}
	// The node is the source's: its list is not.
	old := at.Content
	if at.Kind == yaml.ScalarNode && !isNull(at) {
		one := *at
		old = []*yaml.Node{&one}
	}
	*at = yaml.Node{Kind: yaml.SequenceNode, Line: at.Line, Column: at.Column, Content: append(append([]*yaml.Node(nil), old...), items...)}
	t.mine[at] = true
}

func (t *translator) report(s Severity, n *yaml.Node, path, fix, format string, args ...any) {
	t.d.found.add(t.d.at(n), s, path, fix, format, args...)
}

// pairs returns the entries of a mapping with aliases resolved; nothing for anything else.
func (t *translator) pairs(n *yaml.Node, path string) []pair {
	if n = resolve(n); n.Kind != yaml.MappingNode {
		if !isNull(n) {
			t.report(Error, n, path, "", "this must be a map, not %s; it is left out", describe(n))
		}
		return nil
	}
	out := t.d.pairs(n, path)
	for i := range out {
		out[i].value = resolve(out[i].value)
	}
	return out
}

// list returns the items of a list; a single text is a list of one.
func list1(n *yaml.Node) []*yaml.Node {
	switch n = resolve(n); {
	case n.Kind == yaml.SequenceNode:
		out := make([]*yaml.Node, len(n.Content))
		for i, item := range n.Content {
			out[i] = resolve(item)
		}
		return out
	case isNull(n):
		return nil
	}
	return []*yaml.Node{n}
}

// resolve follows aliases. A chain of them ends, since an alias names an anchor above it.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

// child returns the value of a key in a mapping, whatever way the key is spelled.
func child(n *yaml.Node, name string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if fold(n.Content[i].Value) == fold(name) {
			return n.Content[i+1]
		}
	}
	return nil
}

// word makes a text in the place of at.
func word(text string, at *yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Line: at.Line, Column: at.Column}
}

// truth reads a node as true or false; null is false. known is false for what is neither.
func truth(n *yaml.Node) (value, known bool) {
	switch n = resolve(n); {
	case isNull(n):
		return false, true
	case n.Kind != yaml.ScalarNode:
		return false, false
	}
	return Truth(n.Value)
}

// isTrue reads a node as true or false; what is neither is false.
func isTrue(n *yaml.Node) bool {
	v, _ := truth(n)
	return v
}
