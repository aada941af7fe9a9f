// Package terminal makes text from outside safe to show: from cards, keys, servers and services.
// Characters that control a terminal or reorder text are shown as escapes.
package terminal

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Text returns s with control characters (C0 but newline and tab, DEL, C1), marks that change the
// direction of text, invisible marks and bytes that are no UTF-8 as \x1b or \u202e.
func Text(s string) string {
	if strings.IndexFunc(s, unsafe) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		b.WriteString(shown(r, s[i:i+n]))
		i += n
	}
	return b.String()
}

// Line is Text for what has to stay on one line.
func Line(s string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(Text(s))
}

// JSON is Text for a text that is JSON, which stays it and means the same.
func JSON(s string) string {
	if strings.IndexFunc(s, unsafe) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unsafe(r) { // inside a text: encoding/json writes none elsewhere
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func shown(r rune, raw string) string {
	switch {
	case r == utf8.RuneError && len(raw) == 1, r < 0x80 && unsafe(r):
		return fmt.Sprintf(`\x%02x`, raw[0])
	case unsafe(r) && r != utf8.RuneError:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return raw
}

// unsafe reports whether a character must not reach a terminal. RuneError is among them, because it
// may come from a stray byte.
func unsafe(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < ' ', r >= 0x7f && r <= 0x9f, r == utf8.RuneError:
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x2069, r == 0xfeff, r == 0x061c:
		return true
	}
	return false
}

// Writer makes safe what is written to a terminal. A character that comes in two writes is put
// together; a carriage return before a newline is left out.
type Writer struct {
	w    io.Writer
	rest []byte // begin of a character, or a carriage return
}

// NewWriter returns a Writer in front of w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write takes all of p, or returns the error of the underlying writer.
func (t *Writer) Write(p []byte) (int, error) {
	text := string(append(t.rest, p...))
	t.rest = nil
	// The possible beginning of a character waits for the next write.
	if strings.HasSuffix(text, "\r") {
		t.rest = []byte("\r")
	} else if n := partial(text); n > 0 {
		t.rest = []byte(text[len(text)-n:])
	}
	text = strings.ReplaceAll(text[:len(text)-len(t.rest)], "\r\n", "\n")
	if _, err := io.WriteString(t.w, Text(text)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes what waits for more.
func (t *Writer) Flush() error {
	rest := string(t.rest)
	t.rest = nil
	_, err := io.WriteString(t.w, Text(rest))
	return err
}

// partial is how many bytes at the end of s are the begin of a character.
func partial(s string) int {
	for n := 1; n <= min(utf8.UTFMax-1, len(s)); n++ {
		if c := s[len(s)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRuneInString(s[len(s)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// Quote makes one word of a POSIX shell of any text, for commands that are run or printed.
func Quote(word string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:=,@+%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
