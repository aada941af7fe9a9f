package layout

import (
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"imgbuild/init/base/limit"
	"imgbuild/init/base/report"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Undo unmounts what can be unmounted, last mounted first, and makes the rest read-only, so that no
// file system is dirty when the power goes. It is for the very end, when all services are gone.
func Undo(t report.Reporter) {
	mounts, _ := mountinfo.GetMounts(nil)
	undo{t, unix.Unmount, unix.Mount}.all(mounts)
}

// undo is how mounts are undone.
type undo struct {
	reporter report.Reporter
	unmount  func(path string, flags int) error
	mount    func(source, target, kind string, flags uintptr, data string) error
}

func (u undo) all(mounts []*mountinfo.Info) {
	u.leave(mounts)
	flush(mounts)
	for _, m := range slices.Backward(mounts) {
		if keep[m.Mountpoint] || network(m.FSType) || m.FSType == "proc" || m.FSType == "sysfs" || m.FSType == "devtmpfs" {
			continue
		}
		if err := u.unmount(m.Mountpoint, unix.UMOUNT_NOFOLLOW); err != nil && disks[m.FSType] {
			if err := u.mount("", m.Mountpoint, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				u.reporter.Say("%s stays mounted: %v", m.Mountpoint, err)
			}
		}
	}
	if err := u.mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		u.reporter.Say("/ could not be made read-only: %v", err)
		busy(u.reporter)
	}
	flush(mounts)
}

// patience is how long unmounting one network file system may take.
const patience = 5 * time.Second

// leave unmounts network file systems. One whose server is gone would hold the end of the node for
// ever, and with it the disks: what is still under way to it is given up.
func (u undo) leave(mounts []*mountinfo.Info) {
	patience := patience
	for _, m := range slices.Backward(mounts) {
		if !network(m.FSType) || limit.Within(patience, func() error { return u.unmount(m.Mountpoint, unix.UMOUNT_NOFOLLOW) }) == nil {
			continue
		}
		u.reporter.Say("%s: its server does not answer, what was not written there is lost", m.Mountpoint)
		for _, flag := range []int{unix.MNT_FORCE, unix.MNT_DETACH} {
			_ = limit.Within(time.Second, func() error { return u.unmount(m.Mountpoint, flag|unix.UMOUNT_NOFOLLOW) })
		}
		patience = time.Second // where one is gone the others often are as well
	}
}

// flush writes out the disks, one by one: sync(2) would wait for every network file system as well.
func flush(mounts []*mountinfo.Info) {
	for _, m := range mounts {
		if !disks[m.FSType] {
			continue
		}
		if f, err := os.Open(m.Mountpoint); err == nil {
			_ = unix.Syncfs(int(f.Fd()))
			f.Close()
		}
	}
}

// Sync writes out all file systems, but does not wait longer than that for any of them.
func Sync(d time.Duration) {
	_ = limit.Within(d, func() error { unix.Sync(); return nil })
}

// keep is what the end of the program still is on.
var keep = map[string]bool{"/": true, "/usr": true}

// disks are the file systems for which it matters.
var disks = map[string]bool{"ext4": true, "btrfs": true, "xfs": true, "vfat": true}

// network is the types of file systems of other machines.
func network(kind string) bool {
	return slices.Contains([]string{"nfs", "nfs4", "cifs", "smb3", "ceph"}, kind)
}

// busy reports which processes are left, for they are what keeps a file system writable.
func busy(t report.Reporter) {
	dirs, _ := os.ReadDir("/proc")
	var names []string
	for _, d := range dirs {
		if line, err := os.ReadFile("/proc/" + d.Name() + "/cmdline"); err == nil && len(line) > 0 && d.Name() != "1" && d.Name() != "self" && d.Name() != "thread-self" {
			names = append(names, strings.TrimRight(strings.ReplaceAll(string(line), "\x00", " "), " "))
		}
	}
	sort.Strings(names)
	if len(names) > 0 {
		t.Say("still running: %s", strings.Join(names, "; "))
	}
}
