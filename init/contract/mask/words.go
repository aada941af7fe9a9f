package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"sort"
	"strings"
	"unicode"
)

// Scrubber takes secrets out of text: those it was given, in the forms in which they appear, and
// what looks like one.
type Scrubber struct {
	words *strings.Replacer
	long  []string // without white space; a terminal or a file may break them into lines
}

// shortest is the length below which a word is not taken for a secret: it would be found
// everywhere. Only a word of at least wrapped bytes is looked for over line ends.
const (
	shortest = 4
	wrapped  = 12
)

// New makes a Scrubber for these secrets; those that are short or masked already are left out.
func New(secrets []string) *Scrubber {
	set, long := map[string]bool{}, map[string]bool{}
	for _, s := range secrets {
		s = strings.TrimSpace(s)
		if len(s) < shortest || strings.Trim(s, "x*") == "" {
			continue
		}
		for _, form := range spelled(s) {
			set[form] = true
		}
		if bare := squeezed(s); len(bare) >= wrapped {
			long[bare] = true
		}
	}
	out := &Scrubber{}
	var pairs []string
	// The longest first: the replacer takes the first that fits, and one secret may be the
	// beginning of another.
	for _, s := range byLength(set) {
		pairs = append(pairs, s, Stars)
	}
	out.words, out.long = strings.NewReplacer(pairs...), byLength(long)
	return out
}

// spelled returns the ways in which programs write a text.
func spelled(s string) []string {
	enc := base64.StdEncoding
	forms := []string{s, url.QueryEscape(s), url.PathEscape(s), enc.EncodeToString([]byte(s)), enc.EncodeToString([]byte(s + "\n")),
		strings.ReplaceAll(s, "'", `'\''`), strings.ReplaceAll(s, "'", "''"), strings.ReplaceAll(s, "$", "$$")}
	if text, err := json.Marshal(s); err == nil {
		forms = append(forms, string(text[1:len(text)-1]))
	}
	return append(forms, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s))
}

func byLength(set map[string]bool) (list []string) {
	for s := range set {
		list = append(list, s)
	}
	sort.Slice(list, func(i, j int) bool {
		if len(list[i]) != len(list[j]) {
			return len(list[i]) > len(list[j])
		}
		return list[i] < list[j]
	})
	return list
}

// Known takes out only the secrets that it was given, so that what else is in the text keeps
// its form.
func (s *Scrubber) Known(text []byte) []byte {
	if s == nil {
		return text
	}
	return s.broken([]byte(s.words.Replace(string(text))))
}

// Text returns the text without secrets. A nil Scrubber knows no words.
func (s *Scrubber) Text(text []byte) []byte { return Text(s.Known(text)) }

// Prose is the function of that name, with the known secrets.
func (s *Scrubber) Prose(text string) string { return Prose(string(s.Known([]byte(text)))) }

func squeezed(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}

// broken masks long words that are broken into lines, with white space or a backslash at the break.
func (s *Scrubber) broken(text []byte) []byte {
	if len(s.long) == 0 || !bytes.ContainsAny(text, "\n") {
		return text
	}
	var bare []byte
	var at []int // of each byte of bare in text
	for i, c := range text {
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\\' && i+1 < len(text) && (text[i+1] == '\n' || text[i+1] == '\r') {
			continue
		}
		bare, at = append(bare, c), append(at, i)
	}
	var gone [][2]int
	for _, w := range s.long {
		for from := 0; ; {
			i := bytes.Index(bare[from:], []byte(w))
			if i < 0 {
				break
			}
			i += from
			gone = append(gone, [2]int{at[i], at[i+len(w)-1] + 1})
			from = i + len(w)
		}
	}
	if gone == nil {
		return text
	}
	sort.Slice(gone, func(i, j int) bool { return gone[i][0] < gone[j][0] })
	var out []byte
	done := 0
	for _, g := range gone {
		if g[0] >= done {
			out = append(append(out, text[done:g[0]]...), Stars...)
		}
		done = max(done, g[1])
	}
	return append(out, text[done:]...)
}
