package mount

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpsUnderRoot(t *testing.T) {
	root := t.TempDir()
	uid, gid := os.Getuid(), os.Getgid()
	table := []Op{
		Dir{Path: "/a/b", Mode: fs.ModeSticky | 0o777, UID: uid, GID: gid},
		Symlink{Path: "/a/link", Target: "b"},
	}
	for range 2 { // a table is done at every boot
		if err := Do(Under(root, table)...); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]fs.FileMode{"a": fs.ModeDir | 0o755, "a/b": fs.ModeDir | fs.ModeSticky | 0o777} {
		if st, err := os.Lstat(filepath.Join(root, path)); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", path, st.Mode(), err, want)
		}
	}
	if got, _ := os.Readlink(filepath.Join(root, "a/link")); got != "b" {
		t.Errorf("link to %q", got)
	}
}

func TestDirRepairsMode(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (Dir{Path: dir, Mode: 0o755, UID: os.Getuid(), GID: os.Getgid()}).Do(); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(dir); st.Mode().Perm() != 0o755 {
		t.Errorf("mode %v", st.Mode())
	}
}

func TestModesIgnoreUmask(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	dir := t.TempDir()
	if err := Do(Dir{Path: dir + "/p/q", Mode: 0o755, UID: os.Getuid(), GID: os.Getgid()}); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(dir + "/p"); st.Mode().Perm() != 0o755 {
		t.Errorf("a parent has mode %v", st.Mode())
	}
}

func TestSymlinkReplacesFileButNotTree(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(dir+"/x", nil, 0o644)
	os.MkdirAll(dir+"/tree/sub", 0o755)
	if err := (Symlink{Path: dir + "/x", Target: "y"}).Do(); err != nil {
		t.Error(err)
	}
	err := Do(Symlink{Path: dir + "/tree", Target: "y"})
	if err == nil {
		t.Fatal("a directory with content was replaced")
	}
	if !strings.Contains(err.Error(), "link "+dir+"/tree -> y") {
		t.Errorf("the error does not name the line: %v", err)
	}
}

func TestCopy(t *testing.T) {
	dir := t.TempDir()
	from, to := dir+"/from", dir+"/to"
	os.MkdirAll(from+"/d", 0o755)
	os.WriteFile(from+"/d/secret", []byte("s"), 0o644)
	os.Chmod(from+"/d/secret", 0o640)
	os.Chmod(from+"/d", 0o750)
	os.Symlink("nowhere", from+"/dangling")
	os.WriteFile(from+"/mine", []byte("packaged"), 0o644)
	unix.Mkfifo(from+"/pipe", 0o600)
	os.MkdirAll(to, 0o755)
	os.WriteFile(to+"/mine", []byte("kept"), 0o600)

	if err := Do(Copy{From: from, Path: to, Missing: true}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(to + "/mine"); string(got) != "kept" {
		t.Errorf("Missing replaced a file: %q", got)
	}
	for path, want := range map[string]fs.FileMode{"d": fs.ModeDir | 0o750, "d/secret": 0o640} {
		if st, err := os.Lstat(filepath.Join(to, path)); err != nil || st.Mode() != want {
			t.Errorf("%s: %v %v", path, st, err)
		}
	}
	if got, _ := os.Readlink(to + "/dangling"); got != "nowhere" {
		t.Errorf("link %q", got)
	}
	if _, err := os.Lstat(to + "/pipe"); err == nil {
		t.Error("the pipe was copied")
	}
	if err := Do(Copy{From: from, Path: to}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(to + "/mine"); string(got) != "packaged" {
		t.Errorf("a full copy left %q", got)
	}
	if err := Do(Copy{From: dir + "/nothing", Path: to}); err != nil {
		t.Errorf("nothing to copy: %v", err)
	}
}

func TestPrivate(t *testing.T) {
	root := t.TempDir()
	file, dir, link := filepath.Join(root, "file"), filepath.Join(root, "dir"), filepath.Join(root, "link")
	other := filepath.Join(t.TempDir(), "other")
	for _, path := range []string{file, other} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	table := []Op{Private{"/file"}, Private{"/dir"}, Private{"/link"}, Private{"/missing"}}
	for range 2 {
		if err := Do(Under(root, table)...); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]fs.FileMode{file: 0o600, dir: 0o700, other: 0o644} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v, want %v", path, st.Mode(), err, want)
		}
	}
}
