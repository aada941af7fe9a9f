package config

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// source finds scalars again in the text they were read from. The YAML library gives where a node
// begins and not where it ends.
type source struct {
	data  []byte
	lines []int // offsets at which the library's lines begin
}

func newSource(data []byte) *source {
	s := &source{data: data}
	i := 0
	if bytes.HasPrefix(data, []byte("\ufeff")) {
		i = 3
	}
	s.lines = []int{i}
	for i < len(data) {
		r, n := utf8.DecodeRune(data[i:])
		i += n
		if r == '\r' && i < len(data) && data[i] == '\n' {
			continue
		}
		if r == '\n' || r == '\r' || r == '\u0085' || r == '\u2028' || r == '\u2029' {
			s.lines = append(s.lines, i)
		}
	}
	return s
}

// offset returns the byte at a 1-based line and character.
func (s *source) offset(line, col int) (int, bool) {
	if line < 1 || line > len(s.lines) {
		return 0, false
	}
	i := s.lines[line-1]
	for ; col > 1; col-- {
		_, n := utf8.DecodeRune(s.data[i:])
		i += n
	}
	return i, i < len(s.data)
}

// scalar returns the range of a scalar with its quotes or block indicator, and the ranges of its
// content: one a line, without the quotes and the indentation. ok is false for forms that are not
// understood.
func (s *source) scalar(n *yaml.Node) (whole Span, content []Span, ok bool) {
	i, ok := s.offset(n.Line, n.Column)
	if !ok {
		return Span{}, nil, false
	}
	for i < len(s.data) && (s.data[i] == '&' || s.data[i] == '!') { // anchor and tag
		for i < len(s.data) && !isBlank(s.data[i]) {
			i++
		}
		for i < len(s.data) && isBlank(s.data[i]) {
			i++
		}
	}
	if i >= len(s.data) {
		return Span{}, nil, false
	}
	switch s.data[i] {
	case '\'', '"':
		return s.quoted(i)
	case '|', '>':
		return s.block(i)
	}
	return s.plain(i, n.Value)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func (s *source) quoted(start int) (whole Span, content []Span, ok bool) {
	quote := s.data[start]
	for i := start + 1; i < len(s.data); i++ {
		switch {
		case quote == '"' && s.data[i] == '\\':
			i++
		case quote == '\'' && s.data[i] == '\'' && i+1 < len(s.data) && s.data[i+1] == '\'':
			i++
		case s.data[i] == quote:
			return Span{start, i + 1}, s.byLine(start+1, i, false), true
		}
	}
	return Span{}, nil, false
}

// block finds the end of a literal or folded scalar: the first line that is indented less than its
// first one.
func (s *source) block(start int) (whole Span, content []Span, ok bool) {
	head := bytes.IndexByte(s.data[start:], '\n')
	if head < 0 {
		return Span{}, nil, false
	}
	first := start + head + 1
	indent, end := -1, first
	for i := first; i < len(s.data); {
		n := bytes.IndexByte(s.data[i:], '\n') + 1
		if n == 0 {
			n = len(s.data) - i
		}
		line := strings.TrimRight(string(s.data[i:i+n]), "\r\n")
		text := strings.TrimLeft(line, " ")
		if text != "" {
			if indent < 0 {
				indent = len(line) - len(text)
			}
			if len(line)-len(text) < indent || indent == 0 {
				break
			}
			end = i + len(line)
		}
		i += n
	}
	if end == first {
		return Span{}, nil, false
	}
	return Span{start, end}, s.byLine(first, end, true), true
}

// plain walks the text along the value: white space in the one matches white space in the other.
func (s *source) plain(start int, value string) (whole Span, content []Span, ok bool) {
	i := start
	for _, word := range strings.FieldsFunc(value, unicode.IsSpace) {
		for i < len(s.data) && isBlank(s.data[i]) {
			i++
		}
		if !bytes.HasPrefix(s.data[i:], []byte(word)) {
			return Span{}, nil, false
		}
		i += len(word)
	}
	return Span{start, i}, s.byLine(start, i, false), i > start
}

// byLine cuts a range at line ends and takes the indentation off each line but the first, which has
// none unless indented is set.
func (s *source) byLine(start, end int, indented bool) []Span {
	var out []Span
	for i := start; i < end; {
		n := bytes.IndexByte(s.data[i:end], '\n')
		next := i + n + 1
		if n < 0 {
			n, next = end-i, end
		}
		a, b := i, i+n
		for (indented || i > start) && a < b && (s.data[a] == ' ' || s.data[a] == '\t') {
			a++
		}
		for b > a && s.data[b-1] == '\r' {
			b--
		}
		if a < b {
			out = append(out, Span{a, b})
		}
		i = next
	}
	return out
}
