package layout

import (
	"os"
	"sort"
	"strings"

	"imgbuild/init/report"

	"golang.org/x/sys/unix"
)

// Undo unmounts what can be unmounted, last mounted first, and makes the rest read-only, so that no file system is
// dirty when the power goes. It is for the very end, when all services are gone.
func Undo(t report.Teller) {
	unix.Sync()
	mounts := mounted()
	for i := len(mounts) - 1; i >= 0; i-- {
		m := mounts[i]
		if keep[m.path] || m.kind == "proc" || m.kind == "sysfs" || m.kind == "devtmpfs" {
			continue
		}
		if err := unix.Unmount(m.path, unix.UMOUNT_NOFOLLOW); err != nil && disks[m.kind] {
			if err := unix.Mount("", m.path, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Say("%s stays mounted: %v", m.path, err)
			}
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Say("/ could not be made read-only: %v", err)
		busy(t)
	}
	unix.Sync()
}

// keep is what the end of the program still stands on.
var keep = map[string]bool{"/": true, "/usr": true}

// disks are the file systems for which it matters.
var disks = map[string]bool{"ext4": true, "btrfs": true, "xfs": true, "vfat": true}

type mountLine struct{ path, kind string }

func mounted() []mountLine {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil
	}
	var out []mountLine
	for _, line := range strings.Split(string(data), "\n") {
		if f := strings.Fields(line); len(f) >= 3 {
			out = append(out, mountLine{unescape.Replace(f[1]), f[2]})
		}
	}
	return out
}

// unescape undoes what the kernel does to white space in paths.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// busy tells which processes are left, for they are what keeps a file system writable.
func busy(t report.Teller) {
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
