package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/fault"
	"imgbuild/init/disk"
	"imgbuild/init/storage/disks"

	"golang.org/x/sys/unix"
)

// mountDir is where enrolled disks are mounted while they are in use.
const mountDir = "/run/shelf/storage/backup"

// attach mounts the disk of a place. done unmounts it: it can be unplugged then.
func (j *Job) attach(p Place, name string) (root string, done func() error, err error) {
	_ = unix.Unmount(filepath.Join(mountDir, name), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) // of a run that was killed
	list, err := j.Devices()
	if err != nil {
		return "", nil, err
	}
	d, err := find(p, name, list)
	if err != nil {
		return "", nil, err
	}
	return mountAt(d.Path, name)
}

func mountAt(device, name string) (root string, done func() error, err error) {
	root = filepath.Join(mountDir, name)
	err = mount.Do(mount.Dir{Path: root, Mode: 0o700},
		mount.Mount{Source: device, Path: root, Type: "btrfs", Flags: unix.MS_NOATIME | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC})
	if err != nil {
		return "", nil, fault.Wrap(err, fault.Device, "see `shelf dmesg`", "the disk %s cannot be mounted", device)
	}
	return root, func() error {
		err := errors.Join(syncFS(root), os.NewSyscallError("unmount", unix.Unmount(root, unix.UMOUNT_NOFOLLOW)))
		if err != nil {
			_ = unix.Unmount(root, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		}
		return fault.Wrap(err, fault.Device, "see `shelf dmesg`", "the disk %s", device)
	}, nil
}

// Enroll makes a disk a place for backups: from now on one is made whenever it is attached. A blank
// one that is named by its serial number gets a file system, if that is asked for.
func (j *Job) Enroll(ctx context.Context, spec, name string, format bool) (Place, error) {
	if !goodName(name) {
		return Place{}, fault.New(fault.Usage, "add name=NAME: small letters, digits, _ and -, 32 at most", "%q is not a name for a place", name)
	}
	unlock, err := j.lock()
	if err != nil {
		return Place{}, err
	}
	defer unlock()
	s, err := Load(j.Own)
	if err != nil {
		return Place{}, err
	}
	if _, ok := s.Places[name]; ok || j.remote(name) {
		return Place{}, fault.New(fault.Usage, "choose another name, or run `sudo shelf backup forget "+name+"` first", "there is a place %q already", name)
	}
	list, err := j.Devices()
	if err != nil {
		return Place{}, err
	}
	for i, d := range list {
		if format && d.FS.Type == "" && d.Kept == "" && d.Name == d.Disk && d.Parts == 0 && disks.Matches(spec, d) {
			if list[i].Blank, err = blank(d); err != nil {
				return Place{}, fault.Wrap(err, fault.Device, "look at its cable and power", "the disk %s cannot be read", d.Path)
			}
		}
	}
	d, fresh, err := candidate(spec, format, list)
	if err != nil {
		return Place{}, err
	}
	if fresh {
		j.Say("a btrfs file system is made on %s", d.Path)
		if err := command(ctx, nil, nil, "mkfs.btrfs", "-q", "-L", "shelf-backup", d.Path); err != nil {
			return Place{}, fault.Wrap(err, fault.Device, "look at its cable and power", "making a file system on %s", d.Path)
		}
		if d.FS, err = probe(d.Path); err != nil {
			return Place{}, err
		}
	}
	for _, o := range s.Names() {
		if s.Places[o].UUID == d.FS.UUID {
			return Place{}, fault.New(fault.Usage, "", "this disk is enrolled already, as %s", o)
		}
	}
	root, done, err := mountAt(d.Path, name)
	if err != nil {
		return Place{}, err
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(root, vaultDir), 0o700), done()); err != nil {
		return Place{}, err
	}
	p := Place{UUID: d.FS.UUID, Serial: d.Serial()}
	return p, s.with(name, func(o *Place) { *o = p }).save(j.Own)
}

func blank(d disks.Device) (bool, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return disks.Blank(f, d.Bytes)
}

func probe(path string) (disk.FS, error) {
	f, err := os.Open(path)
	if err != nil {
		return disk.FS{}, err
	}
	defer f.Close()
	return disk.Probe(f)
}
