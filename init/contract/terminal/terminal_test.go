package terminal

import (
	"os/exec"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain ä €\t日本\n":       "plain ä €\t日本\n",
		"\x1b[2Jgone":           `\x1b[2Jgone`,
		"\x1b]0;title\a":        `\x1b]0;title\x07`,
		"a\rb\x7f\x00":          `a\x0db\x7f\x00`,
		"\u009b31m":             `\u009b31m`,
		"\x9b31m":               `\x9b31m`,
		"user\u202egnp.exe":     `user\u202egnp.exe`,
		"zero\u200bwidth\ufeff": `zero\u200bwidth\ufeff`,
		"\ufffd":                "\ufffd",
		"cut \xe2\x82":          `cut \xe2\x82`,
	} {
		if got := Text(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got, want := Line("a\nb\tc\x1b"), `a\nb\tc\x1b`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Text written in pieces comes out as text written whole, and nothing that controls a terminal
// comes out at all.
func FuzzWriter(f *testing.F) {
	for _, s := range []string{"a\r\nb", "€\x1b[0m", "\x9b\xe2\x82", "\u202e\r"} {
		f.Add(s, 1)
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, s string, cut int) {
		if len(s) > 0 {
			cut = max(0, cut%(len(s)+1))
		} else {
			cut = 0
		}
		write := func(pieces ...string) string {
			var b strings.Builder
			w := NewWriter(&b)
			for _, p := range pieces {
				if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
					t.Fatalf("got %d %v, want %d", n, err, len(p))
				}
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		whole, pieces := write(s), write(s[:cut], s[cut:])
		if whole != pieces {
			t.Errorf("%q cut at %d: got %q, want %q", s, cut, pieces, whole)
		}
		if i := strings.IndexFunc(whole, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 || !utf8.ValidString(whole) {
			t.Errorf("%q: %q controls a terminal", s, whole)
		}
	})
}

// A shell reads one word, the same.
func TestQuote(t *testing.T) {
	for _, word := range []string{"", "plain", "with blank", "it's", "$(reboot)", "a;b", "~", "*", "ä", "-n", "\"", "`x`", "a\nb", `\`} {
		out, err := exec.Command("sh", "-c", "printf %s "+Quote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q: got %q %v", word, out, err)
		}
	}
	for _, word := range []string{"node1.yaml", "/dev/sdb", "mode=full", "user@host:22"} {
		if got := Quote(word); got != word {
			t.Errorf("%q needs no quotes, got %q", word, got)
		}
	}
}
