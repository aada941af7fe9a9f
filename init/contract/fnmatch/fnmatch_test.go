package fnmatch

import (
	"path"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"*", "", true}, {"a*b*c", "aXbYbZc", true}, {"a*b", "a", false}, {"?", "", false}, {"a?c", "abc", true},
		{"[0-9]", "5", true}, {"[!0-9]", "5", false}, {"[^0-9]", "x", true}, {"[]a]", "]", true}, {"[abc", "[abc", true}, {"x[", "x[", true},
		{`\*`, "*", true}, {`\*`, "x", false}, {`a\`, `a\`, false}, {"a", "ab", false},
		{"of:N*T*Cbrcm,bcm2835_x*", "of:NwatchdogT(null)Cbrcm,bcm2835_xCy", true}, {"*a*a*a*a*a*a*a*b", strings.Repeat("a", 200), false},
	} {
		if got := Match(c.pattern, c.s); got != c.want {
			t.Errorf("Match(%q, %q): got %v, want %v", c.pattern, c.s, got, c.want)
		}
	}
}

// FuzzMatch compares with a matcher that tries everything.
func FuzzMatch(f *testing.F) {
	f.Add("a*b?c[d-f]", "axxbycd")
	f.Add("*[!a]*", "aab")
	f.Add(`\[*\`, "[a")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 8 || len(s) > 8 {
			return
		}
		if got, want := Match(pattern, s), slow(pattern, s); got != want {
			t.Errorf("Match(%q, %q): got %v, want %v", pattern, s, got, want)
		}
	})
}

func slow(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	if pattern[0] == '*' {
		return slow(pattern[1:], s) || s != "" && slow(pattern, s[1:])
	}
	if s == "" {
		return false
	}
	switch pattern[0] {
	case '?':
		return slow(pattern[1:], s[1:])
	case '\\':
		return len(pattern) > 1 && pattern[1] == s[0] && slow(pattern[2:], s[1:])
	case '[':
		if ok, n := class(pattern, s[0]); n > 0 {
			return ok && slow(pattern[n:], s[1:])
		}
	}
	return pattern[0] == s[0] && slow(pattern[1:], s[1:])
}

// FuzzAgainstPath holds our fnmatch against path.Match, which means the same for strings without
// slashes and patterns that it accepts.
func FuzzAgainstPath(f *testing.F) {
	for _, s := range [][2]string{{"a*b", "axxb"}, {"of:N*T*Cx*", "of:NaTbCxy"}, {"[a-c]?", "bz"}, {"[!a]", "b"}, {"*[", "x["}, {`\*`, "*"}, {"", ""}, {"***a", "aaa"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		got := Match(pattern, s)
		if strings.ContainsAny(pattern+s, "/\\^!") || len(pattern) > 64 || len(s) > 64 {
			return
		}
		for _, r := range pattern + s {
			if r >= 0x80 {
				return // path.Match takes runes, modprobe bytes
			}
		}
		if strings.ContainsAny(pattern, "[]") {
			return // broken classes are errors there
		}
		if want, err := path.Match(pattern, s); err == nil && want != got {
			t.Errorf("Match(%q, %q): got %v, want %v", pattern, s, got, want)
		}
	})
}
