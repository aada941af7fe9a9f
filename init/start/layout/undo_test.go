package layout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// The last mounted goes first, network file systems before all others; what stays in use becomes
// read-only, and the file system that the program runs from is left alone.
func TestUndo(t *testing.T) {
	busy := errors.New("busy")
	dir := t.TempDir() // in the place of a disk, which is flushed
	var mounts []*mountinfo.Info
	for _, m := range []string{"/ ext4", "/usr squashfs", "/proc proc", "/sys sysfs", "/dev devtmpfs", "/run tmpfs", dir + " ext4", "/mnt/nas nfs4", "/mnt/gone cifs", "/boot vfat"} {
		path, kind, _ := strings.Cut(m, " ")
		mounts = append(mounts, &mountinfo.Info{Mountpoint: path, FSType: kind})
	}
	var done []string
	u := undo{
		reporter: newReporter(),
		unmount: func(path string, flags int) error {
			done = append(done, fmt.Sprintf("unmount %s %#x", path, flags&^unix.UMOUNT_NOFOLLOW))
			if flags&unix.UMOUNT_NOFOLLOW == 0 {
				t.Errorf("%s: a link would be followed", path)
			}
			if path == "/mnt/gone" || path == dir {
				return busy
			}
			return nil
		},
		mount: func(_, path, _ string, flags uintptr, _ string) error {
			if flags != unix.MS_REMOUNT|unix.MS_RDONLY {
				t.Errorf("%s: got the flags %#x, want read-only", path, flags)
			}
			done = append(done, "read-only "+path)
			return busy
		},
	}
	u.all(mounts)
	want := []string{
		"unmount /mnt/gone 0x0", fmt.Sprintf("unmount /mnt/gone %#x", unix.MNT_FORCE), fmt.Sprintf("unmount /mnt/gone %#x", unix.MNT_DETACH), "unmount /mnt/nas 0x0",
		"unmount /boot 0x0", "unmount " + dir + " 0x0", "read-only " + dir, "unmount /run 0x0", "read-only /",
	}
	if !slices.Equal(done, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(done, "\n"), strings.Join(want, "\n"))
	}
}
