package mask

import (
	"bytes"
	"strings"
)

var (
	// A name, not in the middle of a word.
	nameStart = pattern(`(?i)[\w.-]*(?:` + names + `|authorization)`)
	// A path is not a secret; a secret in base64 may begin like one.
	filePath = pattern(`^(?:/[a-z0-9._-]+)+/?$`)
	// Marks of YAML's before a value.
	yamlMarks = pattern(`^(?:[!&][^\s,}\]]*[ \t]+)+`)
	nextName  = pattern(`[,;&][\w.-]+[=:]`)
)

// named masks what follows a name: NAME=VALUE, NAME: VALUE, "NAME": "VALUE", --NAME VALUE, on
// the same line or on the next one. Where a line begins with the name, as in YAML, all of the line
// is the value, and a block below it too.
func named(b []byte, prose bool, found func([]byte)) []byte {
	var out []byte
	done, pos := 0, 0 // what is in out already; where to look on
	for pos < len(b) {
		at := nameStart().FindIndex(b[pos:])
		if at == nil {
			break
		}
		from, to, stays := value(b, pos+at[0], pos+at[1], prose)
		if pos += at[1]; from < 0 {
			continue
		}
		found(b[from:to])
		out = append(append(append(out, b[done:from]...), Stars...), stays...)
		done, pos = to, to
	}
	return append(out, b[done:]...)
}

// value returns the range of the value after the name in b[start:end], from -1 for none, and what
// of that range stays.
func value(b []byte, start, end int, prose bool) (from, to int, stays []byte) {
	lineStart := bytes.LastIndexByte(b[:start], '\n') + 1
	before := strings.Trim(string(b[lineStart:start]), " \t-\"'")
	first := before == "" || strings.HasSuffix(before, "{") || strings.HasSuffix(before, ",") && strings.Contains(before, "{")
	flag := b[start] == '-'
	header := strings.HasSuffix(strings.ToLower(string(b[start:end])), "authorization") || strings.HasSuffix(strings.ToLower(string(b[start:end])), "cookie")

	i := end
	if i < len(b) && (b[i] == '"' || b[i] == '\'' || b[i] == '`' || b[i] == ']') {
		i++
	}
	i = blanks(b, i)
	separated := false
	colon := false
	if i < len(b) && (b[i] == ':' || b[i] == '=') {
		colon = b[i] == ':' && (i+1 == len(b) || b[i+1] == ' ' || b[i+1] == '\t' || b[i+1] == '\r' || b[i+1] == '\n')
		separated = true
		i = blanks(b, i+1)
	} else if flag && i < len(b) && b[i] == ',' { // ["--token", "x"]
		separated = true
		i = blanks(b, i+1)
	}
	if !separated && !(flag && i > end) && !(flag && i < len(b) && (b[i] == '\\' || b[i] == '\n' || b[i] == '\r')) {
		return -1, 0, nil
	}
	if m := yamlMarks().FindIndex(b[i:]); colon && m != nil {
		i += m[1]
	}
	if colon && !prose && i < len(b) && (b[i] == '|' || b[i] == '>') {
		if end := block(b, lineStart, i); end > i {
			return i, end, []byte("\n")
		}
	}
	i = nextLine(b, i)
	if i >= len(b) {
		return -1, 0, nil
	}
	if q := b[i]; q == '"' || q == '\'' || q == '`' {
		close := quoted(b, i)
		if close <= i+1 || isNothing(string(b[i+1:close])) || filePath().Match(b[i+1:close]) {
			return -1, 0, nil
		}
		return i + 1, close, nil
	}
	if prose && colon && !header {
		return -1, 0, nil
	}
	word := i
	for word < len(b) && !strings.ContainsRune(" \t\r\n\"'`", rune(b[word])) {
		word++
	}
	text := string(b[i:word])
	switch {
	case header:
		for word < len(b) && !strings.ContainsRune("\r\n\"'", rune(b[word])) {
			word++
		}
		if strings.HasSuffix(string(b[i:word]), Stars) {
			return -1, 0, nil
		}
	case isNothing(text) || filePath().MatchString(text):
		return -1, 0, nil
	case first && colon: // a line of YAML
		word = restOfLine(b, lineStart, i)
	default:
		if m := nextName().FindStringIndex(text); m != nil {
			text = text[:m[0]]
		}
		word = i + len(strings.TrimRight(text, ",:;)}]"))
	}
	if word <= i {
		return -1, 0, nil
	}
	return i, word, nil
}

func blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return i
}

// nextLine steps over the end of a line, with a backslash before it, and blank lines.
func nextLine(b []byte, i int) int {
	j := i
	if j+1 < len(b) && b[j] == '\\' && (b[j+1] == '\n' || b[j+1] == '\r') {
		j++
	}
	for j < len(b) && (b[j] == '\n' || b[j] == '\r' || j > i && (b[j] == ' ' || b[j] == '\t')) {
		j++
	}
	if j == i {
		return i
	}
	if j+1 < len(b) && b[j] == '-' && b[j+1] == ' ' { // the items of a list
		j = blanks(b, j+1)
	}
	// A key is not the value of the one above.
	line, _, _ := bytes.Cut(b[j:], []byte("\n"))
	if key, rest, ok := bytes.Cut(line, []byte(":")); ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\r') && len(bytes.Fields(key)) == 1 {
		return len(b)
	}
	return j
}

// quoted returns the place of the quote that closes the one at i, or the end of the line if there
// is none.
func quoted(b []byte, i int) int {
	for j := i + 1; j < len(b); j++ {
		switch {
		case b[i] == '"' && b[j] == '\\':
			j++
		case b[i] == '\'' && b[j] == '\'' && j+1 < len(b) && b[j+1] == '\'':
			j++
		case b[j] == b[i]:
			return j
		}
	}
	if n := bytes.IndexByte(b[i+1:], '\n'); n >= 0 {
		return i + 1 + n
	}
	return len(b)
}

// restOfLine returns the end of a plain value of YAML that begins at i: in braces at a comma or
// their end.
func restOfLine(b []byte, lineStart, i int) int {
	end := len(b)
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		end = i + n
	}
	if bytes.ContainsAny(b[lineStart:i], "{") {
		for j := i; j < end; j++ {
			if b[j] == '}' || b[j] == ',' && j+1 < end && b[j+1] == ' ' {
				return j
			}
		}
	}
	return i + len(bytes.TrimRight(b[i:end], "\r \t"))
}

// block returns the end of a block of YAML whose mark is at i in a line that begins at lineStart:
// all lines below that are indented more. i if there is none.
func block(b []byte, lineStart, i int) int {
	indent := blanks(b, lineStart) - lineStart
	n := bytes.IndexByte(b[i:], '\n')
	if n < 0 || len(bytes.Trim(b[i:i+n], "|>+-0123456789 \t\r")) > 0 {
		return i
	}
	end := i
	for at := i + n + 1; at < len(b); {
		next := len(b)
		if n := bytes.IndexByte(b[at:], '\n'); n >= 0 {
			next = at + n + 1
		}
		line := bytes.TrimRight(b[at:next], " \t\r\n")
		if len(line) > 0 && blanks(b, at)-at <= indent {
			break
		}
		if len(line) > 0 {
			end = next
		}
		at = next
	}
	return end
}
