package marks

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMarks(t *testing.T) {
	dir := t.TempDir()
	boot := func(want string) {
		t.Helper()
		if got, err := Running(dir); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	boot("")
	boot(NoShutdown)
	if err := Stopped(dir, "upgrade"); err != nil {
		t.Fatal(err)
	}
	boot("upgrade")
	for range 2 {
		if err := Stopped(dir, "poweroff"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, running)); err == nil {
		t.Error("the mark stays")
	}
	if err := os.MkdirAll(filepath.Join(dir, "d", last), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Stopped(filepath.Join(dir, "no"), "x"); err == nil {
		t.Error("noted where there is no directory")
	}
	if _, err := Running(filepath.Join(dir, "d")); err == nil {
		t.Error("a directory was read")
	}
}
