package layout

import (
	"io/fs"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/base/mount"

	"golang.org/x/sys/unix"
)

const (
	quiet  = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	sticky = fs.ModeSticky | 0o777
)

// rootLinks make /usr usable as soon as it is mounted, in the initramfs and on the data partition.
var rootLinks = []mount.Op{
	mount.Symlink{Path: "/bin", Target: "usr/bin"},
	mount.Symlink{Path: "/sbin", Target: "usr/sbin"},
	mount.Symlink{Path: "/lib", Target: "usr/lib"},
}

// onData is what a data partition must have before it can be the root.
var onData = []mount.Op{
	mount.Dir{Path: "/k3os", Mode: 0o755},
	mount.Dir{Path: "/k3os/data", Mode: 0o755},
	mount.Dir{Path: "/k3os/config", Mode: 0o700},
}

// skeleton is made again at every boot, so that a data partition that lost a directory, or comes
// from another system, heals by itself. Other content stays.
var skeleton = append([]mount.Op{
	mount.Dir{Path: "/boot", Mode: 0o755},
	mount.Dir{Path: "/dev", Mode: 0o755},
	mount.Dir{Path: "/etc", Mode: 0o755},
	mount.Dir{Path: "/home", Mode: 0o755},
	mount.Dir{Path: "/k3os", Mode: 0o755},
	mount.Dir{Path: "/k3os/config", Mode: 0o755},
	mount.Dir{Path: "/k3os/system", Mode: 0o755},
	mount.Dir{Path: "/mnt", Mode: 0o755},
	mount.Dir{Path: "/opt", Mode: 0o755},
	mount.Dir{Path: "/proc", Mode: 0o555},
	mount.Dir{Path: "/root", Mode: 0o700},
	mount.Dir{Path: "/run", Mode: 0o755},
	mount.Dir{Path: "/srv", Mode: 0o755},
	mount.Dir{Path: "/sys", Mode: 0o555},
	mount.Dir{Path: "/tmp", Mode: sticky},
	mount.Dir{Path: "/usr", Mode: 0o755},
	mount.Dir{Path: "/var", Mode: 0o755},
	mount.Dir{Path: "/var/cache", Mode: 0o755},
	mount.Dir{Path: "/var/lib", Mode: 0o755},
	mount.Dir{Path: "/var/lib/rancher", Mode: 0o755},
	// Passable for all: /etc/rancher links to a directory in it, and kubectl of the login user has
	// to reach its kubeconfig there.
	mount.Dir{Path: "/var/lib/rancher/k3os", Mode: 0o711},
	mount.Private{Path: "/var/lib/rancher/k3os/config.yaml"},
	mount.Private{Path: "/var/lib/rancher/k3os/config.d"},
	mount.Private{Path: "/var/lib/rancher/k3os/ssh"},
	mount.Dir{Path: "/var/lib/rancher/k3os/node", Mode: 0o700},
	mount.Dir{Path: "/var/lib/rancher/k3os/rancher", Mode: 0o755},
	mount.Symlink{Path: "/var/lib/rancher/k3os/rancher/node", Target: "../node"},
	mount.Dir{Path: "/var/lib/shelf", Mode: 0o700},
	mount.Dir{Path: "/var/local", Mode: 0o755},
	mount.Dir{Path: "/var/log", Mode: 0o755},
	mount.Dir{Path: "/var/log/shelf", Mode: 0o755},
	mount.Dir{Path: "/var/spool", Mode: 0o755},
	mount.Dir{Path: "/var/tmp", Mode: sticky},
	mount.Symlink{Path: "/var/run", Target: "../run"},
	mount.Symlink{Path: "/var/lock", Target: "../run/lock"},
}, rootLinks...)

// mountPoints are the directories of the root that the system cannot do without.
var mountPoints = []string{"/boot", "/dev", "/etc", "/k3os/config", "/k3os/system", "/proc", "/run", "/sys", "/tmp", "/usr", "/var/lib/shelf", "/var/local"}

// system is the rest of the table in docs/disk.md, done after switch_root; /, /usr, /proc, /sys and
// /dev are there already. vfat is the mapping of the running slot, boot the partition BOOT.
func system(vfat, boot string) []mount.Op {
	return []mount.Op{
		mount.Mount{Source: "devpts", Path: "/dev/pts", Type: "devpts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "gid=5,mode=0620,ptmxmode=0666"},
		mount.Mount{Source: "tmpfs", Path: "/dev/shm", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=1777"},
		mount.Mount{Source: "mqueue", Path: "/dev/mqueue", Type: "mqueue", Flags: quiet, Optional: true},
		mount.Symlink{Path: "/dev/fd", Target: "/proc/self/fd"},
		mount.Symlink{Path: "/dev/stdin", Target: "/proc/self/fd/0"},
		mount.Symlink{Path: "/dev/stdout", Target: "/proc/self/fd/1"},
		mount.Symlink{Path: "/dev/stderr", Target: "/proc/self/fd/2"},
		mount.Mount{Source: "cgroup2", Path: cgroup.Root, Type: "cgroup2", Flags: quiet, Data: cgroup.MountOptions},
		mount.Mount{Source: "securityfs", Path: "/sys/kernel/security", Type: "securityfs", Flags: quiet, Optional: true},
		// Container mounts live below /run and have flags of their own.
		mount.Mount{Source: "tmpfs", Path: "/run", Type: "tmpfs", Flags: quiet, Data: "mode=0755,size=20%"},
		mount.Dir{Path: "/run/lock", Mode: sticky},
		mount.Dir{Path: "/run/shelf", Mode: 0o755},
		mount.Dir{Path: "/run/sshd", Mode: 0o755},
		mount.Mount{Source: "tmpfs", Path: "/tmp", Type: "tmpfs", Flags: quiet, Data: "mode=1777,size=20%"},
		// Scripts that write_files puts into /etc may be run, as in k3OS.
		mount.Mount{Source: "tmpfs", Path: "/etc", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=0755,size=16m"},
		mount.Mount{Source: "/var/local", Path: "/usr/local", Flags: unix.MS_BIND},
		mount.Mount{Source: boot, Path: "/boot", Type: "vfat", Flags: unix.MS_RDONLY | quiet, Data: "umask=0077,iocharset=ascii"},
		mount.Mount{Source: vfat, Path: "/k3os/system", Type: "vfat", Flags: unix.MS_RDONLY | quiet, Data: "umask=0022,iocharset=ascii"},
	}
}

// Late is what nothing of the boot needs and takes its time: the kernel runs modprobe when bpf is
// mounted.
var Late = []mount.Op{
	mount.Mount{Source: "bpf", Path: "/sys/fs/bpf", Type: "bpf", Flags: quiet, Data: "mode=0700", Optional: true},
}

// content fills /etc and /var from what the packages brought.
var content = []mount.Op{
	mount.Copy{From: "/usr/share/etc", Path: "/etc"},
	mount.Copy{From: "/usr/share/factory/var", Path: "/var", Missing: true},
	// The names of nodes and their passwords, k3s' own configuration: kept, though /etc is not.
	mount.Symlink{Path: "/etc/rancher", Target: "../var/lib/rancher/k3os/rancher"},
	mount.Symlink{Path: "/etc/mtab", Target: "../proc/self/mounts"},
	mount.Dir{Path: "/home/rancher", Mode: 0o700, UID: 1000, GID: 1000},
}
