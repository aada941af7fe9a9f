package monitor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The usage of a service includes processes in other groups: k3s leaves its group for one of its
// own.
func TestUsageOfSeveralGroups(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"shelf/k3s/memory.current": "100\n", "shelf/k3s/memory.max": "max\n", "shelf/k3s/pids.current": "3\n", "shelf/k3s/cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
		"k3s/memory.current": "400\n", "k3s/memory.max": "5\n", "k3s/cpu.stat": "usage_usec 500000\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	u := UsageOf("k3s", root, "shelf/k3s", "k3s")
	if u.Memory == nil || *u.Memory != 500 || u.CPU == nil || *u.CPU != 2 || u.Tasks == nil || *u.Tasks != 3 || u.Limit != nil || u.Peak != nil {
		t.Errorf("got %+v", u)
	}
	if u := UsageOf("k3s", root, "shelf/none", "none"); u.Memory != nil || u.CPU != nil {
		t.Errorf("groups that are not there: got %+v", u)
	}
}

// The share of the processor is known only for groups that were there at both looks.
func TestBetween(t *testing.T) {
	num := func(n int64) *int64 { return &n }
	sec := func(s float64) *float64 { return &s }
	before := []Usage{{Name: "a", CPU: sec(10)}, {Name: "reset", CPU: sec(9)}, {Name: "uncounted"}}
	now := []Usage{{Name: "uncounted", CPU: sec(1)}, {Name: "a", CPU: sec(11), Memory: num(5)}, {Name: "new", CPU: sec(3), Memory: num(7)}, {Name: "reset", CPU: sec(1)}}
	want := map[string]*float64{"a": sec(50), "reset": sec(0), "new": nil, "uncounted": nil}
	got := Between(before, now, 2)
	var names []string
	for _, u := range got {
		names = append(names, u.Name)
		if w := want[u.Name]; (w == nil) != (u.Percent == nil) || w != nil && *w != *u.Percent {
			t.Errorf("%s: got %v, want %v", u.Name, u.Percent, w)
		}
	}
	if text := strings.Join(names, " "); text != "new a uncounted reset" {
		t.Errorf("got the order %s, want new a uncounted reset", text)
	}
}
