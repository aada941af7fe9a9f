package backup

import (
	"strings"

	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/disks"
)

// vaultDir is the directory for backups in the root of an enrolled disk. A disk that has it is
// never used for shares.
const vaultDir = disks.Backups

// candidate returns the disk that a person names for backups, and whether a file system is to be
// made on it first. Blank must be set of the devices that are looked at for that.
func candidate(spec string, format bool, list []disks.Device) (d disks.Device, make bool, err error) {
	const names = "name one by UUID=, LABEL= or SERIAL=; `shelf storage disks` lists them"
	var found []disks.Device
	for _, dev := range list {
		if disks.Matches(spec, dev) {
			found = append(found, dev)
		}
	}
	if found = disks.Usable(found); len(found) == 0 {
		return d, false, fault.New(fault.Input, "attach it; `shelf storage disks` lists what is there", "the disk %s is not there", spec)
	}
	if len(found) > 1 {
		return d, false, fault.New(fault.Input, names, "%s could be several disks", spec)
	}
	switch d = found[0]; {
	case d.Kept != "":
		return d, false, fault.New(fault.Input, "name another disk", "the disk %s (%s) cannot be used: it %s", spec, d.Path, d.Kept)
	case d.FS.Type == "btrfs" && d.FS.Devices > 1:
		return d, false, fault.New(fault.Input, "name a disk of its own", "the file system of %s is on several disks", d.Path)
	case d.FS.Type == "btrfs":
		return d, false, nil
	case d.FS.Type != "" || d.Parts > 0:
		return d, false, fault.New(fault.Input, "use one with btrfs, or empty it if nothing on it is of worth",
			"the disk %s (%s) has no btrfs file system", spec, d.Path)
	case !format:
		return d, false, fault.New(fault.Input, "add format=yes, and a btrfs file system is made on it if it is blank", "the disk %s (%s) has no file system", spec, d.Path)
	case !d.Blank:
		return d, false, fault.New(fault.Input, "if nothing on it is of worth, empty it with `sudo blkdiscard "+d.Path+"` or by writing zeros",
			"the disk %s (%s) has no file system and is not blank; nothing was touched", spec, d.Path)
	case !strings.HasPrefix(spec, "SERIAL="):
		return d, false, fault.New(fault.Input, "name it by SERIAL=", "only a disk that is named by its serial number is formatted")
	}
	return d, true, nil
}

// goodName reports whether a place may be called so.
func goodName(name string) bool {
	return name != "" && len(name) <= 32 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == "" && name[0] != '-'
}

// find returns the attached disk of a place. A copy of it is refused.
func find(p Place, name string, list []disks.Device) (disks.Device, error) {
	var found []disks.Device
	for _, d := range list {
		if d.FS.Type == "btrfs" && strings.EqualFold(d.FS.UUID, p.UUID) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0:
		return disks.Device{}, fault.New(fault.Device, "attach it", "the disk %s (UUID=%s) is not there", name, p.UUID)
	case len(found) > 1:
		return disks.Device{}, fault.New(fault.Input, "detach the copy", "two disks hold the file system of %s", name)
	case found[0].Serial() != p.Serial:
		return disks.Device{}, fault.New(fault.Input, "attach the right one; if this one is to take its place, run `sudo shelf backup forget "+name+"` and enroll it",
			"%s holds the file system of %s and is another disk", found[0].Path, name)
	case found[0].Kept != "":
		return disks.Device{}, fault.New(fault.Input, "unmount it", "the disk %s (%s) %s", name, found[0].Path, found[0].Kept)
	}
	return found[0], nil
}
