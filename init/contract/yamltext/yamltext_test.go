package yamltext

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	old "gopkg.in/yaml.v2"
	"gopkg.in/yaml.v3"
)

// What is written is read back as it was by both generations of the reader, at every depth, also
// from a node that somebody wrote as a block.
func TestReadBack(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 15))
	fixed := []string{"", "\n", "\nx", "\n\nx", "\n x", "\tx\ny", " x\ny", "x\n", "x\n\n", "x\n ", "a\r\nb", "yes", "010", "1e3", "~", "#a\nb", "---\na", "a\n...\n", "- a\nb", "a: b\nc", "\u0085a\nb", "\ufeffa\nb", "a\x00b", "x\n\ty"}
	letters := []rune("ab01 -.:#'\"\\{}[]&*!|>%@`,?~\t\n\r\u00e4\u2028\x07")
	text := func() string {
		if r.IntN(2) == 0 {
			return fixed[r.IntN(len(fixed))]
		}
		var b strings.Builder
		for range r.IntN(30) {
			b.WriteRune(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	for range 2000 {
		v := map[string]any{"a": text(), "b": map[string]any{"c": text(), "d": []any{text(), text()}}}
		want := fmt.Sprintf("%#v", v)
		data, err := Marshal(v)
		if err != nil {
			t.Fatalf("%v of %s", err, want)
		}
		var got map[string]any
		if err := yaml.Unmarshal(data, &got); err != nil || fmt.Sprintf("%#v", got) != want {
			t.Errorf("%v: got %#v, want %s of\n%s", err, got, want, data)
		}
		var flat map[string]string
		s := text()
		if data, err = Marshal(map[string]string{"k": s}); err != nil {
			t.Fatal(err)
		}
		if err := old.Unmarshal(data, &flat); err != nil || flat["k"] != s {
			t.Errorf("%v: yaml.v2 reads %q, want %q of\n%s", err, flat["k"], s, data)
		}
		block := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
			{Kind: yaml.ScalarNode, Value: "k"}, {Kind: yaml.ScalarNode, Tag: "!!str", Style: []yaml.Style{0, yaml.LiteralStyle, yaml.FoldedStyle, yaml.DoubleQuotedStyle}[r.IntN(4)], Value: s}}}
		style := block.Content[1].Style
		if data, err = Marshal(block); err != nil {
			t.Fatal(err)
		}
		flat = nil
		if err := yaml.Unmarshal(data, &flat); err != nil || flat["k"] != s || block.Content[1].Style != style {
			t.Errorf("%v: a block is read as %q, want %q of\n%s", err, flat["k"], s, data)
		}
	}
}
