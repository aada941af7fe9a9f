package line

import (
	"strings"
	"testing"
)

func TestFailure(t *testing.T) {
	for _, c := range []struct {
		what, fix string
		width     int
		paint     func(string) string
		want      string
	}{
		{"no disk", "attach one", 0, nil, "what went wrong: no disk\nhow to fix it:   attach one\n"},
		{"no disk", "", 0, strings.ToUpper, "WHAT WENT WRONG: no disk\n"},
		{"a rather long story", "run this", 30, nil, "what went wrong: a rather long\n                 story\nhow to fix it:   run this\n"},
		{"an escape \x1b[2J", "", 0, nil, "what went wrong: an escape \\x1b[2J\n"},
	} {
		if got := Failure(c.what, c.fix, c.width, c.paint); got != c.want {
			t.Errorf("%q: got %q, want %q", c.what, got, c.want)
		}
	}
}
