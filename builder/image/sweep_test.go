package image

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSweepOut: what a killed build left in the output directory, secrets included, goes at the
// next start; what a running one works in stays.
func TestSweepOut(t *testing.T) {
	out := t.TempDir()
	killed, err := tempIn(out)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(out, ".imgbuild-build-4711")
	if err := os.Rename(killed.Path, left); err != nil { // as after the end of its process: nobody holds this name
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "image"), []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	killed.Remove()
	running, err := tempIn(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckOut(out); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(out)
	if err != nil || len(list) != 1 || list[0].Name() != filepath.Base(running.Path) {
		t.Errorf("left in the output directory: %v %v", list, err)
	}
	if info, err := os.Stat(running.Path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the working directory has mode %v: %v", info.Mode(), err)
	}
}
