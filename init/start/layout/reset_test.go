package layout

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// nodeDir makes what is below k3os of a data partition in use.
func nodeDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"config/system.yaml": "hostname: kept", "config/config.d/a.yaml": "a: b",
		"data/var/lib/rancher/k3os/hostname": "shelf-1", "data/var/lib/rancher/k3os/node/password": "pw", "data/var/lib/rancher/k3os/ssh/ssh_host_ed25519_key": "key",
		"data/var/lib/shelf/machine-id": "id", "data/var/lib/shelf/clock": "",
		"data/var/lib/rancher/k3os/config.yaml": "local", "data/var/lib/rancher/k3s/server/db/state.db": "db", "data/home/rancher/file": "mine", "data/var/lib/shelf/last": "reset",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "data/var/lib/rancher/k3os/node"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// files returns the content of every file below dir by its path.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		got[strings.TrimPrefix(path, dir+"/")] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

var afterReset = map[string]string{
	"config/system.yaml": "hostname: kept", "config/config.d/a.yaml": "a: b",
	"data/var/lib/rancher/k3os/hostname": "shelf-1", "data/var/lib/rancher/k3os/node/password": "pw", "data/var/lib/rancher/k3os/ssh/ssh_host_ed25519_key": "key",
	"data/var/lib/shelf/machine-id": "id", "data/var/lib/shelf/clock": "",
}

type cut struct{}

// A cut at any step, and another one at any step of the second try, end in the same partition.
func TestReset(t *testing.T) {
	var steps []string
	dir := nodeDir(t)
	if done, err := reset(dir, nil); done || err != nil {
		t.Fatalf("without an order: %v %v", done, err)
	}
	if err := OrderReset(filepath.Join(dir, "config")); err != nil {
		t.Fatal(err)
	}
	done, err := reset(dir, func(s string) { steps = append(steps, s) })
	if !done || err != nil {
		t.Fatal(done, err)
	}
	finish(t, dir)
	if !slices.Contains(steps, "second rename") || len(steps) < 10 {
		t.Fatal(steps)
	}
	for first := range steps {
		for _, second := range []int{0, first, len(steps) - 3, len(steps) - 1} {
			dir := nodeDir(t)
			if err := OrderReset(filepath.Join(dir, "config")); err != nil {
				t.Fatal(err)
			}
			attempt(t, dir, first)
			attempt(t, dir, second)
			if _, err := reset(dir, func(string) {}); err != nil {
				t.Fatalf("cut before %s and before step %d: %v", steps[first], second, err)
			}
			finish(t, dir)
		}
	}
}

// attempt resets until the step of this number.
func attempt(t *testing.T, dir string, number int) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil && r != (cut{}) {
			panic(r)
		}
	}()
	if _, err := reset(dir, func(string) {
		if number == 0 {
			panic(cut{})
		}
		number--
	}); err != nil {
		t.Fatal(err)
	}
}

// finish sweeps and compares.
func finish(t *testing.T, dir string) {
	t.Helper()
	if f := sweep(dir); f != nil {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	if got := files(t, dir); !reflect.DeepEqual(got, afterReset) {
		t.Fatalf("%v, want %v", got, afterReset)
	}
	if st, err := os.Stat(filepath.Join(dir, "data/var/lib/rancher/k3os/node")); err != nil || st.Mode().Perm() != 0o700 {
		t.Fatal(st, err)
	}
	if sweep(dir) != nil {
		t.Error("there is something to sweep after sweeping")
	}
}

// A second reset is not taken for the end of the first, whose old data still are there.
func TestResetAgain(t *testing.T) {
	dir := nodeDir(t)
	for range 2 {
		if err := OrderReset(filepath.Join(dir, "config")); err != nil {
			t.Fatal(err)
		}
		if done, err := reset(dir, func(string) {}); !done || err != nil {
			t.Fatal(done, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "data/new"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(filepath.Join(dir, "data/new"))
	finish(t, dir)
}

func TestResetNonsense(t *testing.T) {
	dir := nodeDir(t)
	before := files(t, dir)
	for _, text := range []string{"", "../../x", "12345678aa", "zzzzzzzz"} {
		flag := filepath.Join(dir, "config", resetFlag)
		if err := os.WriteFile(flag, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if done, err := reset(dir, func(string) {}); done || err == nil {
			t.Errorf("%q: %v %v", text, done, err)
		}
		os.Remove(flag)
		if got := files(t, dir); !reflect.DeepEqual(got, before) {
			t.Fatal(got)
		}
	}
}

// TestNoOrder: a data partition that is damaged is not taken for one that is to be reset.
func TestNoOrder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte("no directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	if done, err := reset(dir, func(step string) { t.Errorf("it does %s", step) }); done || err != nil {
		t.Errorf("%v %v", done, err)
	}
}
