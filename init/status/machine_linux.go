package status

import (
	"fmt"
	"os"
	"strings"
	"time"

	"imgbuild/init/base/mount"
	"imgbuild/init/status/health"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Disks reports how full the file systems are that can fill up: those of paths, and other disks
// below /var/lib/rancher, /srv and /mnt, except for what k3s mounts for pods.
func Disks(paths ...string) []health.Disk {
	mounts, _ := mountinfo.GetMounts(nil)
	for _, m := range mounts {
		if strings.HasPrefix(m.Source, "/dev/") && shown(m.Mountpoint) {
			paths = append(paths, m.Mountpoint)
		}
	}
	list := []health.Disk{}
	for _, p := range paths {
		var st unix.Statfs_t
		if unix.Statfs(p, &st) != nil || st.Blocks == 0 {
			continue
		}
		d := health.Disk{Path: p, Size: st.Blocks * uint64(st.Bsize), Free: st.Bavail * uint64(st.Bsize), ReadOnly: mount.Frozen(p)}
		if st.Files > 0 {
			d.Inode = int((st.Files - st.Ffree) * 100 / st.Files)
		}
		list = append(list, d)
	}
	return list
}

// shown reports whether a mount point is one that people know.
func shown(path string) bool {
	if strings.Contains(path, "/kubelet/") || strings.Contains(path, "/.snapshots") || strings.Count(path, "/") > 4 {
		return false
	}
	return strings.HasPrefix(path, "/var/lib/rancher") || strings.HasPrefix(path, "/srv") || strings.HasPrefix(path, "/mnt")
}

// Load returns the load averages of 1, 5 and 15 minutes.
func Load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(text))
	return strings.Join(f[:min(3, len(f))], " ")
}

// Meminfo returns one line of /proc/meminfo in bytes; 0 if there is none of that name.
func Meminfo(name string) int64 {
	data, _ := os.ReadFile("/proc/meminfo")
	for l := range strings.Lines(string(data)) {
		var kib int64
		if key, rest, _ := strings.Cut(l, ":"); key == name {
			_, _ = fmt.Sscan(rest, &kib)
			return kib << 10
		}
	}
	return 0
}

// Started is when the kernel started, as the clock counts now.
func Started() time.Time {
	data, _ := os.ReadFile("/proc/uptime")
	up, _, _ := strings.Cut(string(data), " ")
	d, _ := time.ParseDuration(up + "s")
	return time.Now().Add(-d)
}
