package k3s

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/config"
)

// The name in the cluster is the first one, through renames and other names by DHCP; who wants another one says so to k3s.
func TestNodeName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "name")
	args := func(a ...string) *config.Config { return &config.Config{K3OS: config.K3OS{K3sArgs: a}} }
	for i, c := range []struct {
		cfg     *config.Config
		host    string
		want    string
		changed bool
	}{
		{args(), "Shelf-1", "shelf-1", false},
		{args(), "shelf-1", "shelf-1", false},
		{args(), "kitchen", "shelf-1", true},
		{args(), "", "shelf-1", false},
		{args("server", "--node-name=cellar"), "kitchen", "cellar", false},
		{args("server"), "kitchen", "cellar", true},
		{args("--node-name", "attic"), "kitchen", "attic", false},
		{&config.Config{K3OS: config.K3OS{Environment: map[string]string{"K3S_NODE_NAME": "roof"}}}, "kitchen", "roof", false},
	} {
		if got, changed, err := nodeName(path, c.cfg, c.host); err != nil || got != c.want || changed != c.changed {
			t.Errorf("%d: %q, %v, %v", i, got, changed, err)
		}
	}
	// The told way to rename.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, changed, err := nodeName(path, args(), "kitchen"); err != nil || got != "kitchen" || changed {
		t.Error(got, changed, err)
	}
}

func TestProvideImages(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "images"), filepath.Join(t.TempDir(), "agent/images")
	if err := provideImages(from, to); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(from, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"k3s.tar.zst": "images", "list.txt": "a/b:c", ".archive-12": "half"} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := provideImages(from, to); err != nil {
			t.Fatal(err)
		}
	}
	entries, _ := os.ReadDir(to)
	if got, err := os.ReadFile(filepath.Join(to, "k3s.tar.zst")); string(got) != "images" || len(entries) != 2 {
		t.Error(string(got), err, entries)
	}
	// On another disk it is a copy, which is not made again.
	st, err := os.Stat(filepath.Join(from, "list.txt"))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(to, "copy.txt")
	if err := duplicate(filepath.Join(from, "list.txt"), copied, st); err != nil {
		t.Fatal(err)
	}
	first, err := os.Stat(copied)
	if err != nil || !first.ModTime().Equal(st.ModTime()) || first.Size() != st.Size() {
		t.Error(first, err)
	}
	if err := provide(filepath.Join(from, "list.txt"), copied); err != nil {
		t.Fatal(err)
	}
	if again, err := os.Stat(copied); err != nil || !os.SameFile(first, again) {
		t.Error("it was copied again", err)
	}
}

func TestResetCluster(t *testing.T) {
	dir := t.TempDir()
	note := filepath.Join(dir, "etcd-restore")
	cfg := &config.Config{K3OS: config.K3OS{K3sArgs: []string{"server", "--data-dir=" + dir}}}
	if err := resetCluster(t.Context(), note, "/bin/false", cfg, func(string) {}); err != nil {
		t.Error("there is nothing to do:", err)
	}
	put(t, note, "../server/db/snapshots/one\n")
	if err := resetCluster(t.Context(), note, "/bin/true", cfg, func(string) {}); err == nil || !strings.Contains(err.Error(), "is not there") {
		t.Error(err)
	}
	put(t, filepath.Join(dir, "server/db/snapshots/one"), "etcd")
	if err := resetCluster(t.Context(), note, "/bin/false", cfg, func(string) {}); err == nil {
		t.Error("k3s failed, and that is taken for success")
	}
	program := filepath.Join(dir, "k3s")
	put(t, program, "#!/bin/sh\necho \"$@\" > "+dir+"/said\n")
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := resetCluster(t.Context(), note, program, cfg, func(string) {}); err != nil {
		t.Fatal(err)
	}
	said, _ := os.ReadFile(dir + "/said")
	if want := "server --data-dir=" + dir + " --cluster-reset --cluster-reset-restore-path=" + dir + "/server/db/snapshots/one\n"; string(said) != want {
		t.Errorf("k3s was told %s", said)
	}
	if _, err := os.Stat(note); err == nil {
		t.Error("it would be done again at the next start")
	}
}
