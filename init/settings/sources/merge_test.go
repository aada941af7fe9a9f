package sources

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The kernel's command line counts more than the imported file, and what is wrong in either is
// reported.
func TestMerge(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{Main: "hostname: file\nk3os: {nonsense: 1}\nshelf: {role: worker}\n", "proc/cmdline": "quiet hostname=line\n"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, problems := Merge(root)
	if c.Hostname != "line" || c.Shelf.Role != "worker" {
		t.Errorf("got the name %q and the role %q, want line and worker", c.Hostname, c.Shelf.Role)
	}
	if len(problems) != 1 || !strings.Contains(problems[0].String(), "nonsense") {
		t.Errorf("got %v, want the key that does not exist", problems)
	}
	if c, problems := Merge(t.TempDir()); c == nil || c.Hostname != "" || len(problems) != 0 {
		t.Errorf("nothing is there: got %+v, %v", c, problems)
	}
}
