package k3sstep

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

// The table of pairs: every way to another k3s asks this function.
func TestJudge(t *testing.T) {
	const none Reason = 0
	for _, c := range []struct {
		name    string
		c       Change
		want    Reason
		between []string
		unknown bool
	}{
		{"the same", Change{From: "v1.35.0+k3s1", To: "v1.35.0+k3s1", Data: true}, none, nil, false},
		{"a patch forward", Change{From: "v1.35.0+k3s1", To: "v1.35.4+k3s1", Data: true}, none, nil, false},
		{"a patch back", Change{From: "v1.35.4+k3s2", To: "v1.35.0+k3s1", Data: true}, none, nil, false},
		{"one minor forward", Change{From: "v1.34.3+k3s1", To: "v1.35.0+k3s1", Data: true}, none, nil, false},
		{"over a hundred", Change{From: "v1.99.3+k3s1", To: "v1.100.0+k3s1", Data: true}, none, nil, false},
		{"one minor back", Change{From: "v1.35.0+k3s1", To: "v1.34.3+k3s1", Data: true}, Backward, nil, false},
		{"far back", Change{From: "v1.35.0+k3s1", To: "v1.21.5+k3s2", Data: true}, Backward, nil, false},
		{"two minors", Change{From: "v1.33.1+k3s1", To: "v1.35.0+k3s1", Data: true}, Skip, []string{"v1.34"}, false},
		{"of k3OS", Change{From: "v1.22.2+k3s1", To: "v1.26.0+k3s1", Data: true}, Skip, []string{"v1.23", "v1.24", "v1.25"}, false},
		{"an image's name", Change{From: "v1.33.1-k3s1", To: "v1.35.0-k3s1", Data: true}, Skip, []string{"v1.34"}, false},
		{"a candidate", Change{From: "v1.33.1-rc1+k3s1", To: "v1.35.0+k3s1", Data: true}, Skip, []string{"v1.34"}, false},
		{"no data, back", Change{From: "v1.35.0+k3s1", To: "v1.21.5+k3s2"}, none, nil, false},
		{"no data, far", Change{To: "v1.35.0+k3s1"}, none, nil, false},
		{"data of an unknown one", Change{To: "v1.35.0+k3s1", Data: true}, none, nil, true},
		{"a file over a release", Change{From: "v1.35.0+k3s1", To: "file-12345678", Data: true}, none, nil, true},
		{"the same file", Change{From: "file-12345678", To: "file-12345678", Data: true}, none, nil, false},
		{"nothing known", Change{Data: true}, none, nil, true},

		{"agent, as its server", Change{Agent: true, From: "v1.30.0+k3s1", To: "v1.35.4+k3s1", Servers: []string{"v1.35.0+k3s1"}}, none, nil, false},
		{"agent, older", Change{Agent: true, To: "v1.33.0+k3s1", Servers: []string{"v1.35.0+k3s1"}}, none, nil, false},
		{"agent, back", Change{Agent: true, From: "v1.35.0+k3s1", To: "v1.34.0+k3s1", Servers: []string{"v1.35.0+k3s1"}}, none, nil, false},
		{"agent, newer", Change{Agent: true, From: "v1.34.0+k3s1", To: "v1.35.0+k3s1", Servers: []string{"v1.34.0+k3s1"}}, Ahead, nil, false},
		{"agent, much newer", Change{Agent: true, To: "v1.36.0+k3s1", Servers: []string{"v1.34.0+k3s1"}}, Ahead, []string{"v1.35"}, false},
		{"agent, newer than one of two", Change{Agent: true, To: "v1.35.0+k3s1", Servers: []string{"v1.35.0+k3s1", "v1.34.2+k3s1"}}, Ahead, nil, false},
		{"agent, the oldest counts", Change{Agent: true, To: "v1.36.0+k3s1", Servers: []string{"v1.35.0+k3s1", "v1.33.2+k3s1", "v1.35.0+k3s1"}}, Ahead, []string{"v1.34", "v1.35"}, false},
		{"agent, newer than one, one unknown", Change{Agent: true, To: "v1.35.0+k3s1", Servers: []string{"file-1", "v1.34.2+k3s1", "file-2"}}, Ahead, nil, false},
		{"agent, server unknown", Change{Agent: true, To: "v1.35.0+k3s1"}, none, nil, false},
		{"agent, file", Change{Agent: true, To: "file-12345678", Servers: []string{"v1.34.2+k3s1"}}, none, nil, true},
		{"agent, same file", Change{Agent: true, To: "file-12345678", Servers: []string{"file-12345678"}}, none, nil, false},
	} {
		unknown, err := c.c.Judge()
		var r *Refusal
		var got Reason
		var between []string
		if errors.As(err, &r) {
			got, between = r.Reason, r.Between
		}
		if got != c.want || (unknown != "") != c.unknown || !slices.Equal(between, c.between) || (err == nil) != (c.want == none) {
			t.Errorf("%s: got %d %v, unknown %q, %v; want %d %v, unknown %v", c.name, got, between, unknown, err, c.want, c.between, c.unknown)
		}
		if err != nil && fault.Code(err) != int(fault.Input) {
			t.Errorf("%s: code %d", c.name, fault.Code(err))
		}
		for _, b := range c.between { // people read what has to come first
			if !strings.Contains(err.Error(), b) {
				t.Errorf("%s: %s is not in %q", c.name, b, err)
			}
		}
	}
}

func TestSameMinor(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"v1.35.0+k3s1", "v1.35.9-k3s2", true}, {"v1.35.0+k3s1", "v1.34.0+k3s1", false}, {"file-1", "file-1", true}, {"file-1", "file-2", false}, {"file-1", "v1.35.0+k3s1", false}, {"", "", true},
	} {
		if got := SameMinor(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: got %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestToken(t *testing.T) {
	const full = "K100b1d5::server:word\n"
	for _, c := range []struct {
		configured, held string
		good             bool
	}{
		{"word", full, true}, {full, full, true}, {"K10ffff::server:word", full, true}, {"", full, true}, {"word", "", true}, {"", "", true},
		{"wrong-secret", full, false}, {"wor", full, false}, {"K100b1d5::server:other", full, false}, {"word", "other", false},
	} {
		err := Token(c.configured, c.held)
		if (err == nil) != c.good {
			t.Errorf("%q with %q: got %v, want good %v", c.configured, c.held, err, c.good)
		}
		if err != nil && (fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), RotateCommand) || strings.Contains(err.Error(), "wrong-secret")) {
			t.Errorf("%q: %v", c.configured, err)
		}
	}
}
