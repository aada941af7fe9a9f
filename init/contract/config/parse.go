package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// MaxSize is the largest configuration that is read, in bytes.
const MaxSize = 1 << 20

// Bounds of what aliases may unfold to, and of how deep values may nest: a 1 KiB file must not fill
// a 512 MB node.
const (
	maxUnfolded      = 10000   // values reached through aliases
	maxUnfoldedBytes = 4 << 20 // text reached through aliases
	maxDepth         = 64
)

// Parse reads one source of YAML. file is the name that problems carry. The layer is never nil. A
// Fatal problem means that the text as a whole is not a configuration; the layer then holds the
// top-level keys that could still be read on their own, which is enough to reach a node whose only
// configuration is broken.
//
// The file's name gives its format: cloud-init's user-data, network-config and meta-data are read
// as such.
func Parse(file string, data []byte) (*Layer, []Problem) { return ParseAs(FormatOf(file), file, data) }

// ParseAs is Parse for a source whose name does not give its format.
func ParseAs(format Format, file string, data []byte) (*Layer, []Problem) {
	d := &decoder{file: file, format: format, lines: lineLengths(data)}
	d.found.doubts = doubtful(data)
	layer := &Layer{Name: file, Unseen: format != Native}
	if by := packedWith(data); by != "" {
		d.fatal(place{file: file}, "unpack it and write the plain text", "the file is compressed with %s and is not read", by)
		return layer, d.found.sorted()
	}
	if format == UserData && len(data) <= MaxSize && !isWide(data) {
		if isScript(data) {
			layer.root = script(file, data)
			return layer, nil
		}
		if word := notOurs(data); word != "" {
			d.fatal(place{file, 1, 1}, "write plain YAML that begins with #cloud-config", "user-data that begins with %q is not read", word)
			return layer, d.found.sorted()
		}
	}
	doc, ok := d.document(data)
	if doc != nil {
		layer.root = d.top(doc)
	}
	if !ok && doc == nil || d.exhausted {
		layer.root = d.salvage(data)
	}
	return layer, d.found.sorted()
}

// document returns the root node of the first document, nil for an empty one. ok is false after a
// fatal problem.
func (d *decoder) document(data []byte) (doc *yaml.Node, ok bool) {
	switch {
	case len(data) > MaxSize:
		d.fatal(place{file: d.file}, "remove what does not belong into a configuration",
			"the file has %d bytes, more than the %d that are read", len(data), MaxSize)
		return nil, false
	case isWide(data):
		d.fatal(place{d.file, 1, 1}, "save it as UTF-8", "the file is encoded as UTF-16")
		return nil, false
	}
	docs, err := readYAML(data, 2)
	if len(docs) == 0 && err == nil {
		return nil, true
	}
	if len(docs) == 0 {
		at, message := d.syntax(data, err)
		d.fatal(at, fixSyntax(data, at, message), "this is not YAML: %s", message)
		return nil, false
	}
	if len(docs) > 1 || err != nil {
		at := secondDocument(d, docs, data)
		d.found.add(at, Warning, "", "put everything above the line ---", "only the first document of a file is read")
	}
	if len(docs[0].Content) == 0 {
		return nil, true
	}
	return docs[0].Content[0], true
}

func secondDocument(d *decoder, docs []*yaml.Node, data []byte) place {
	if len(docs) > 1 {
		return d.at(docs[1])
	}
	return d.clamp(place{d.file, 1 + bytes.Count(data, []byte("\n")), 1})
}

// readYAML reads up to n documents. The library panics on some malformed input; a configuration
// must never take PID 1 down, so that a panic is an error like any other.
func readYAML(data []byte, n int) (docs []*yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for len(docs) < n {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return docs, err
		}
		docs = append(docs, &doc)
	}
	return docs, nil
}

var (
	yamlLine   = pattern{text: `line (\d+): `}
	anchorName = pattern{text: `unknown anchor '(.*)' referenced`}
)

// syntax takes the library's message apart. It knows a line only; the column is the first character
// on it.
func (d *decoder) syntax(data []byte, err error) (place, string) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	word := ""
	if m := anchorName.compiled().FindStringSubmatch(message); m != nil { // it may be a token that begins with *
		word, message = m[1], "unknown anchor referenced"
	}
	at := place{d.file, 1, 1}
	if m := yamlLine.compiled().FindStringSubmatchIndex(message); m != nil {
		at.line, _ = strconv.Atoi(message[m[2]:m[3]])
		message = message[:m[0]] + message[m[1]:]
	}
	if line := culprit(data, message, word); line > 0 {
		at.line = line
	}
	at = d.clamp(at)
	if text := nthLine(data, at.line); text != "" {
		blank := len(text) - len(strings.TrimLeft(text, " \t"))
		at.col = blank + 1
	}
	return d.clamp(at), message
}

// culprit finds the line of what the library complains about without one: an anchor that does not
// exist, a byte that is not text. 0 means that it is not to be found.
func culprit(data []byte, message, anchor string) int {
	at := -1
	if anchor != "" {
		at = bytes.Index(data, []byte("*"+anchor))
	} else if strings.Contains(message, "control characters") || strings.Contains(message, "UTF-8") {
		for i := 0; i < len(data) && at < 0; {
			r, n := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && n == 1 || r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f {
				at = i
			}
			i += n
		}
	}
	if at < 0 {
		return 0
	}
	return 1 + bytes.Count(data[:at], []byte("\n"))
}

// fixSyntax recognises the usual mistakes.
func fixSyntax(data []byte, at place, message string) string {
	for n := max(1, at.line-1); n <= at.line+1; n++ {
		text := nthLine(data, n)
		indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
		if strings.Contains(indent, "\t") {
			return fmt.Sprintf("replace the tab at the start of line %d by spaces", n)
		}
	}
	switch {
	case !utf8.Valid(data):
		return "save the file as UTF-8 text"
	case strings.Contains(message, "cannot start any token"), strings.Contains(message, "unknown anchor"):
		return "put a text that begins with *, @, %, ` or the like into quotes"
	case strings.Contains(message, "control characters"):
		return "take the characters out of this line that no editor shows"
	case strings.Contains(message, "mapping values are not allowed"):
		return "check the indentation, and put a text with a colon and a space into quotes"
	case strings.Contains(message, "did not find expected"), strings.Contains(message, "unexpected end of stream"):
		return "check the indentation, and that each quote and bracket is closed"
	}
	return "check this line and the one before it"
}

func nthLine(data []byte, n int) string {
	for ; n > 1; n-- {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			return ""
		}
		data = data[i+1:]
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return strings.TrimSuffix(string(line), "\r")
}

// lineLengths returns the number of characters of every line, so that no problem points outside the
// file.
func lineLengths(data []byte) []int {
	var out []int
	for _, line := range bytes.Split(data, []byte("\n")) {
		out = append(out, utf8.RuneCount(line))
	}
	return out
}

// clamp keeps a place inside the file: the library counts some Unicode separators as line ends,
// editors do not.
func (d *decoder) clamp(at place) place {
	if at.line == 0 || d.lines == nil {
		return at
	}
	at.line = min(max(at.line, 1), len(d.lines))
	at.col = min(max(at.col, 1), d.lines[at.line-1]+1)
	return at
}
