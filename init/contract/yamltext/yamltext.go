// Package yamltext writes YAML that every reader takes back as it was.
//
// yaml.v3 (3.0.1) writes a text of several lines as a block. Of one that begins with a line break
// it loses that break; one that begins with a tab no reader takes, its own included. Node.Encode
// goes the same way. Such texts are written between quotes here.
package yamltext

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Marshal is yaml.Marshal for any value.
func Marshal(v any) ([]byte, error) {
	n, err := Node(v)
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(n)
}

// Node returns v, which may be a node itself, as a node to be encoded. v is not changed.
func Node(v any) (*yaml.Node, error) {
	if n, ok := v.(*yaml.Node); ok {
		return quoted(n, nil), nil
	}
	var texts []string
	n := &yaml.Node{}
	if v != nil {
		v = marked(reflect.ValueOf(v), &texts).Interface()
	}
	if err := n.Encode(v); err != nil {
		return nil, err
	}
	return quoted(n, texts), nil
}

func risky(s string) bool { return strings.Contains(s, "\n") && blank(s) }

// blank reports whether a text begins with white space, of which Unicode has several line breaks.
func blank(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsSpace(r) || r == '\ufeff'
}

// mark is in the place of a risky text while a value is made a node: letters for private use
// around its number.
func mark(i int) string { return fmt.Sprintf("\ue0f1%d\ue0f2", i) }

// marked is a copy of v with marks, and their meaning added to texts.
func marked(v reflect.Value, texts *[]string) reflect.Value {
	out := v
	switch v.Kind() {
	case reflect.String:
		if risky(v.String()) {
			out = reflect.New(v.Type()).Elem()
			out.SetString(mark(len(*texts)))
			*texts = append(*texts, v.String())
		}
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			break
		}
		inner := marked(v.Elem(), texts)
		if out = reflect.New(v.Type()).Elem(); v.Kind() == reflect.Pointer {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(inner)
		} else {
			out.Set(inner)
		}
	case reflect.Struct:
		out = reflect.New(v.Type()).Elem()
		out.Set(v)
		for i := range v.NumField() {
			if out.Field(i).CanSet() {
				out.Field(i).Set(marked(v.Field(i), texts))
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.IsNil() {
			break
		}
		if out = reflect.New(v.Type()).Elem(); v.Kind() == reflect.Slice {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		}
		for i := range v.Len() {
			out.Index(i).Set(marked(v.Index(i), texts))
		}
	case reflect.Map:
		if v.IsNil() {
			break
		}
		out = reflect.MakeMapWithSize(v.Type(), v.Len())
		for it := v.MapRange(); it.Next(); {
			out.SetMapIndex(marked(it.Key(), texts), marked(it.Value(), texts))
		}
	}
	return out
}

// quoted is a copy of n with the texts in the place of their marks, and risky texts quoted.
func quoted(n *yaml.Node, texts []string) *yaml.Node {
	c := *n
	var i int
	if k, err := fmt.Sscanf(n.Value, "\ue0f1%d\ue0f2", &i); k == 1 && err == nil && i < len(texts) && n.Value == mark(i) {
		c.Value = texts[i]
	}
	const block = yaml.LiteralStyle | yaml.FoldedStyle
	if n.Kind == yaml.ScalarNode && (risky(c.Value) || c.Style&block != 0 && blank(c.Value)) {
		c.Style = c.Style&yaml.TaggedStyle | yaml.DoubleQuotedStyle
	}
	if c.Style&yaml.FoldedStyle != 0 { // its line breaks would come out doubled
		c.Style = c.Style&^yaml.FoldedStyle | yaml.LiteralStyle
	}
	c.Content = nil
	for _, child := range n.Content {
		c.Content = append(c.Content, quoted(child, texts))
	}
	return &c
}
