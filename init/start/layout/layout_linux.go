// Package layout is the second step of the boot: it turns the initramfs into the system. /usr is
// the slot's squashfs through dm-verity, / the data partition, and this process goes on running in
// the new root from its copy in memory, so that it can still act when the disk under it fails.
package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/init/base/mount"
	"imgbuild/init/base/report"
	"imgbuild/init/base/uevent"
	"imgbuild/init/contract/fault"
	"imgbuild/init/disk"
	"imgbuild/init/start/preinit"

	"golang.org/x/sys/unix"
)

// Layout is the result of the step.
type Layout struct {
	Degraded bool   // the data partition is not in use: / is in memory and nothing is kept
	Rescue   string // who asked for that; empty when it is lost

	Sweep func() error // removes what a reset left over, at leisure; nil if it left nothing
}

const newRoot = "/newroot"

// Run does the step. Verity is called, at most once, when the kernel finds a bad block of /usr.
// An error that is returned ends the boot; others are reported.
func Run(t report.Reporter, s *preinit.State, verity func(block string)) (*Layout, error) {
	l := &Layout{}
	s.Modules.Subscribe(func(ev uevent.Event) {
		if block := ev["DM_VERITY_ERR_BLOCK_NR"]; block != "" && verity != nil {
			verity(block)
		}
	})
	slot := s.SlotDevice()
	size, err := deviceSize(slot)
	if err != nil {
		return nil, err
	}
	const again = "write the image to the card again; if the other slot is good the board starts it by itself"
	vfat, usr, err := mapSlot(slot, size, s.Manifest.Root)
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, again, "the system of slot %s cannot be mapped", s.Slot)
	}
	if err := unixMount(usr, "/usr", "squashfs", unix.MS_RDONLY|unix.MS_NODEV); err != nil {
		return nil, fault.Wrap(err, fault.Verify, again, "the system of slot %s cannot be mounted", s.Slot)
	}
	t.Log("/usr is mounted")
	// The modules of the initramfs are loaded or not needed; their place is wanted for the link.
	if err := os.RemoveAll("/lib"); err != nil {
		return nil, err
	}
	if err := mount.Do(rootLinks...); err != nil {
		return nil, err
	}
	if l.Rescue = rescue(t, s.Cmdline, s.Disk.Partition(disk.Boot)); l.Rescue != "" {
		l.Degraded = true
	} else if err := openData(t, s, l); err != nil {
		t.Problem(err)
		t.Say("going on without the data partition: nothing will be kept")
		l.Degraded = true
	}
	if l.Degraded {
		if err := mountNothing(); err != nil {
			return nil, err
		}
		if err := prepareRoot(t); err != nil {
			return nil, err
		}
	}
	t.Log("the data partition is mounted")
	if err := switchRoot(); err != nil {
		return nil, fmt.Errorf("switch_root: %w", err)
	}
	t.Log("the root is switched")
	if err := mount.Do(system(vfat, s.Disk.Partition(disk.Boot))...); err != nil {
		return nil, err
	}
	t.Log("the system's file systems are mounted")
	each(t, content)
	t.Log("/etc and /var are filled")
	bindSystemConfig(t)
	// k3s and its containers pass mounts on to each other, which takes shared propagation from the
	// root down.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return nil, fmt.Errorf("shared propagation: %w", err)
	}
	return l, nil
}

func unixMount(source, target, kind string, flags uintptr) error {
	return mount.Do(mount.Mount{Source: source, Path: target, Type: kind, Flags: flags})
}

// each does all lines of a table and reports those that fail: a directory that cannot be repaired
// must not keep the node from coming up.
func each(t report.Reporter, ops []mount.Op) {
	for _, op := range ops {
		if err := mount.Do(op); err != nil {
			t.Problem(unlike(err))
		}
	}
}

func unlike(err error) error {
	return fault.Wrap(err, fault.Device, "move what is in the way elsewhere and reboot", "the directories of the system are not as they should be")
}

// prepareRoot makes k3os/data of the data partition the place of the new root, and returns what
// keeps it from being one. Its mounts remain; releaseRoot takes them away.
func prepareRoot(t report.Reporter) error {
	if err := mount.Do(mount.Under(dataMount, onData)...); err != nil {
		return err
	}
	if err := mount.Do(mount.Mount{Source: dataMount + "/k3os/data", Path: newRoot, Flags: unix.MS_BIND}); err != nil {
		return err
	}
	if err := furnish(t, newRoot); err != nil {
		return err
	}
	return mount.Do(mount.Mount{Source: dataMount + "/k3os/config", Path: newRoot + "/k3os/config", Flags: unix.MS_BIND | quiet})
}

// furnish makes the directories of a root, and returns what keeps it from being one.
func furnish(t report.Reporter, root string) error {
	var reported []error
	for _, op := range mount.Under(root, skeleton) {
		if err := mount.Do(op); err != nil {
			reported = append(reported, err)
		}
	}
	// A system that cannot mount its parts would not come up at all, and a disk that takes no
	// writes any more keeps nothing.
	for _, dir := range mountPoints {
		if st, err := os.Stat(root + dir); err != nil || !st.IsDir() {
			return errors.Join(append(reported, err)...)
		}
	}
	if mount.Frozen(root) {
		return errors.Join(append(reported, errors.New("the file system has errors, and the kernel writes nothing to it any more; the next boot checks it"))...)
	}
	for _, err := range reported {
		t.Problem(unlike(err))
	}
	return nil
}

// releaseRoot undoes prepareRoot and the mount of the data partition.
func releaseRoot() {
	for _, path := range []string{newRoot + "/k3os/config", newRoot, dataMount} {
		_ = unix.Unmount(path, unix.MNT_DETACH)
	}
}

// switchRoot makes the prepared root the root and leaves nothing of the initramfs but this process.
func switchRoot() error {
	for _, dir := range []string{"/usr", "/dev", "/sys", "/proc"} {
		if err := unix.Mount(dir, newRoot+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("moving %s: %w", dir, err)
		}
	}
	if err := unix.Unmount(dataMount, unix.MNT_DETACH); err != nil {
		return err
	}
	// Files left in the initramfs would be memory that cannot be reached any more.
	for _, path := range []string{"/init", "/lib", "/etc"} {
		_ = os.RemoveAll(path)
	}
	if err := unix.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// bindSystemConfig shows the imported configuration where k3OS had it, if the slot has a file to
// mount it on: a mount needs one, and the slot is read-only.
func bindSystemConfig(t report.Reporter) {
	const from, to = "/k3os/config/system.yaml", "/k3os/system/config.yaml"
	for _, path := range []string{from, to} {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	if err := mount.Do(mount.Mount{Source: from, Path: to, Flags: unix.MS_BIND | quiet}); err != nil {
		t.Problem(fmt.Errorf("%s: %w", filepath.Base(to), err))
	}
}
