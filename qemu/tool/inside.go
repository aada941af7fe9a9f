package tool

import (
	"context"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"

	"imgbuild/builder/debian"
	"imgbuild/init/contract/fault"
)

// readers are the programs that read what a node's init writes, as Debian 13 has them: sshd, sudo,
// PAM, bash, the resolver of glibc (luajit calls it). proot shows them a root of their own without
// privileges, since each has the paths of its files built in.
var readers = set{
	want: []string{"proot", "bash", "coreutils", "libc-bin", "openssh-server", "openssh-client", "sudo", "pamtester", "libpam-modules", "luajit"},
	drop: []string{"adduser", "base-files", "debconf", "debianutils", "init-system-helpers", "libaudit-common", "libsemanage-common", "login.defs",
		"openssl-provider-legacy", "passwd", "perl-base", "procps", "runit-helper", "sensible-utils", "ucf"},
}

// Inside returns a command that runs a program of readers, as the root user of a system that holds
// them and nothing else. mounts puts directories and files of the host over it: path inside -> path
// outside.
func Inside(ctx context.Context, mounts map[string]string, args ...string) (*exec.Cmd, error) {
	h, err := thisHost()
	if err != nil {
		return nil, err
	}
	lock.Lock()
	defer lock.Unlock()
	dir, err := unpacked(ctx, "readers", debian.Request{Arch: h.arch, Want: readers.want, Drop: readers.drop}, nil)
	if err != nil {
		return nil, fault.Wrap(err, fault.Network, "give a mirror in IMGBUILD_MIRROR", "Debian packages with sshd, sudo and PAM")
	}
	lib := filepath.Join(dir, "usr/lib", h.triplet)
	line := []string{"--library-path", lib, filepath.Join(dir, "usr/bin/proot"), "-0", "-r", dir, "-w", "/", "-b", "/dev", "-b", "/proc"}
	for _, link := range []string{"bin", "sbin", "lib", "lib64"} { // base-files would bring them
		line = append(line, "-b", filepath.Join(dir, "usr", link)+":/"+link)
	}
	for _, inside := range slices.Sorted(maps.Keys(mounts)) {
		line = append(line, "-b", mounts[inside]+":"+inside)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(lib, h.loader), append(line, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin", "HOME=/root", "LC_ALL=C.UTF-8"}
	return cmd, nil
}
