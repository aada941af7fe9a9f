package logs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNewest(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"x.log.2": "2026-01-01T00:00:01.000Z one\n",
		"x.log.1": "2026-01-01T00:00:02.000Z two\n2026-01-01T00:00:03.000Z three\n",
		"x.log":   "2026-01-01T00:00:04.000Z four\n2026-01-01T00:00:05.000Z five\n",
		"y.log":   "2026-01-01T00:00:04.000Z other\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := logFiles(dir, "x")
	if len(files) != 3 || filepath.Base(files[0]) != "x.log.2" {
		t.Fatal(files)
	}
	ring := "2026-01-01T00:00:05.000Z five\n2026-01-01T00:00:06.000Z six\n"
	all := "2026-01-01T00:00:01.000Z one\n2026-01-01T00:00:02.000Z two\n2026-01-01T00:00:03.000Z three\n2026-01-01T00:00:04.000Z four\n" + ring
	for count, want := range map[int]string{0: all, 1: ring[30:], 2: ring, 3: all[len(all)-len(ring)-30:], 6: all, 99: all} {
		if got := string(newest([]byte(ring), files, count)); got != want {
			t.Errorf("%d lines:\n%swant\n%s", count, got, want)
		}
	}
	if got := string(newest(nil, files, 1)); got != "2026-01-01T00:00:05.000Z five\n" {
		t.Errorf("from the file alone: %q", got)
	}
	if got := newest(nil, nil, 5); len(got) != 0 {
		t.Errorf("nothing: %q", got)
	}
	for _, name := range []string{"", "../x", "*", ".x", "z"} {
		if f := logFiles(dir, name); len(f) != 0 {
			t.Errorf("%q: %v, want length 0", name, f)
		}
	}
}

func FuzzLastLines(f *testing.F) {
	f.Add([]byte("a\nb\nc\n"), 2)
	f.Add([]byte("a"), 1)
	f.Add([]byte("\n\n"), 1)
	f.Fuzz(func(t *testing.T, b []byte, count int) {
		got := lastLines(b, count)
		if count > 0 && len(b) > 0 && len(got) == 0 {
			t.Errorf("%q, %d: nothing", b, count)
		}
		if string(got) != string(b[len(b)-len(got):]) {
			t.Errorf("%q is not an end of %q", got, b)
		}
	})
}
