package config

import (
	"bytes"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxSalvaged bounds the number of keys that are tried; a real file has fewer.
const maxSalvaged = 100

// salvage reads the top-level keys of a text that cannot be read as a whole, each on its own, so
// that a mistake in one key does not cost the ssh keys and the network in the others. Keys that can
// be read are taken as they are; the fatal problem of the whole text is already reported, so that a
// node that has an earlier configuration keeps that one. Of a text that is too long its first part
// counts.
func (d *decoder) salvage(data []byte) *value {
	data = data[:min(len(data), MaxSize)]
	if isWide(data) {
		data = narrow(data)
		d.lines = lineLengths(data)
	}
	out := &value{kind: mapping, at: place{d.file, 1, 1}}
	budget := maxSalvaged
	for _, c := range chunks(data) {
		k := d.known(c.name)
		if k == nil || budget == 0 {
			continue
		}
		budget--
		if d.rescue(out, c.text, c.line) || k.Type != Section {
			continue
		}
		head, body, _ := bytes.Cut(c.text, []byte("\n"))
		for _, part := range parts(body, k) { // the networks of a section survive a mistake in its token
			if budget == 0 {
				break
			}
			budget--
			d.rescue(out, slices.Concat(head, []byte("\n"), part.text), c.line+part.line-2)
		}
	}
	if len(out.entries) == 0 {
		return nil
	}
	return out
}

// rescue reads a part of the text, whose first line is the source's line, into out. Keys of a
// section that is there already are put next to its others.
func (d *decoder) rescue(out *value, text []byte, line int) bool {
	nodes, err := readYAML(text, 1)
	if err != nil || len(nodes) != 1 || len(nodes[0].Content) != 1 || nodes[0].Content[0].Kind != yaml.MappingNode {
		return false
	}
	sub := &decoder{file: d.file, format: d.format, lines: d.lines, shift: line - 1}
	v := sub.top(nodes[0].Content[0])
	if v == nil || sub.exhausted {
		return false
	}
	for _, e := range v.entries {
		if old := out.get(e.name); old != nil && old.kind == mapping && e.v.kind == mapping {
			for _, inner := range e.v.entries {
				old.set(inner.name, inner.at, inner.v)
			}
			continue
		}
		out.set(e.name, e.at, e.v)
	}
	return true
}

// chunk is a key and what is indented below it.
type chunk struct {
	name string
	text []byte
	line int // 1-based
}

// chunks cuts a text before every line that begins with a letter or a quote.
func chunks(data []byte) (out []chunk) {
	line := 1
	for start, i := 0, 0; i < len(data); {
		n := lineLength(data[i:])
		end := i + n
		if end == len(data) || !strings.ContainsRune(" \t#\n\r-}]", rune(data[end])) {
			name, _, _ := bytes.Cut(data[start:min(end, start+64)], []byte(":"))
			out = append(out, chunk{string(bytes.Trim(name, "\ufeff'\" ")), data[start:end], line})
			line += bytes.Count(data[start:end], []byte("\n"))
			start = end
		}
		i = end
	}
	return out
}

// parts cuts the body of a section before every line that begins, as its first one does or with a
// tab, with one of its keys. Lines count from 1, which is that of the section's name.
func parts(body []byte, k *Key) (out []chunk) {
	base, line := -1, 2
	for start, i := 0, 0; i < len(body); {
		end := i + lineLength(body[i:])
		text := bytes.TrimLeft(body[i:end], " \t")
		name, _, isKey := bytes.Cut(text[:min(len(text), 64)], []byte(":"))
		indent := len(body[i:end]) - len(text)
		isKey = isKey && k.find(string(bytes.Trim(name, "'\" "))) != nil
		if isKey && base < 0 {
			base = indent
		}
		if isKey && (indent == base || bytes.HasPrefix(body[i:], []byte("\t"))) {
			if i > start {
				out = append(out, chunk{text: body[start:i], line: line})
				line += bytes.Count(body[start:i], []byte("\n"))
			}
			start = i
		}
		if i = end; i == len(body) {
			out = append(out, chunk{text: body[start:], line: line})
		}
	}
	return out
}

// lineLength returns the length of the first line with its end.
func lineLength(data []byte) int {
	if n := bytes.IndexByte(data, '\n'); n >= 0 {
		return n + 1
	}
	return len(data)
}

// known returns the top-level key of a name that is worth reading on its own, or nil.
func (d *decoder) known(name string) *Key {
	if k := root().find(name); k != nil {
		return k
	}
	if d.format == UserData && contains([]string{"users", "user", "timezone", "password"}, name) ||
		d.format == NetworkConfig && contains([]string{"network", "ethernets", "wifis", "bonds", "bridges", "vlans"}, name) {
		return &Key{}
	}
	return nil
}
