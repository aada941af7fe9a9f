package monitor

import (
	"os"
	"path/filepath"
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
