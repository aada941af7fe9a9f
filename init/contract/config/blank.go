package config

import (
	"bytes"
	"sort"
	"strings"

	"imgbuild/init/contract/fault"

	"gopkg.in/yaml.v3"
)

// Span is a range of bytes, End not included.
type Span struct{ Start, End int }

// blankLength is the shortest text that counts as blanked. A shorter secret is none, and `token: x`
// is an example.
const blankLength = 4

// blanked reports whether a text is what Blank leaves of a secret: only the letter x, and white
// space at line ends.
func blanked(t string) bool {
	return strings.Count(t, "x") >= blankLength && strings.Trim(t, "x \t\r\n") == ""
}

// secret is a scalar that holds, or held, a secret.
type secret struct {
	path  string
	node  *yaml.Node
	moved bool // it is blanked already
}

// secret notes a secret and reports whether it is blanked.
func (d *decoder) secret(n *yaml.Node, path string) bool {
	s := secret{path, n, blanked(n.Value)}
	d.secrets = append(d.secrets, s)
	return s.moved
}

// secretsOf decodes data for its secrets alone.
func secretsOf(format Format, data []byte) (*value, []secret) {
	if format == UserData && isScript(data) {
		return nil, nil
	}
	d := &decoder{format: format, lines: lineLengths(data)}
	doc, ok := d.document(data)
	if doc == nil || !ok {
		return nil, nil
	}
	v := d.top(doc)
	if d.exhausted {
		return nil, nil
	}
	return v, d.secrets
}

// FindSecrets returns the ranges of bytes that hold secrets in a configuration: passwords, tokens
// and passphrases, whatever way they are quoted, those reached by an alias and those that a later
// key overrides included. Overwriting every byte with x leaves a file of equal length and equal
// meaning, in which each secret reads as moved. The spans are sorted and do not overlap; a secret
// of several lines has one for each. A text that cannot be read, or a secret of fewer than 4 bytes,
// has none.
func FindSecrets(format Format, data []byte) []Span {
	_, secrets := secretsOf(format, data)
	src := newSource(data)
	var out []Span
	seen := map[*yaml.Node]bool{}
	for _, s := range secrets {
		if s.moved || seen[s.node] {
			continue
		}
		seen[s.node] = true
		if _, spans, ok := src.scalar(s.node); ok && total(spans) >= blankLength {
			out = append(out, spans...)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Start < out[j].Start })
	return out
}

func total(spans []Span) int {
	n := 0
	for _, s := range spans {
		n += s.End - s.Start
	}
	return n
}

// Blank returns data with every secret overwritten by x, of the same length, and proves that
// nothing else changed: the result parses to the same configuration, in which the secrets read as
// moved. changed is false when there was nothing to blank. The error is of kind fault.Input and
// names the secret that cannot be blanked in place.
func Blank(format Format, data []byte) (out []byte, changed bool, err error) {
	spans := FindSecrets(format, data)
	out = bytes.Clone(data)
	for _, s := range spans {
		for i := s.Start; i < s.End; i++ {
			out[i] = 'x'
		}
	}
	before, secrets := secretsOf(format, data)
	after, left := secretsOf(format, out)
	for _, s := range left {
		if len(s.node.Value) > 0 && !s.moved {
			return nil, false, fault.New(fault.Input, "write a secret of 4 or more letters, in quotes, on the line of its key",
				"%s in line %d cannot be blanked in place", s.path, s.node.Line)
		}
	}
	if len(left) != len(secrets) || !sameButMoved(before, after) {
		return nil, false, fault.New(fault.Input, "write each secret on the line of its key, without an anchor", "the secrets cannot be blanked without changing something else")
	}
	return out, len(spans) > 0, nil
}

// sameButMoved reports whether b is a with some secrets moved.
func sameButMoved(a, b *value) bool {
	if a == nil || b == nil {
		return a == b
	}
	if b.kind == moved && (a.kind == scalar || a.kind == moved) {
		return true
	}
	if a.kind != b.kind || a.text != b.text || len(a.items) != len(b.items) || len(a.entries) != len(b.entries) {
		return false
	}
	for i := range a.items {
		if !sameButMoved(a.items[i], b.items[i]) {
			return false
		}
	}
	for i := range a.entries {
		if a.entries[i].name != b.entries[i].name || !sameButMoved(a.entries[i].v, b.entries[i].v) {
			return false
		}
	}
	return true
}
