package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// A file that is not committed leaves nothing, and has no name meanwhile: a kill at any moment
// leaves as much.
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

// Whatever fails leaves nothing behind, neither in the place of a directory nor next to a name that
// is taken.
func TestFailuresLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "taken"), []byte("a"), 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if err := Symlink("x", filepath.Join(dir, "taken")); err == nil {
		t.Error("a directory was replaced by a link")
	}
	if err := Link(filepath.Join(dir, "none"), filepath.Join(dir, "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("link of a missing file: got %v, want %v", err, fs.ErrNotExist)
	}
	if got, want := names(t, dir), []string{"taken"}; !slices.Equal(got, want) {
		t.Errorf("got the files %q, want %q", got, want)
	}
}

func TestCommitNew(t *testing.T) {
	for _, named := range []bool{false, true} { // as on file systems without files that have no name
		dir := t.TempDir()
		name := filepath.Join(dir, "key")
		for i, want := range []error{nil, fs.ErrExist} {
			f, err := create(dir, 0o600, named)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(f, i)
			if err := f.CommitNew(name); !errors.Is(err, want) {
				t.Errorf("named %v, try %d: got %v, want %v", named, i, err, want)
			}
			f.Close()
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != "0" {
			t.Errorf("named %v: got %q %v, want the first content", named, got, err)
		}
		if got := names(t, dir); len(got) != 1 {
			t.Errorf("named %v: got the files %q, want one", named, got)
		}
	}
}

// A file that is right keeps its inode; a wrong content, mode or kind is repaired.
func TestUpdate(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	inode := func() uint64 {
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			t.Fatal(err)
		}
		return st.Ino
	}
	if err := Update(name, []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	first, err := os.Open(name) // keeps the inode's number from being used again
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	was := inode()
	if err := Update(name, []byte("x"), 0o640); err != nil || inode() != was {
		t.Errorf("unchanged: got inode %d, %v, want %d", inode(), err, was)
	}
	if err := Update(name, []byte("y"), 0o640); err != nil || inode() == was {
		t.Errorf("another content: got the same inode, %v", err)
	}
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Update(name, []byte("y"), 0o640); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(name); err != nil || st.Mode() != 0o640 {
		t.Errorf("got %v %v, want mode 0640", st.Mode(), err)
	}
	other := filepath.Join(dir, "b")
	if err := Symlink("a", other); err != nil {
		t.Fatal(err)
	}
	if err := Update(other, []byte("y"), 0o640); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(other); err != nil || !st.Mode().IsRegular() {
		t.Errorf("in the place of a link: got %v %v, want a file", st.Mode(), err)
	}
}

func TestLinks(t *testing.T) {
	dir := t.TempDir()
	one, two, link := filepath.Join(dir, "1"), filepath.Join(dir, "2"), filepath.Join(dir, "link")
	for _, name := range []string{one, two} {
		if err := Write(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Symlink(name, link); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(link); got != name {
			t.Errorf("symbolic link: got %q %v, want %q", got, err, name)
		}
	}
	if err := Link(one, two); err != nil {
		t.Fatal(err)
	}
	a, err := os.Stat(one)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.Stat(two); err != nil || !os.SameFile(a, b) {
		t.Errorf("hard link: got another file, %v", err)
	}
	if err := Rename(two, filepath.Join(dir, "3")); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, dir), []string{"1", "3", "link"}; !slices.Equal(got, want) {
		t.Errorf("got the files %q, want %q", got, want)
	}
}

func TestUnfinished(t *testing.T) {
	f, err := create(t.TempDir(), 0o600, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !Unfinished(f.Path()) || Unfinished("/a/"+prefix+"/b") {
		t.Errorf("got %v for %s, want true for it alone", Unfinished(f.Path()), f.Path())
	}
}

func TestWriteAs(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	mode := 0o750 | os.ModeSetgid
	if err := WriteAs(name, []byte("x"), mode, os.Getuid(), os.Getgid()); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(name); err != nil || st.Mode() != mode {
		t.Errorf("got %v %v, want %v", st.Mode(), err, mode)
	}
	uid, gid := 12, 34
	err := WriteAs(name, []byte("y"), mode, uid, gid)
	if os.Getuid() != 0 {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("without root: got %v, want %v", err, fs.ErrPermission)
		}
		uid, gid = os.Getuid(), os.Getgid()
	} else if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil || int(st.Uid) != uid || int(st.Gid) != gid {
		t.Errorf("got the owner %d:%d %v, want %d:%d", st.Uid, st.Gid, err, uid, gid)
	}
	if info, err := os.Stat(name); err != nil || info.Mode() != mode {
		t.Errorf("got %v %v, want %v after the change of owner", info.Mode(), err, mode)
	}
}
