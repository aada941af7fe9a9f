package k3s

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// The name in the cluster is the first one, through renames and other names by DHCP; another one is
// set by k3s' own option.
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
	// The documented way to rename.
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
	cfg := &config.Config{K3OS: config.K3OS{ServerURL: "https://old:6443", Environment: map[string]string{"K3S_URL": "https://old:6443", "K3S_X": "1"},
		K3sArgs: []string{"server", "--data-dir=" + dir, "--server", "https://old:6443", "-s=https://old:6443", "--cluster-init"}}}
	var wrote []string
	reset := func(binary string) error {
		return resetCluster(t.Context(), note, binary, "one", cfg, func(c *config.Config) error { wrote = append(wrote, "server "+c.K3OS.ServerURL); return nil }, func(string) {})
	}
	if err := reset("/bin/false"); err != nil || wrote != nil {
		t.Error("there is nothing to do:", err, wrote)
	}
	put(t, note, "../server/db/snapshots/one\n")
	if err := reset("/bin/true"); err == nil || !strings.Contains(err.Error(), "is not there") {
		t.Error(err)
	}
	put(t, filepath.Join(dir, "server/db/snapshots/one"), "etcd")
	if err := reset("/bin/false"); err == nil {
		t.Error("k3s failed, and that is taken for success")
	}
	// As k3s does: a second reset is refused as long as the first one's flag is there.
	program := filepath.Join(dir, "k3s")
	put(t, program, "#!/bin/sh\n[ ! -e "+dir+"/server/db/reset-flag ] || exit 1\necho \"$@ $K3S_NODE_NAME $K3S_URL\" > "+dir+"/said\n")
	put(t, filepath.Join(dir, "server/db/reset-flag"), "")
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := reset(program); err != nil {
		t.Fatal(err)
	}
	said, _ := os.ReadFile(dir + "/said")
	if want := "server --data-dir=" + dir + " --cluster-init --cluster-reset --cluster-reset-restore-path=" + dir + "/server/db/snapshots/one one \n"; string(said) != want {
		t.Errorf("k3s got %s", said)
	}
	if _, err := os.Stat(note); err == nil {
		t.Error("it would be done again at the next start")
	}
	// The data disk that the node had was there after all, with a database of its own.
	put(t, note, "server/db/snapshots/two\n")
	put(t, filepath.Join(dir, "server/db/etcd/member"), "")
	if err := reset("/bin/false"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(note); err == nil {
		t.Error("the backup is asked for at every start")
	}
	if len(wrote) == 0 || wrote[0] != "server " || cfg.K3OS.ServerURL == "" {
		t.Errorf("k3s refuses to reset a cluster with a server to join: %q, and the configuration keeps %q", wrote, cfg.K3OS.ServerURL)
	}
}

func TestSnapshotCommand(t *testing.T) {
	cfg := &config.Config{}
	const usual = "k3s etcd-snapshot save --data-dir=/var/lib/rancher/k3s --name=a --etcd-snapshot-dir=/b"
	if got := strings.Join(snapshotCommand(cfg, "a", "/b"), " "); got != usual {
		t.Error(got)
	}
	cfg.K3OS.K3sArgs = []string{"server", "--https-listen-port", "7443"}
	if got := strings.Join(snapshotCommand(cfg, "a", "/b"), " "); got != usual+" --etcd-server=https://127.0.0.1:7443" {
		t.Error(got)
	}
}

func TestElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		cfg   config.K3OS
		files map[string]string
		want  bool
	}{
		"nothing reported":  {config.K3OS{}, nil, false},
		"an argument":       {config.K3OS{K3sArgs: []string{"server", "--datastore-endpoint", "postgres://x"}}, nil, true},
		"no etcd here":      {config.K3OS{K3sArgs: []string{"server", "--disable-etcd"}}, nil, true},
		"the environment":   {config.K3OS{Environment: map[string]string{"K3S_DATASTORE_ENDPOINT": "mysql://x"}}, nil, true},
		"k3s' file":         {config.K3OS{}, map[string]string{"etc/rancher/k3s/config.yaml": "datastore-endpoint: mysql://x\ntls-san: [a]\n"}, true},
		"a drop-in":         {config.K3OS{}, map[string]string{"etc/rancher/k3s/config.yaml.d/9.yaml": "disable-etcd: true\n"}, true},
		"another file":      {config.K3OS{K3sArgs: []string{"-c", "/my.yaml"}}, map[string]string{"my.yaml": "datastore-endpoint: x\n", "etc/rancher/k3s/config.yaml": ""}, true},
		"a file of no use":  {config.K3OS{}, map[string]string{"etc/rancher/k3s/config.yaml": "a: [\n"}, false},
		"a file without it": {config.K3OS{}, map[string]string{"etc/rancher/k3s/config.yaml": "datastore-endpoint: ''\n"}, false},
	} {
		root := t.TempDir()
		for file, text := range c.files {
			put(t, filepath.Join(root, file), text)
		}
		if got := Elsewhere(&config.Config{K3OS: c.cfg}, root); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// k3s does not make the directory that a snapshot is to go into, and takes an earlier
// one's leftovers for its own.
func TestSnapshot(t *testing.T) {
	data := t.TempDir()
	cfg := &config.Config{K3OS: config.K3OS{K3sArgs: []string{"server", "--data-dir=" + data}}}
	put(t, filepath.Join(data, "server/db/shelf-snapshot/a-old"), "of a run that was cut off")
	likeK3s := func(files ...string) func(context.Context, ...string) error {
		return func(_ context.Context, argv ...string) error {
			for _, a := range argv {
				if dir, ok := strings.CutPrefix(a, "--etcd-snapshot-dir="); ok {
					for _, f := range files {
						if err := os.WriteFile(filepath.Join(dir, f), []byte("x"), 0o600); err != nil {
							return err
						}
					}
				}
			}
			return nil
		}
	}
	got, err := Snapshot(t.Context(), cfg, "a", likeK3s("a-node-1"))
	if want := filepath.Join(data, "server/db/shelf-snapshot/a-node-1"); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, files := range [][]string{nil, {"a-1", "a-2"}} {
		if got, err := Snapshot(t.Context(), cfg, "a", likeK3s(files...)); fault.Code(err) != int(fault.Unhealthy) {
			t.Errorf("%d files: got %q, %v", len(files), got, err)
		}
	}
	broken := errors.New("no")
	if _, err := Snapshot(t.Context(), cfg, "a", func(context.Context, ...string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
