package disks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"

	"golang.org/x/sys/unix"
)

// look brings the status of a mounted disk up to date. A member that is lost while the disk is in
// use leaves it in use; that the rest was written alone is recorded at once, so that the lost
// one is never taken for the newest.
func (d *Disks) look(spec config.StorageDisk, s Status) Status {
	at := MountPoint(spec.Name)
	left := s.attached()
	switch lost := len(s.parts) - len(left); {
	case lost > 0 && len(left) > 0:
		if !s.Degraded || s.repair {
			d.Print("disk %s: %s was pulled out while it was in use", spec.Name, paths(gone(s.parts, left)))
		}
		s.Degraded, s.repair = true, false
		s.Detail = fmt.Sprintf("%s was lost while it was in use; it is written to the rest alone: a further failure loses data. Attach it and reboot, or run `sudo shelf storage replace %s DEVICE`",
			paths(gone(s.parts, left)), spec.Name)
		if err := d.alone(spec.Name, left, false); err != nil {
			s.Detail += "; that cannot be recorded: " + err.Error()
		}
	case s.Degraded && s.ReadOnly, s.locked:
		return s
	case !s.Degraded:
		s.Detail = ""
	}
	if s.ReadOnly = mount.Frozen(at); s.ReadOnly {
		s.Detail = "the disk has failed and can only be read; reboot, which checks it; if that comes again save what is on it and replace it"
	}
	return s
}

// gone are the members of all that are not in left.
func gone(all, left []Device) []Device {
	return slices.DeleteFunc(slices.Clone(all), func(d Device) bool {
		return slices.ContainsFunc(left, func(l Device) bool { return l.Name == d.Name })
	})
}

// alone records that these members are written without the others.
func (d *Disks) alone(name string, left []Device, consent bool) error {
	k, err := readKnown(knownFile(name))
	if err != nil {
		return err
	}
	if k == nil {
		return fault.New(fault.Internal, "", "nothing is known of the disk %s", name)
	}
	names := identities(left)
	if len(k.Alone) > 0 && !consent { // the first loss counts; a member can only go from the list
		names = slices.DeleteFunc(names, func(m string) bool { return !slices.Contains(k.Alone, m) })
	}
	k.Alone, k.Consent, k.Repairing = names, k.Consent || consent, false
	return d.record(name, *k)
}

// identities are the UUIDs of members, sorted.
func identities(list []Device) []string {
	var names []string
	for _, p := range list {
		names = append(names, p.FS.Member)
	}
	slices.Sort(names)
	return names
}

// Order is the owner's word that a disk of which a member is missing may be written. It holds until
// the disk is whole again. The missing half is refused from then on, unless both are there.
func (d *Disks) Order(ctx context.Context, name string) error {
	d.work.Lock()
	defer d.work.Unlock()
	s := d.get(name)
	switch {
	case s.State != Mounted:
		return fault.New(fault.Usage, "run `shelf storage`", "the disk %q is not in use", name)
	case len(s.parts) == 0 || !s.Degraded || s.repair:
		return fault.New(fault.Usage, "run `shelf storage`", "no part of the disk %s is missing", name)
	case !s.ReadOnly:
		return d.alone(name, s.attached(), true)
	}
	at := MountPoint(name)
	if err := unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_NOATIME|unix.MS_NOSUID|unix.MS_NODEV, "degraded"); err != nil {
		return fault.Wrap(err, fault.Device, "the missing disk holds data that is nowhere else; attach it", "the disk %s cannot be written without the missing one", name)
	}
	if known, err := readKnown(knownFile(name)); err == nil && known == nil { // it was adopted without its other half
		spec := config.StorageDisk{Name: name}
		if err := d.note(spec, use{Device: s.parts[0], parts: s.parts}); err != nil {
			return err
		}
	}
	if err := d.alone(name, s.parts, true); err != nil {
		if back := unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOATIME|unix.MS_NOSUID|unix.MS_NODEV, "degraded"); back != nil {
			err = fmt.Errorf("%w; %w", err, back)
		}
		return fault.Wrap(err, fault.Device, "", "the order for the disk %s cannot be recorded", name)
	}
	k := Known{Alone: identities(s.parts), Consent: true}
	_, why, _ := pair(k, name, s.parts)
	s.ReadOnly, s.Detail = false, why
	d.set(s)
	d.Print("disk %s: written without its missing half from now on, as ordered", name)
	return nil
}

// Whole records that a disk is redundant again.
func (d *Disks) Whole(name string) error {
	d.work.Lock()
	defer d.work.Unlock()
	k, err := readKnown(knownFile(name))
	if err != nil || k == nil {
		return err
	}
	k.Alone, k.Consent, k.Repairing = nil, false, false
	s := d.get(name)
	if now := current(k.UUID); len(now) > 1 { // a disk may have taken the place of another
		s.parts, k.Members = now, nil
		for _, p := range now {
			k.member(p.FS.Member, p.Serial())
		}
	} else if len(now) == 1 {
		s.parts, k.Members, k.Serial = now, nil, now[0].Serial()
		s.Path, s.Serial = now[0].Path, k.Serial
	}
	if err := d.record(name, *k); err != nil {
		return err
	}
	s.Degraded, s.repair, s.Detail = false, false, ""
	d.set(s)
	d.Print("disk %s: it is redundant again", name)
	return nil
}

// current are the members of a mounted btrfs as the kernel has them.
func current(uuid string) []Device {
	entries, err := os.ReadDir("/sys/fs/btrfs/" + uuid + "/devices")
	if err != nil {
		return nil
	}
	var list []Device
	for _, e := range entries {
		if dev, ok := (where{"/sys", "/dev"}).device(e.Name()); ok {
			list = append(list, dev)
		}
	}
	return list
}

// Replacement returns the number of the member of a disk that is to be replaced, and the device
// that takes its place. device names a blank disk, by SERIAL= or by-id; old one of the members, or
// is empty for the missing one, or the only one.
func (d *Disks) Replacement(cfg *config.Config, name, device, old string) (member, path string, err error) {
	d.work.Lock()
	defer d.work.Unlock()
	s := d.get(name)
	if s.State != Mounted || s.Type != "btrfs" {
		return "", "", fault.New(fault.Usage, "run `shelf storage`", "the disk %q is not in use, or has no btrfs file system", name)
	}
	list, err := d.List(cfg, "")
	if err != nil {
		return "", "", err
	}
	id, err := replaced(s, absent(s.UUID), old)
	if err != nil {
		return "", "", err
	}
	for i, dev := range list {
		if dev.Kept == "" && dev.Name == dev.Disk && dev.Parts == 0 && dev.FS.Type == "" && matches(device, dev) {
			if list[i].Blank, err = blank(dev); err != nil {
				return "", "", fault.Wrap(err, fault.Device, "look at its cable and power", "the disk %s cannot be read", dev.Path)
			}
		}
	}
	what, dev, err := Decide(config.StorageDisk{Name: name, Device: device, Format: true}, nil, list)
	if err == nil && what != Format {
		err = fault.New(fault.Input, "empty it with `sudo blkdiscard "+dev.Path+"` or by writing zeros if nothing on it is of worth", "%s has a file system; nothing was touched", dev.Path)
	}
	return strconv.FormatUint(id, 10), dev.Path, err
}

// replaced returns the number of the member that is to be replaced. missing are those that the
// kernel misses since the mount.
func replaced(s Status, missing []uint64, old string) (uint64, error) {
	lost := gone(s.parts, s.attached())
	switch {
	case old != "":
		for _, p := range s.parts {
			if p.Path == old || matches(old, p) {
				return p.FS.MemberID, nil
			}
		}
		return 0, fault.New(fault.Usage, "run `shelf storage disks`", "%s is not a part of the disk %s", old, s.Name)
	case len(missing) > 0:
		return missing[0], nil
	case len(lost) > 0:
		return lost[0].FS.MemberID, nil
	case len(s.parts) == 1:
		return s.parts[0].FS.MemberID, nil
	}
	return 0, fault.New(fault.Usage, "say which one: shelf storage replace "+s.Name+" NEW OLD, by SERIAL=", "no part of the disk %s is missing", s.Name)
}

// absent are the numbers of the members that were not there when it was mounted.
func absent(uuid string) []uint64 {
	var list []uint64
	files, _ := filepath.Glob("/sys/fs/btrfs/" + uuid + "/devinfo/*/missing")
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(text)) == "1" {
			if n, err := strconv.ParseUint(filepath.Base(filepath.Dir(f)), 10, 64); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}
