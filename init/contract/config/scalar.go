package config

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// text returns the literal text of a scalar: `hostname: 2020-01-01`, `permissions: 0644` and a
// passphrase of digits mean what they show. Only !!binary is decoded.
func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	d.odd(n, path)
	if n.ShortTag() != "!!binary" || blanked(n.Value) {
		return n.Value, true
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
	if err != nil {
		d.found.add(d.at(n), Error, path, "encode it again", "this is not base64: %v; it is left out", err)
		return "", false
	}
	return string(raw), true
}

// odd reports what YAML or a word processor made of a text that was meant literally.
func (d *decoder) odd(n *yaml.Node, path string) {
	const quotes = "\u201c\u201d\u201e\u2018\u2019\u201a"
	switch first, _ := utf8.DecodeRuneInString(n.Value); {
	case n.Style&yaml.TaggedStyle != 0 && !strings.HasPrefix(n.Tag, "!!") && !strings.HasPrefix(n.Tag, "tag:yaml.org"):
		d.found.add(d.at(n), Warning, path, "put the whole value into quotes", "a leading ! is a mark of YAML's, not a part of the value")
	case n.Style == 0 && n.Value != "" && strings.ContainsRune(quotes, first):
		d.found.add(d.at(n), Warning, path, "write straight quotes, ' or \"", "the curved quotes are part of the value")
	}
}

// mapText returns the text of an entry of labels, sysctls or environment. YAML 1.1's words for true
// and false become true and false as they did in k3OS, because pods select nodes by such labels.
// Numbers keep their digits: k3OS sent them through floating point, which was a bug, but a value
// that it changed is pointed out.
func (d *decoder) mapText(n *yaml.Node, path string) (string, bool) {
	t, ok := d.text(n, path)
	if !ok || d.literal || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 || n.ShortTag() == "!!binary" {
		return t, ok
	}
	if isNull(n) {
		return "", true
	}
	if b, isBool := boolWord(t); isBool {
		word := strconv.FormatBool(b)
		if t != word {
			d.found.add(d.at(n), Note, path, fmt.Sprintf("write %s, or %q in quotes", word, t), "read as %s, as k3OS did", word)
		}
		return word, true
	}
	if was := k3osNumber(t); was != t {
		d.found.add(d.at(n), Note, path, fmt.Sprintf("write %s if that is what you mean", was), "taken literally; k3OS made %s of it", was)
	}
	return t, true
}

// Truth is the one reader of true and false, for our own keys and for those of other systems: YAML
// 1.1's words in any case, and 1 and 0. known is false for anything else; code that grants a right
// by such a value takes that as false.
func Truth(text string) (value, known bool) {
	text = strings.TrimSpace(text)
	if text == "1" || text == "0" {
		return text == "1", true
	}
	return boolWord(text)
}

// boolWord reads YAML 1.1's words for true and false. Numbers are none: in a map of texts they are
// meant literally.
func boolWord(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "y":
		return true, true
	case "false", "no", "off", "n":
		return false, true
	}
	return false, false
}

// k3osNumber returns the text k3OS made of a plain number that YAML 1.1 writes in another way than
// people do: octal, underscores, a fraction that ends in 0. Plain large integers, which it turned
// into 1e+06, are not meant by this.
func k3osNumber(s string) string {
	plain := strings.ReplaceAll(s, "_", "")
	if plain == "" || strings.Trim(plain, "0123456789+-.eExXoObBaAcCdDfF") != "" {
		return s
	}
	if i, err := strconv.ParseInt(strings.TrimPrefix(plain, "+"), 0, 64); err == nil {
		return strconv.FormatInt(i, 10)
	}
	if f, err := strconv.ParseFloat(plain, 64); err == nil && strings.ContainsAny(plain, ".eE") && strings.ContainsAny(plain[:1], "+-.0123456789") {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return s
}

// scalar decodes a Text, Bool or Int.
func (d *decoder) scalar(n *yaml.Node, k *Key, path string) *value {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 1 && k.Type == Text { // [a] for a: the intent is plain
		inner, leave := d.enter(n.Content[0])
		defer leave()
		if inner == nil {
			return nil
		}
		if inner.Kind == yaml.ScalarNode && !isNull(inner) {
			d.found.add(d.at(n), Note, path, "take the brackets or the dash away", "a list of one is read as its text")
			n = inner
		}
	}
	if n.Kind != yaml.ScalarNode {
		return d.mismatch(n, k, path)
	}
	t, ok := d.text(n, path)
	if !ok {
		return nil
	}
	if k.Secret && d.secret(n, path) {
		return &value{kind: moved, at: d.at(n)}
	}
	fixed, why := canonical(k, t)
	if why != "" {
		d.found.add(d.at(n), Error, path, fixValue(k, t), "%s; it is left out", why)
		return nil
	}
	if k.Type == Bool && n.ShortTag() == "!!str" && fixed == "true" && t != "true" && n.Style != 0 && strings.HasPrefix(path, "k3os.") {
		d.found.add(d.at(n), Note, path, "write true or false without quotes", "read as true; k3OS read this text as false")
	}
	return &value{kind: scalar, at: d.at(n), text: fixed, tag: n.ShortTag()}
}

// canonical brings a scalar to the form that fill expects, or returns why it is not a value of k.
func canonical(k *Key, t string) (fixed, why string) {
	switch k.Type {
	case Bool:
		b, ok := Truth(t)
		if !ok {
			return "", fmt.Sprintf("%s is neither true nor false", quote(t))
		}
		return strconv.FormatBool(b), ""
	case Int:
		i, err := strconv.ParseInt(strings.TrimSpace(t), 10, 32)
		if err != nil {
			return "", fmt.Sprintf("%s is not a whole number", quote(t))
		}
		if k.Max != 0 && (i < int64(k.Min) || i > int64(k.Max)) {
			return "", fmt.Sprintf("%d is not a number from %d to %d", i, k.Min, k.Max)
		}
		return strconv.FormatInt(i, 10), ""
	}
	if k.Secret {
		return t, ""
	}
	if k.Form == Address || k.Form == Prefix || k.Form == Own || k.Form == MAC || k.Form == Country {
		return netForm(k.Form, t)
	}
	switch k.Form {
	case Mode:
		m := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(t), "0o"), "0O")
		if v, err := strconv.ParseUint(m, 8, 16); err != nil || v > 0o7777 {
			return "", fmt.Sprintf("%s are not octal permissions", quote(t))
		}
		return m, ""
	case Duration:
		v, ok := parseDuration(t)
		if !ok {
			return "", fmt.Sprintf("%s is not a length of time", quote(t))
		}
		return v.String(), ""
	case Size:
		v, ok := parseSize(t)
		if !ok {
			return "", fmt.Sprintf("%s is not a number of bytes", quote(t))
		}
		return strconv.FormatInt(v, 10), ""
	case AutoSize:
		return autoSize(t)
	}
	if len(k.Values) > 0 {
		for _, v := range k.Values {
			if strings.EqualFold(v, strings.TrimSpace(t)) {
				return v, ""
			}
		}
		return "", fmt.Sprintf("%s is none of %s", quote(t), wordList(k.Values))
	}
	return t, ""
}

func fixValue(k *Key, t string) string {
	if len(k.Values) > 0 {
		if near := NearestWord(t, k.Values); near != "" {
			return fmt.Sprintf("did you mean %s?", near)
		}
		return "write one of them"
	}
	if k.Type == Bool {
		return "write true or false"
	}
	return fmt.Sprintf("write it like %s: %s", k.name, k.Example)
}

func wordList(words []string) string {
	var out []string
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	return strings.Join(out, ", ")
}

// parseDuration reads Go's form (90s, 1h30m) or a bare number of seconds; nothing negative, nothing
// over a year.
func parseDuration(t string) (time.Duration, bool) {
	t = strings.TrimSpace(t)
	if n, err := strconv.ParseUint(t, 10, 32); err == nil {
		t = strconv.FormatUint(n, 10) + "s"
	}
	v, err := time.ParseDuration(t)
	return v, err == nil && v >= 0 && v <= 366*24*time.Hour
}

// autoSize reads auto, a word for false or a number of bytes.
func autoSize(t string) (string, string) {
	word := strings.ToLower(strings.TrimSpace(t))
	if on, known := Truth(word); word == "auto" || word == "off" || known && !on && word != "0" {
		if word != "auto" {
			word = "off"
		}
		return word, ""
	}
	v, ok := parseSize(t)
	if !ok {
		return "", fmt.Sprintf("%s is neither a number of bytes nor auto nor off", quote(t))
	}
	return strconv.FormatInt(v, 10), ""
}

// parseSize reads bytes with an optional K, M, G or T (powers of 1024; a trailing B, iB is
// allowed).
func parseSize(t string) (int64, bool) {
	t = strings.ToUpper(strings.TrimSpace(t))
	t = strings.TrimSuffix(strings.TrimSuffix(t, "B"), "I")
	shift := 0
	if n := len(t); n > 0 {
		if i := strings.IndexByte("KMGT", t[n-1]); i >= 0 {
			shift, t = 10*(i+1), strings.TrimSpace(t[:n-1])
		}
	}
	v, err := strconv.ParseInt(t, 10, 64)
	return v << shift, err == nil && v >= 0 && v <= (1<<62)>>shift
}
