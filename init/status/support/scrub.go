package support

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"slices"
	"sort"
	"strings"
)

// Scrubber takes secrets out of text: those it was given, in the forms in which they appear, and what looks like one.
type Scrubber struct{ words *strings.Replacer }

// shortest is the length below which a word is not taken for a secret: it would be found everywhere.
const shortest = 4

// NewScrubber makes one for these secrets.
func NewScrubber(secrets []string) *Scrubber {
	set := map[string]bool{}
	for _, s := range secrets {
		s = strings.TrimSpace(s)
		if len(s) < shortest || strings.Trim(s, "x*") == "" {
			continue
		}
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s)), base64.StdEncoding.EncodeToString([]byte(s + "\n"))} {
			set[form] = true
		}
	}
	var list []string
	for s := range set {
		list = append(list, s)
	}
	// The longest first: the replacer takes the first that fits, and one secret may be the beginning of another.
	sort.Slice(list, func(i, j int) bool {
		if len(list[i]) != len(list[j]) {
			return len(list[i]) > len(list[j])
		}
		return list[i] < list[j]
	})
	var pairs []string
	for _, s := range list {
		pairs = append(pairs, s, mask)
	}
	return &Scrubber{strings.NewReplacer(pairs...)}
}

// Known takes out only the secrets that it was given, so that what else stands in the text keeps its form.
func (s *Scrubber) Known(text []byte) []byte { return []byte(s.words.Replace(string(text))) }

// Text gives the text without secrets.
func (s *Scrubber) Text(text []byte) []byte { return patterns([]byte(s.words.Replace(string(text)))) }

var (
	pem    = once(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`)
	k3sKey = once(`K10[0-9a-f]{16,}::[^\s"']+`)
	bearer = once(`(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{8,}`)
	jwt    = once(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`)
	crypt  = once(`\$(?:1|2[aby]?|5|6|y|gy|7)\$[^\s:"',]{8,}`)
	pem64  = once(`LS0tLS1CRUdJT[A-Za-z0-9+/=]{20,}`) // -----BEGIN in base64, as kubeconfigs and Secrets have it
	aged   = once(`AGE-SECRET-KEY-[A-Z0-9]{10,}`)
)

// patterns masks what looks like a secret by its form. Most lines hold none, and an expression costs a small board much
// more than a look for a word that it needs.
func patterns(b []byte) []byte {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(b, []byte(w)) })
	}
	if has("PRIVATE KEY") {
		b = pem().ReplaceAll(b, []byte(mask))
	}
	if has("AGE-SECRET") {
		b = aged().ReplaceAll(b, []byte(mask))
	}
	if has("LS0tLS1CRUdJT") {
		b = pem64().ReplaceAll(b, []byte(mask))
	}
	if has("K10") {
		b = k3sKey().ReplaceAll(b, []byte(mask))
	}
	if has("eyJ") {
		b = jwt().ReplaceAll(b, []byte(mask))
	}
	if has("://") {
		b = userinfo().ReplaceAll(b, []byte("$1$2:"+mask+"@"))
	}
	var out []byte
	for line := range bytes.Lines(b) {
		out = append(out, named(line)...)
	}
	return out
}

// named masks what is called a secret on one line.
func named(line []byte) []byte {
	low := bytes.ToLower(line)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(low, []byte(w)) })
	}
	if has("bearer", "basic") {
		line = bearer().ReplaceAll(line, []byte("$1$2"+mask))
	}
	if has("$") {
		line = crypt().ReplaceAll(line, []byte(mask))
	}
	if !has("token", "passw", "passphrase", "secret", "psk", "key", "credential") {
		return line
	}
	return inText().ReplaceAllFunc(line, func(m []byte) []byte {
		p := inText().FindSubmatch(m)
		if bytes.HasPrefix(p[2], []byte("/")) || bytes.HasPrefix(p[2], []byte(mask)) { // the path of a file with one
			return m
		}
		// "password" followed by a word of a sentence is no secret: only an assignment, or a flag's value, is.
		if !bytes.ContainsAny(p[1], "=:") && !bytes.HasPrefix(p[1], []byte("-")) {
			return m
		}
		return append(bytes.Clone(p[1]), mask...)
	})
}
