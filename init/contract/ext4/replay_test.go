package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplay(t *testing.T) {
	for _, c := range []struct {
		name string
		open string
		args []string
	}{
		{"checksums", "jo -c", []string{"-t", "ext4", "-b", "4096"}},
		{"no checksums", "jo", []string{"-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^64bit"}},
		{"ext3", "jo", []string{"-t", "ext3", "-b", "1024"}},
		{"32 bits", "jo -c -v 2", []string{"-t", "ext4", "-b", "2048", "-O", "^64bit"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, 1<<20)
			before := makeImage(t, "48M", dir, append(c.args, "-J", "size=4")...)
			after := copyFile(t, before)
			fresh := filepath.Join(t.TempDir(), "fresh")
			magic := append([]byte{0xC0, 0x3B, 0x39, 0x98}, bytes.Repeat([]byte("escaped "), 4000)...)
			if err := os.WriteFile(fresh, magic, 0o600); err != nil {
				t.Fatal(err)
			}
			change(t, after, "rm a/empty", "mkdir new", "cd new", "write "+fresh+" fresh", "cd /", "rm many/file-with-quite-a-long-name-to-fill-blocks-0007")
			block := 4096
			for i, arg := range c.args {
				if arg == "-b" {
					fmt.Sscan(c.args[i+1], &block)
				}
			}
			numbers, content := differing(t, before, after, block)
			if len(numbers) < 5 {
				t.Fatalf("%d blocks differ", len(numbers))
			}
			blocks := filepath.Join(t.TempDir(), "blocks")
			stale := filepath.Join(t.TempDir(), "stale")
			if err := errors.Join(os.WriteFile(blocks, content, 0o600), os.WriteFile(stale, bytes.Repeat([]byte("stale!!!"), block/8), 0o600)); err != nil {
				t.Fatal(err)
			}
			text := strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ","), "[]")
			// A block of content that an old transaction had, and that was revoked before it became
			// something else.
			lines := strings.Fields(e2(t, "debugfs", "-R", "bmap a/b/noise 3", before))
			hard := lines[len(lines)-1]
			change(t, before, c.open, "jw -b "+hard+" "+stale, "jw -r "+hard, "jw -b "+text+" "+blocks, "jc")

			got, r := listing(t, before)
			if r.Replayed < 1 {
				t.Errorf("%d transactions replayed", r.Replayed)
			}
			repaired := copyFile(t, before)
			e2(t, "e2fsck", "-fy", repaired)
			want, clean := listing(t, repaired)
			if clean.Replayed != 0 {
				t.Errorf("e2fsck has left something in the journal: got %v, want 0", clean.Replayed)
			}
			same(t, got, want)
			if got["new/fresh"] != "file "+string(magic) || got["a/empty"] != "" {
				t.Error("the change is not there")
			}
			if got["a/b/noise"] != onDisk(t, dir)["a/b/noise"] {
				t.Error("a revoked block came back")
			}
		})
	}
}
