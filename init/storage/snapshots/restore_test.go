package snapshots

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
)

func TestParseAt(t *testing.T) {
	now := time.Date(2026, 11, 30, 18, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-11-30 14:00": "2026-11-30 14:00", "2026-11-30T14:00": "2026-11-30 14:00", "2026-11-30T14:00:00+01:00": "2026-11-30 13:00", "3h": "2026-11-30 15:00",
		"2d": "2026-11-28 18:00", "@GMT-2026.11.30-14.00.00": "2026-11-30 14:00", "90m": "2026-11-30 16:30",
	} {
		if got, err := ParseAt(text, now); err != nil || !got.Equal(at(want)) {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
	if got, err := ParseAt("2026-11-29", now); err != nil || !got.Equal(at("2026-11-29 23:59").Add(59*time.Second)) {
		t.Errorf("a day: got %v, %v, want its last second", got, err)
	}
	for _, bad := range []string{"", "yesterday", "-3h", "2026-13-01", "-1d", "9999999999d"} {
		if got, err := ParseAt(bad, now); fault.Code(err) != int(fault.Usage) {
			t.Errorf("%q: got %v, %v, want a usage error", bad, got, err)
		}
	}
}

// write makes a file with a content and a time.
func write(t *testing.T, path, content string, when time.Time) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o640), os.Chtimes(path, when, when)); err != nil {
		t.Fatal(err)
	}
}

// A file that was overwritten or deleted comes back from the right snapshot, and what is there is
// kept under another name.
func TestRestore(t *testing.T) {
	share := filepath.Join(t.TempDir(), "photos")
	file := filepath.Join(share, "trip/a.txt")
	days := []time.Time{at("2026-11-27 12:00"), at("2026-11-28 12:00"), at("2026-11-29 12:00")}
	for i, d := range days {
		write(t, filepath.Join(share, Shown, Name(d), "trip/a.txt"), []string{"one", "two", "three"}[i], d)
	}
	write(t, file, "three", days[2])
	list, err := Versions(file)
	if err != nil || len(list) != 3 {
		t.Fatalf("got %v, %v, want three versions", list, err)
	}
	for _, c := range []struct {
		name string
		at   time.Time
		want string
	}{
		{"the newest that differs", time.Time{}, "two"},
		{"of a moment", at("2026-11-27 18:00"), "one"},
		{"of the newest", at("2026-12-01 00:00"), "three"},
	} {
		v, err := Choose(file, list, c.at)
		if text, _ := os.ReadFile(v.Path); err != nil || string(text) != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.name, text, err, c.want)
		}
	}
	if _, err := Choose(file, list, at("2026-11-01 00:00")); fault.Code(err) != int(fault.Input) {
		t.Errorf("before the first: got %v, want an input error", err)
	}
	aside, err := Restore(list[0], file, days[2])
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{file: "one", aside: "three"} {
		if text, err := os.ReadFile(path); err != nil || string(text) != want {
			t.Errorf("%s: got %q, %v, want %q", path, text, err, want)
		}
	}
	if st, err := os.Stat(file); err != nil || !st.ModTime().Equal(days[0]) || st.Mode().Perm() != 0o640 {
		t.Errorf("time and mode: got %v, %v", st, err)
	}
	// A directory that is gone, whole.
	if err := os.RemoveAll(filepath.Join(share, "trip")); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(share, "trip")
	if list, err = Versions(dir); err != nil {
		t.Fatal(err)
	}
	v, err := Choose(dir, list, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if aside, err := Restore(v, dir, days[2]); err != nil || aside != "" {
		t.Errorf("got %q, %v", aside, err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "three" {
		t.Errorf("got %q, %v, want three", text, err)
	}
	left, err := filepath.Glob(filepath.Join(share, ".*.restored-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := Versions("/etc/passwd"); fault.Code(err) != int(fault.Usage) {
		t.Errorf("outside any share: got %v, want a usage error", err)
	}
}

// Files with several names stay one file in a copy, and a copy goes into an empty directory too.
func TestCopyTreeLinks(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write(t, filepath.Join(from, "a"), "one", at("2026-11-27 12:00"))
	if err := errors.Join(os.Link(filepath.Join(from, "a"), filepath.Join(from, "b")), os.Symlink("a", filepath.Join(from, "c"))); err != nil {
		t.Fatal(err)
	}
	if err := CopyTree(from, to); err != nil {
		t.Fatal(err)
	}
	a, err := os.Stat(filepath.Join(to, "a"))
	b, err2 := os.Stat(filepath.Join(to, "b"))
	if err := errors.Join(err, err2); err != nil || !os.SameFile(a, b) {
		t.Errorf("a and b are two files in the copy: %v", err)
	}
	if link, err := os.Readlink(filepath.Join(to, "c")); link != "a" {
		t.Errorf("the link: got %q, %v, want a", link, err)
	}
	if err := CopyTree(from, filepath.Join(to, "a")); err == nil {
		t.Error("a copy over a file: got no error")
	}
}

// Who has files of a directory open is found, and nobody else.
func TestHolders(t *testing.T) {
	proc, dir := t.TempDir(), "/srv/data/photos"
	for pid, links := range map[string]map[string]string{
		"10": {"fd/3": dir + "/a.jpg"}, "11": {"cwd": dir}, "12": {"fd/3": dir + "-old/a.jpg", "cwd": "/"}, "self": {"cwd": dir},
	} {
		for name, to := range links {
			path := filepath.Join(proc, pid, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(to, path)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "comm"), []byte("smbd\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := Holders(proc, dir), []string{"smbd (10)", "smbd (11)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
