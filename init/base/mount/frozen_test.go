package mount

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel's count is found through the number of the device; where it counts nothing, or
// there is no ext4, nothing is tried and nothing is frozen.
func TestErrorCount(t *testing.T) {
	dir, sys := t.TempDir(), t.TempDir()
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	if n := errorCount(sys, dir); n != 0 {
		t.Errorf("no such device: %d, want 0", n)
	}
	link := filepath.Join(sys, "dev/block", fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev))))
	count := filepath.Join(sys, "fs/ext4/mmcblk0p4/errors_count")
	for _, path := range []string{link, count} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../../devices/platform/mmc0/block/mmcblk0/mmcblk0p4", link); err != nil {
		t.Fatal(err)
	}
	if n := errorCount(sys, dir); n != 0 {
		t.Errorf("no ext4: %d, want 0", n)
	}
	for text, want := range map[string]int{"0\n": 0, "3\n": 3, "": 0} {
		if err := os.WriteFile(count, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if n := errorCount(sys, dir); n != want {
			t.Errorf("%q: %d, want %v", text, n, want)
		}
	}
	if !takesFile(dir) || Frozen(dir) {
		t.Error("a directory that can be written to is frozen")
	}
	if takesFile(filepath.Join("/proc", "self")) { // a file system without such files reports so, which is not a sign
		return
	}
	t.Error("what is not supported is frozen")
}
