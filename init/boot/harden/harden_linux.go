// Package harden takes from users of a node what they do not need: kernel settings of the image's
// table, and the sight of other users' processes. docs/SECURITY.md has the reasons.
package harden

import (
	"errors"
	"fmt"
	"os/user"

	"golang.org/x/sys/unix"

	"imgbuild/init/base/sysctl"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
)

// Node does all of it. group may see all processes. It is called before the network's modules are
// loaded, so that each card gets the defaults.
func Node(k *manifest.K3s, group string) error {
	err := sysctl.Apply(sysctl.Dir, "/proc/sys")
	if !HidesProcesses(k) {
		return err
	}
	return errors.Join(err, hide(group))
}

// HidesProcesses decides whether users see their own processes only. Not where pods run: they see
// the node's /proc through a hostPath, and a node exporter in a pod (uid 65534) that does not see
// process 1 reads the mounts of its own container instead, and reports wrong figures without an
// error.
func HidesProcesses(k *manifest.K3s) bool { return k == nil || k.Source == "none" }

// hide mounts /proc again, with hidepid of proc(5).
func hide(group string) error {
	g, err := user.LookupGroup(group)
	if err == nil {
		err = unix.Mount("proc", "/proc", "proc", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "hidepid=invisible,gid="+g.Gid)
	}
	if err != nil {
		return fault.Wrap(fmt.Errorf("/proc: %w", err), fault.Internal, "", "users see the processes of others")
	}
	return nil
}
