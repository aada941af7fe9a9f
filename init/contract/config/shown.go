package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"imgbuild/init/contract/mask"
)

// A problem carries a place, and a value only if that cannot be a secret: files are malformed in
// ways that put a token where a host name belongs, and messages about them reach the console
// and report.txt.

// quote shows a value in a message: the first word, shortened, or only that it is a value.
func quote(t string) string {
	if strings.TrimSpace(t) == "" {
		return fmt.Sprintf("%q", t)
	}
	word, more := strings.Fields(t)[0], len(strings.Fields(t)) > 1
	if strings.Contains(word, "://") {
		return "the address"
	}
	if at := strings.IndexByte(word, '='); at >= 0 && at < len(word)-1 {
		word, more = word[:at+1], true
	}
	if strings.ContainsFunc(word, unicode.IsControl) || random(word) || mask.String(word) != word || strings.Contains(word, "@") {
		return "the value"
	}
	if runes := []rune(word); len(runes) > 40 {
		word, more = string(runes[:40]), true
	}
	if more {
		word += "..."
	}
	return fmt.Sprintf("%q", word)
}

// random reports whether a word may be a token: letters and digits without anything between them,
// or simply long.
func random(word string) bool {
	if strings.ContainsAny(word, "./:_-*") && len(word) < 64 {
		return false
	}
	return len(word) >= 32 || len(word) >= 12 && strings.ContainsAny(word, "0123456789") && strings.ContainsFunc(word, unicode.IsLetter)
}

// shownPath returns the path of a key for people. Names in it come from the file: without the space
// after a colon the value is part of the name.
func shownPath(path string) string {
	if at := strings.IndexFunc(path, func(r rune) bool {
		return !(unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-/[]*@", r))
	}); at >= 0 {
		path = path[:at] + "..."
	}
	parts := strings.Split(path, ".")
	for i, p := range parts {
		name, rest, _ := strings.Cut(p, "[")
		if random(name) || len(name) > 63 || strings.HasPrefix(name, "K10") {
			parts[i] = "..."
			if rest != "" {
				parts[i] += "[" + rest
			}
		}
	}
	return strings.Join(parts, ".")
}

// doubtful lists the words of a source in the place of a secret: after a name that is a
// secret's, up to the end of the line, and on the next line where nothing follows it. They are kept
// out of messages about the source, however it is malformed. Names of keys are not among them.
func doubtful(data []byte) (words []string) {
	known := keyNames()
	next := false
	for line := range bytes.Lines(data[:min(len(data), MaxSize)]) {
		rest := ""
		if at := secretStart.compiled().FindIndex(line); at != nil {
			rest = string(line[at[1]:])
		} else if next {
			rest = string(line)
		}
		next = len(strings.Trim(rest, " \t\r\n|>+-:=\"'")) == 0 && rest != ""
		words = appendWords(words, rest, known)
	}
	return words
}

// keyNames are the words that a secret cannot be kept out of messages for.
func keyNames() map[string]bool {
	known := map[string]bool{}
	for _, k := range Table() {
		known[k.name] = true
	}
	return known
}

// appendWords appends the words of a secret.
func appendWords(words []string, secret string, known map[string]bool) []string {
	for _, w := range strings.FieldsFunc(secret, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("\"',:={}[]&!*|>", r) }) {
		if len(w) >= 4 && !known[w] && len(words) < 1000 {
			words = append(words, w)
		}
	}
	return words
}

var secretStart = pattern{text: `(?i)(?:token|pass(?:wd|word|phrase)?|secret|psk|_key|apikey)["']?\s*[:=]?`}

// without takes words out of the quoted parts of a message.
func without(message string, words []string) string {
	if len(words) == 0 || !strings.ContainsAny(message, "\"'") {
		return message
	}
	for _, w := range words {
		if strings.Contains(message, w) {
			message = quotedParts.compiled().ReplaceAllStringFunc(message, func(q string) string { return strings.ReplaceAll(q, w, mask.Stars) })
		}
	}
	return message
}

var quotedParts = pattern{text: `"[^"]*"|'[^']*'`}
