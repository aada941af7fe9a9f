package config

import (
	"bytes"

	"gopkg.in/yaml.v3"
)

// maxSalvaged bounds the number of keys that are tried; there are fewer in the table.
const maxSalvaged = 100

// salvage reads the top-level keys of a text that is not YAML as a whole, each on its own, so that a slip in one key
// does not cost the ssh keys and the network in the others. Keys that can be read are taken as they stand; the fatal
// problem of the whole text is already reported, so that a node that has an earlier configuration keeps that one.
func (d *decoder) salvage(data []byte) *value {
	if d.tooLarge {
		return nil
	}
	out := &value{kind: mapping, at: place{d.file, 1, 1}}
	start, line := 0, 1
	startLine, budget := 1, maxSalvaged
	take := func(end int) {
		name, _, _ := bytes.Cut(data[start:min(end, start+64)], []byte(":"))
		if budget == 0 || !d.known(string(bytes.Trim(name, "\ufeff'\" "))) {
			return
		}
		budget--
		if nodes, err := readYAML(data[start:end], 1); err == nil && len(nodes) == 1 && len(nodes[0].Content) == 1 &&
			nodes[0].Content[0].Kind == yaml.MappingNode {
			sub := &decoder{file: d.file, format: d.format, lines: d.lines, shift: startLine - 1}
			if v := sub.top(nodes[0].Content[0]); v != nil && !sub.exhausted {
				for _, e := range v.entries {
					out.set(e.name, e.at, e.v)
				}
			}
		}
	}
	for i := 0; i < len(data); {
		n := bytes.IndexByte(data[i:], '\n') + 1
		if n == 0 {
			n = len(data) - i
		}
		if c := data[i]; i > start && c != ' ' && c != '\t' && c != '#' && c != '\n' && c != '\r' && c != '-' && c != '}' && c != ']' {
			take(i)
			start, startLine = i, line
		}
		i, line = i+n, line+1
	}
	take(len(data))
	if len(out.entries) == 0 {
		return nil
	}
	return out
}

// known tells whether a top-level key is worth reading on its own.
func (d *decoder) known(name string) bool {
	return root().find(name) != nil ||
		d.format == UserData && contains([]string{"users", "user", "timezone", "password"}, name) ||
		d.format == NetworkConfig && contains([]string{"network", "ethernets", "wifis"}, name)
}
