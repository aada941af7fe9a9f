// Package disks finds, makes and mounts the disks that hold the shares of a storage node.
//
// A wrong disk must never be served or formatted in place of the right one. So a disk that was used
// once is known by the UUID of its file system and by its own serial number, and from then on only
// that one is used. `auto` takes the only disk with a file system and never formats; formatting
// needs a disk that is named by its serial number and that is blank.
//
// Decide, a pure function of what was found, chooses what is done with which disk. Package
// init/k3s/datadisk is the pattern.
package disks

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fault"
	"imgbuild/init/disk"
)

// Known is what the node keeps of a disk that it uses, and the disk itself in .shelfos/disk.json.
type Known struct {
	UUID   string `json:"uuid"`             // of the file system
	Serial string `json:"serial,omitempty"` // of the disk; empty if it has none
	Node   string `json:"node,omitempty"`   // the hostname then, for people

	// Of a btrfs file system on several disks: the serial number of each member's disk; the members
	// that were written while others were missing; whether the owner has ordered that; and whether
	// all were mounted together since, to make the others as good as these.
	Members   map[string]string `json:"members,omitempty"`
	Alone     []string          `json:"alone,omitempty"`
	Consent   bool              `json:"degraded,omitempty"`
	Repairing bool              `json:"repairing,omitempty"`
}

// same reports whether two records say the same of a disk.
func (k Known) same(o Known) bool {
	return k.UUID == o.UUID && k.Serial == o.Serial && maps.Equal(k.Members, o.Members) && slices.Equal(k.Alone, o.Alone) && k.Consent == o.Consent && k.Repairing == o.Repairing
}

// Device is a whole disk or a partition, as far as the decision needs it.
type Device struct {
	Name    string   // vda, sda1
	Path    string   // /dev/...
	Disk    string   // of a partition the whole disk's name; of a disk its own
	Bytes   int64    // its size
	Serials []string // of the disk, the preferred one first; empty if it has none
	World   string   // the disk's world wide identifier, wwn-0x... in lower case; empty if it has none
	FS      disk.FS
	Parts   int    // how many partitions a whole disk has
	Blank   bool   // a whole disk that holds nothing but zeros where it was looked at
	Kept    string // why it is never a candidate; empty if it may be one
	Model   string // for people
	USB     bool
	Locked  bool // write-protected: the kernel refuses every write
}

// Serial is the number by which the disk is known.
func (d Device) Serial() string {
	if len(d.Serials) == 0 {
		return ""
	}
	return d.Serials[0]
}

// Action is what to do with a disk.
type Action uint8

// The actions.
const (
	Refuse Action = iota
	Use           // the disk that the node knows
	Adopt         // a file system that is there, from now on
	Format        // make a file system on a blank disk, and adopt it
)

func (a Action) String() string { return [...]string{"refuse", "use", "adopt", "format"}[a] }

// Absent is the error for a disk that is not there and may still come.
type Absent struct{ Spec, More string }

func (a Absent) Error() string {
	text := fmt.Sprintf("the disk %s is not there", a.Spec)
	if a.Spec == "auto" {
		text = "there is no disk with btrfs or ext4"
	}
	if a.More != "" {
		text += "; " + a.More
	}
	return text
}

// usable are the file systems that hold shares.
func usable(fs disk.FS) bool { return fs.Type == "btrfs" || fs.Type == "ext4" }

// forget is the command that gives a known disk up.
func forget(name string) string { return "sudo shelf storage forget " + name }

// Decide reports what is done for one entry of storage.disks. known is the disk that the entry used
// before, nil for none. list is every block device of the machine, those that other entries use
// marked as Kept. Refuse comes with the reason; an Absent reason may pass by itself.
func Decide(spec config.StorageDisk, known *Known, list []Device) (Action, Device, error) {
	if known != nil {
		return recall(spec, *known, list)
	}
	var found []Device
	kept := ""
	for _, d := range list {
		switch {
		case !matches(spec.Device, d):
		case d.Kept != "":
			kept = d.Path + " " + d.Kept
		default:
			found = append(found, d)
		}
	}
	found = members(found)
	if len(found) == 0 && kept != "" && spec.Device != "auto" {
		return Refuse, Device{}, fault.New(fault.Input, "name another disk; `shelf storage disks` lists them", "the disk %s cannot be used: %s", spec.Device, kept)
	}
	if len(found) == 0 {
		more := ""
		if spec.Device == "auto" {
			more = "a blank one is formatted only when it is named: device: SERIAL=..., format: yes (`shelf storage disks` lists them)"
		}
		return Refuse, Device{}, Absent{spec.Device, more}
	}
	if len(found) > 1 {
		return Refuse, Device{}, fault.New(fault.Input, "name one by UUID= or SERIAL=; `shelf storage disks` lists them",
			"%s could be any of %s", or(spec.Device == "auto", "the disk", spec.Device), paths(found))
	}
	return first(spec, found[0])
}

// first decides about the one device that a spec names and that was never used.
func first(spec config.StorageDisk, d Device) (Action, Device, error) {
	switch {
	case usable(d.FS):
		return Adopt, d, nil
	case d.FS.Type != "":
		return Refuse, d, fault.New(fault.Input, "use a disk with btrfs or ext4", "the disk %s (%s) has a file system of type %s, which is not served", spec.Device, d.Path, d.FS.Type)
	case d.Parts > 0:
		return Refuse, d, fault.New(fault.Input, "name the file system by UUID= or LABEL=", "the disk %s (%s) has %d partitions, and not exactly one with btrfs or ext4", spec.Device, d.Path, d.Parts)
	case !d.Blank:
		return Refuse, d, fault.New(fault.Input, "if nothing on it is of worth, empty it with `sudo blkdiscard "+d.Path+"` or by writing zeros",
			"the disk %s (%s) has no file system and is not blank; nothing was touched", spec.Device, d.Path)
	case !spec.Format:
		return Refuse, d, fault.New(fault.Input, "write format: yes, and a btrfs file system is made on it once", "the disk %s (%s) is blank", spec.Device, d.Path)
	case !config.ByNumber(spec.Device):
		return Refuse, d, fault.New(fault.Input, "name it by SERIAL= or /dev/disk/by-id/NAME", "only a disk that is named by its serial number is formatted")
	}
	return Format, d, nil
}

// recall finds the disk that is known, and nothing else.
func recall(spec config.StorageDisk, known Known, list []Device) (Action, Device, error) {
	var same, right []Device
	for _, d := range list {
		if !usable(d.FS) || !strings.EqualFold(d.FS.UUID, known.UUID) {
			continue
		}
		same = append(same, d)
		if known.owns(d) {
			right = append(right, d)
		}
	}
	same, right = members(same), members(right)
	switch {
	case len(right) == 1 && right[0].Kept == "":
		return Use, right[0], nil
	case len(right) == 1:
		return Refuse, right[0], fault.New(fault.Input, "correct storage.disks and storage.raw", "the disk %s (%s) %s", spec.Name, right[0].Path, right[0].Kept)
	case len(right) > 1:
		return Refuse, Device{}, fault.New(fault.Input, "detach the copy", "%s hold the same file system, one of them is a copy", paths(right))
	case len(same) > 0:
		return Refuse, same[0], fault.New(fault.Input, "attach the right disk; if this one is to take its place for good, run `"+forget(spec.Name)+"`",
			"%s holds the file system of the disk %s and is another disk: its serial number is %s, not %s", same[0].Path, spec.Name, or(same[0].Serial() != "", same[0].Serial(), "unknown"), known.Serial)
	}
	more := ""
	var others []Device
	for _, d := range list {
		if d.Kept == "" && usable(d.FS) && matches(spec.Device, d) {
			others = append(others, d)
		}
	}
	if len(others) > 0 {
		more = fmt.Sprintf("%s is another one and is not touched; if the old one is given up for good, run `%s`", paths(others), forget(spec.Name))
	}
	return Refuse, Device{}, Absent{fmt.Sprintf("%s (UUID=%s)", spec.Name, known.UUID), more}
}

// Matches reports whether a device could be meant by a name as in storage.disks.device.
func Matches(spec string, d Device) bool { return matches(spec, d) }

// Usable reduces devices that a name matches to those that could be meant: of a disk that is named
// whole its only usable partition.
func Usable(list []Device) []Device { return members(list) }

// matches reports whether a device could be meant by storage.disks.device.
func matches(spec string, d Device) bool {
	tag, want, _ := strings.Cut(spec, "=")
	switch {
	case spec == "auto": // a card of ours that is in a reader is no storage disk
		return usable(d.FS) && d.FS.Label != diskmap.DataLabel
	case tag == "LABEL":
		return d.FS.Label == want && d.FS.Type != ""
	case tag == "UUID":
		return strings.EqualFold(d.FS.UUID, want) && d.FS.Type != ""
	case tag == "SERIAL":
		return slices.Contains(d.Serials, want)
	}
	id, ok := strings.CutPrefix(spec, "/dev/disk/by-id/")
	return ok && byID(id, d)
}

// byID compares a name that udev would make: KIND-MODEL_SERIAL, wwn-0xNUMBER, of USB with the unit
// -0:0 at its end, of a partition with -partN.
func byID(id string, d Device) bool {
	if i := strings.LastIndex(id, "-part"); i > 0 && strings.Trim(id[i+5:], "0123456789") == "" {
		id = id[:i]
	}
	if d.World != "" && strings.EqualFold(id, d.World) {
		return true
	}
	if i := strings.LastIndexByte(id, '-'); i > 0 && strings.Contains(id[i:], ":") {
		id = id[:i]
	}
	for _, s := range d.Serials {
		s = strings.ReplaceAll(s, " ", "_")
		if strings.HasSuffix(id, "_"+s) || strings.HasSuffix(id, "-"+s) {
			return true
		}
	}
	return false
}

// kept reports what keeps a device from being used by the entry of storage.disks that is mounted at
// own; at is where the device is mounted, empty for nowhere.
func kept(cfg *config.Config, d Device, at, own string) string {
	switch {
	case slices.ContainsFunc(cfg.Storage.Raw, func(raw string) bool { return matches(raw, d) }):
		return "is in storage.raw"
	case cfg.Data.Device != "" && (d.Path == cfg.Data.Device || matches(cfg.Data.Device, d)):
		return "is the disk of data.device"
	case at != "" && at != own:
		return "is in use at " + at
	}
	return ""
}

// members reduces what was found to one device for each file system, and for each disk: a btrfs on
// several devices is one, and a disk that is named whole means its only usable partition.
func members(list []Device) []Device {
	var out []Device
	for _, d := range list {
		if !slices.ContainsFunc(out, func(o Device) bool {
			return o.FS.Type == "btrfs" && o.FS.Devices > 1 && o.FS.UUID == d.FS.UUID && o.FS.Member != d.FS.Member
		}) {
			out = append(out, d)
		}
	}
	var whole []Device
	for _, d := range out {
		if d.FS.Type != "" || d.Parts == 0 && d.Name == d.Disk {
			whole = append(whole, d)
		}
	}
	for _, d := range out { // partitioned disks none of whose partitions is usable; one with several stays as it is
		n := 0
		for _, o := range whole {
			if o.Disk == d.Disk {
				n++
			}
		}
		if d.Name == d.Disk && d.Parts > 0 && n == 0 {
			whole = append(whole, d)
		}
	}
	return whole
}

func paths(list []Device) string {
	var names []string
	for _, d := range list {
		names = append(names, d.Path)
	}
	return strings.Join(names, " and ")
}

func or(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}
