package config

import (
	"fmt"
	"strings"
	"testing"
)

// The commands that a line calls, with ? for one whose failure costs nothing and ! for one whose
// failure is that of the line.
func TestShellCalls(t *testing.T) {
	for line, want := range map[string]string{
		"":                               "",
		"connmanctl services":            "connmanctl services!",
		"cd /x && sudo -n rc-update add": "cd /x! rc-update add!",
		"a; b":                           "a b!",
		"a\nb\n":                         "a b!",
		"a;":                             "a!",
		"a && b;\n":                      "a! b!",
		"a && b || c":                    "a?! b?! c!",
		"a || b; c":                      "a? b c!",
		"a | b":                          "a?! b!",
		"a & b":                          "a? b!",
		"if a; then b; else c; fi":       "a? b c!",
		"! a":                            "a?!",
		"X=1 Y='a b' env -i Z=2 a b=c":   "a b=c!",
		"echo 'a; b' \"c && d\" `e`":     "echo a; b c && d e!",
		"a # b; c":                       "a!",
		"a#b":                            "a#b!",
		"a 2>&1 >/x &>/y":                "a 2>&1 >/x &>/y!",
		"cat > /x <<EOF\na\nb\nEOF\nc":   "cat > /x c!",
		"cat <<-'E O'\na\n\tE O\nc":      "cat c!",
		"cat <<EOF":                      "cat!",
		"(a; b)":                         "a b!",
		"a \\\n b":                       "a b!",
		"a \\; b":                        "a ; b!",
		"'a":                             "a!",
		"nice -n":                        "",
		"\\":                             "\\!",
	} {
		var got []string
		for _, c := range shellCalls(line) {
			s := strings.Join(c.words, " ")
			if c.guarded {
				s += "?"
			}
			if c.last {
				s += "!"
			}
			got = append(got, s)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%q: got %s, want %s", line, text, want)
		}
	}
}

func FuzzShellCalls(f *testing.F) {
	for _, s := range []string{"a && b || c", "cat <<A <<B\nx\nA\ny\nB\nc", "'\"`\\", "if a; then b; fi"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for _, c := range shellCalls(line) {
			if len(c.words) == 0 {
				t.Errorf("%q calls nothing: %s", line, fmt.Sprint(c))
			}
		}
	})
}
