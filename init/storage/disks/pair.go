package disks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"imgbuild/init/contract/fault"
)

// Mode is how a btrfs file system on several disks is mounted.
type Mode uint8

// The modes.
const (
	Whole  Mode = iota // every disk is there, and none has missed a write
	Repair             // every disk is there, and one has missed writes: scrub, then convert
	Look               // a disk is missing: read-only, until the owner decides
	Alone              // a disk is missing, and the owner said that the rest is enough: read and write
	Stale              // refused: what is there is older than what is missing, or both were written apart
)

func (m Mode) String() string {
	return [...]string{"whole", "repair", "read-only", "alone", "refused"}[m]
}

// Degraded reports whether a disk is missing.
func (m Mode) Degraded() bool { return m == Look || m == Alone }

// pair decides how the file system of which parts are there is mounted. parts are its members, each
// once. The reason is a line for people, empty for Whole; of Stale the error has it.
//
// The members that were written while others were missing are in k.Alone. One of the others has
// missed these writes. It is not used without them until it was scrubbed together with them: else
// two halves would both go on as the only one.
func pair(k Known, name string, parts []Device) (mode Mode, why string, err error) {
	var newest, alone, apart uint64 // generations
	want, have := 0, false
	for _, d := range parts {
		if g := d.FS.Generation; g >= newest {
			newest, want = g, d.FS.Devices
		}
		if slices.Contains(k.Alone, d.FS.Member) {
			have, alone = true, max(alone, d.FS.Generation)
		} else {
			apart = max(apart, d.FS.Generation)
		}
	}
	behind := slices.ContainsFunc(parts, func(d Device) bool { return d.FS.Generation < newest })
	missing := want - len(parts)
	switch {
	case len(k.Alone) > 0 && !have:
		return Stale, "", fault.New(fault.Device, "attach "+serials(k, k.Alone)+", which has the newest data; or, if that is lost for good, run `sudo shelf storage forget "+name+"`",
			"%s has old data of the disk %s: the other half was written without it", paths(parts), name)
	case missing > 0 && k.Consent:
		return Alone, fmt.Sprintf("%s missing; it is written to the rest alone, as ordered: a further failure loses data (sudo shelf storage replace %s DEVICE)", count(missing), name), nil
	case missing > 0:
		return Look, fmt.Sprintf("%s missing, it can only be read; attach it, or run `sudo shelf storage degraded %s` to write without it", count(missing), name), nil
	case len(k.Alone) > 0 && !k.Repairing && apart >= alone:
		return Stale, "", fault.New(fault.Device, "detach the half that is to be given up and empty it on another computer, with `wipefs -a`",
			"the halves of the disk %s were written apart: %s", name, paths(parts))
	case len(k.Alone) > 0 || behind:
		return Repair, "a disk of it has missed writes; it is scrubbed and made redundant again", nil
	}
	return Whole, "", nil
}

// newest are the members with the last transaction.
func newest(parts []Device) []string {
	top := slices.MaxFunc(parts, func(a, b Device) int { return cmp.Compare(a.FS.Generation, b.FS.Generation) }).FS.Generation
	return identities(slices.DeleteFunc(slices.Clone(parts), func(d Device) bool { return d.FS.Generation < top }))
}

func count(missing int) string {
	if missing == 1 {
		return "one of its disks is"
	}
	return fmt.Sprintf("%d of its disks are", missing)
}

// serials names members by the serial numbers of their disks.
func serials(k Known, members []string) string {
	var names []string
	for _, m := range members {
		if s := k.Members[m]; s != "" {
			names = append(names, "the disk with the serial number "+s)
		}
	}
	if names == nil {
		return "the other half"
	}
	return strings.Join(names, " and ")
}

// partsOf returns the members of a file system among all devices, each once. Of two devices that
// say to be the same member the one whose serial number is known counts: the other one is a copy,
// or a disk that was replaced.
func partsOf(k *Known, uuid string, list []Device) ([]Device, error) {
	var parts []Device
	for _, d := range list {
		if d.FS.Type != "btrfs" || !strings.EqualFold(d.FS.UUID, uuid) || d.Kept != "" || k != nil && !k.owns(d) {
			continue
		}
		if i := slices.IndexFunc(parts, func(o Device) bool { return o.FS.Member == d.FS.Member }); i >= 0 {
			return nil, fault.New(fault.Input, "detach the copy", "%s and %s hold the same file system, one of them is a copy", parts[i].Path, d.Path)
		}
		parts = append(parts, d)
	}
	return parts, nil
}

// owns reports whether a device with the file system is the known disk, or one of the known disks.
func (k *Known) owns(d Device) bool {
	want, member := k.Serial, false
	if d.FS.Devices > 1 {
		if len(k.Members) > 0 {
			want, member = k.Members[d.FS.Member]
			if !member {
				return true // added since, by hand
			}
		} else {
			want = "" // written by an older system, which knew one serial number of the two
		}
	}
	return want == "" || len(d.Serials) == 0 || slices.Contains(d.Serials, want)
}
