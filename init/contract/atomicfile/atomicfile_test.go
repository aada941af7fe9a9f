package atomicfile

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestCommit(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a [b]*")
	for _, text := range []string{"one", "two"} { // a new file, then one in the place of another
		f, err := Create(dir, 0o640)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(f.Path()); err != nil || string(got) != text {
			t.Errorf("read by its path: got %q %v, want %q", got, err, text)
		}
		if err := f.Commit(name); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != text || info.Mode().Perm() != 0o640 {
			t.Errorf("got %q %v mode %v, want %q and 0640", got, err, info.Mode(), text)
		}
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("got the files %q, want one", got)
	}
}

// What is not committed leaves nothing, and has no name meanwhile: a kill at any moment leaves as
// much.
func TestNothingLeft(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(dir, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if f.name == "" { // else this file system has no such files
		if got := names(t, dir); len(got) != 0 {
			t.Errorf("while it is written: got the files %q, want none", got)
		}
	}
	if err := f.Commit(filepath.Join(dir, "no", "such", "directory")); err == nil {
		t.Error("committed into a directory that is not there")
	}
	f.Close()
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("after Close: got the files %q, want none", got)
	}
	if _, err := Create(filepath.Join(dir, "none"), 0o600); err == nil {
		t.Error("a file in a directory that is not there")
	}
}

// A temporary file is removed once its writer is gone, and not before.
func TestSweep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "odd [dir]")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{prefix + "dead", prefix + "live", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	live, err := os.Open(filepath.Join(dir, prefix+"live"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	if err := unix.Flock(int(live.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	Sweep(dir)
	if got := names(t, dir); len(got) != 2 || got[0] != prefix+"live" || got[1] != "other" {
		t.Errorf("got %q, want the locked file and the other one", got)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	if err := Write(name, []byte("x"), 0o604); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o604 || info.Size() != 1 {
		t.Errorf("got %v %v, want mode 0604 and 1 byte", info, err)
	}
	if err := Write(filepath.Join(dir, "none", "a"), nil, 0o600); err == nil {
		t.Error("written into a directory that is not there")
	}
}
