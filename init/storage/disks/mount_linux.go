package disks

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"imgbuild/init/base/fsck"
	"imgbuild/init/base/mount"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/disk"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// use is a disk that was chosen, and how it is mounted.
type use struct {
	Device
	parts []Device // of a btrfs on several disks those that are there; else the device alone
	mode  Mode
	why   string
}

// locked reports whether a disk of it is write-protected. It is served, and can only be read.
func (u use) locked() bool {
	return slices.ContainsFunc(u.parts, func(d Device) bool { return d.Locked })
}

// lockedWhy is the detail of such a disk.
func (u use) lockedWhy() string {
	return u.Path + " is write-protected, it can only be read; move its switch, or replace it if it has none: some disks do this at the end of their life"
}

// options are btrfs' for it. Without udev nobody else names the members to the kernel, and naming
// them keeps copies out.
func (u use) options() []string {
	var list []string
	if len(u.parts) > 1 {
		for _, p := range u.parts {
			list = append(list, "device="+p.Path)
		}
	}
	if u.mode.Degraded() {
		list = append(list, "degraded")
	}
	return list
}

// ready decides, and does it.
func (d *Disks) ready(ctx context.Context, cfg *config.Config, spec config.StorageDisk) (use, error) {
	known, err := readKnown(knownFile(spec.Name))
	if err != nil {
		return use{}, err
	}
	list, err := d.List(cfg, spec.Name)
	if err != nil {
		return use{}, err
	}
	for i, dev := range list { // reads the disk: only where the answer could be to format it
		if spec.Format && known == nil && dev.Kept == "" && dev.Name == dev.Disk && dev.Parts == 0 && dev.FS.Type == "" && matches(spec.Device, dev) {
			if list[i].Blank, err = blank(dev); err != nil {
				return use{Device: dev}, fault.Wrap(err, fault.Device, "look at its cable and power, or replace it", "the disk %s cannot be read", dev.Path)
			}
		}
	}
	what, dev, err := Decide(spec, known, list)
	u := use{Device: dev, parts: []Device{dev}}
	if err != nil {
		return u, err
	}
	if what == Format {
		if u.Device, err = d.format(ctx, spec, dev); err != nil {
			return u, err
		}
		u.parts = []Device{u.Device}
	}
	if u.FS.Type == "btrfs" && what != Format {
		if u.parts, err = partsOf(known, u.FS.UUID, list); err != nil {
			return u, err
		}
		k := Known{}
		if known != nil {
			k = *known
		}
		if u.mode, u.why, err = pair(k, spec.Name, u.parts); err != nil {
			return u, err
		}
	}
	if what == Adopt {
		if err := d.inspect(u); err != nil {
			return u, err
		}
	}
	if err := d.mount(ctx, spec, u); err != nil {
		return u, err
	}
	if u.mode == Look || u.locked() {
		return u, nil // nothing may be written to it
	}
	if err := d.note(spec, u); err != nil {
		_ = unix.Unmount(MountPoint(spec.Name), unix.UMOUNT_NOFOLLOW)
		return u, fault.Wrap(err, fault.Device, "", "taking the disk %s into use", u.Path)
	}
	return u, nil
}

func blank(dev Device) (bool, error) {
	f, err := os.Open(dev.Path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return Blank(f, dev.Bytes)
}

// formatLimit ends mkfs on a disk that does not answer.
const formatLimit = 10 * time.Minute

// format makes a btrfs file system on a blank disk. mkfs.btrfs refuses one that holds anything.
func (d *Disks) format(ctx context.Context, spec config.StorageDisk, dev Device) (Device, error) {
	d.set(Status{Name: spec.Name, Device: spec.Device, Path: dev.Path, State: Busy, Detail: "a file system is made on " + dev.Path})
	d.Print("disk %s: %s (%s) is blank; a btrfs file system is made on it", spec.Name, dev.Path, dev.Serial())
	_ = d.Load("btrfs")
	ctx, cancel := context.WithTimeout(ctx, formatLimit)
	defer cancel()
	if _, err := supervise.Run(ctx, supervise.Cmd("mkfs.btrfs", "-q", "-L", spec.Name, dev.Path)); err != nil {
		return dev, fault.Wrap(err, fault.Device, "look at its cable and power, or replace it", "making a file system on %s", dev.Path)
	}
	f, err := os.Open(dev.Path)
	if err != nil {
		return dev, err
	}
	defer f.Close()
	dev.FS, err = disk.Probe(f)
	return dev, err
}

// inspect mounts a file system that the node does not know yet read-only, without a write to it,
// and refuses one that is k3s'.
func (d *Disks) inspect(u use) error {
	if err := d.before(u.Device); err != nil {
		return err
	}
	data := []string{"noload"}
	if u.FS.Type == "btrfs" {
		data = append(u.options(), "norecovery")
	}
	err := mount.Do(mount.Mount{Source: u.Path, Path: lookDir, Type: u.FS.Type, Flags: unix.MS_RDONLY | unix.MS_NOATIME, Data: strings.Join(data, ",")})
	if err != nil {
		return fault.Wrap(err, fault.Device, "check it on another computer", "the disk %s cannot be mounted", u.Path)
	}
	defer unix.Unmount(lookDir, unix.UMOUNT_NOFOLLOW)
	if _, err := os.Stat(filepath.Join(lookDir, Backups)); err == nil {
		return fault.New(fault.Input, "name another disk in storage.disks", "%s holds backups; it is not used for shares", u.Path)
	}
	if _, err := os.Stat(filepath.Join(lookDir, k3sData)); err == nil {
		return fault.New(fault.Input, "name another disk in storage.disks", "%s holds k3s' data; it is not used for shares", u.Path)
	}
	return nil
}

// before is what a file system needs before it can be mounted.
func (d *Disks) before(dev Device) error {
	if dev.FS.Type == "ext4" {
		return nil
	}
	return fault.Wrap(d.Load(dev.FS.Type), fault.Device, "use ext4", "the file system %s of the disk %s", dev.FS.Type, dev.Path)
}

// mount checks the disk if it has to be, and mounts it for use.
func (d *Disks) mount(ctx context.Context, spec config.StorageDisk, u use) error {
	if err := d.before(u.Device); err != nil {
		return err
	}
	if !u.FS.Clean && !u.locked() {
		d.set(Status{Name: spec.Name, Device: spec.Device, Path: u.Path, State: Busy, Detail: "the disk " + u.Path + " was not unmounted and is checked"})
		if err := d.check(ctx, u.Path); err != nil {
			return err
		}
	}
	data, flags := []string{"errors=remount-ro"}, uintptr(unix.MS_NOATIME|unix.MS_NOSUID|unix.MS_NODEV)
	if u.FS.Type == "btrfs" {
		data = u.options()
		if spec.Compress != "" && spec.Compress != "none" {
			data = append(data, "compress="+spec.Compress)
		}
	}
	if u.mode == Look || u.locked() {
		flags |= unix.MS_RDONLY
	}
	if u.locked() { // neither may write its journal back
		data = append(data, map[bool]string{true: "norecovery", false: "noload"}[u.FS.Type == "btrfs"])
	}
	err := mount.Do(mount.Mount{Source: u.Path, Path: MountPoint(spec.Name), Type: u.FS.Type, Flags: flags, Data: strings.Join(data, ",")})
	return fault.Wrap(err, fault.Device, "see `shelf dmesg`, and check it on another computer", "the disk %s cannot be mounted", u.Path)
}

// checkLimit ends a check that does not come to an end.
const checkLimit = 2 * time.Hour

// check has e2fsck repair what is safe without a person. What is not is left to one: these are the
// only copies of somebody's files.
func (d *Disks) check(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	res, err := fsck.Run(ctx, fsck.Safe, path, nil)
	if err != nil {
		return fault.Wrap(err, fault.Device, "", "checking the disk %s", path)
	}
	if !res.Sound() {
		return fault.New(fault.Device, "save what is on it if you can, then run `sudo e2fsck -f "+path+"` on the node and reboot",
			"the disk %s is damaged, and a repair may lose files: %s", path, res.Last)
	}
	if res.Repaired() {
		d.Print("e2fsck repaired the disk %s: %s", path, res.Last)
	}
	return nil
}
