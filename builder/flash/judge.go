package flash

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// vital are the places without which this machine does not run or loses somebody's work. What is
// below one of them counts too, where it is a file system of its own.
var vital = []string{"/", "/boot", "/usr", "/home", "/var"}

// isVital reports whether a mount point is one of them, or the boot files below /boot.
func isVital(point string) bool {
	return slices.Contains(vital, point) || strings.HasPrefix(point, "/boot/")
}

// disks are the whole disks that a device is on, through partitions, device mapper, RAID, loop
// devices and file systems of several devices.
func (t *Table) disks(name string) []string {
	found, seen := map[string]bool{}, map[string]bool{}
	var follow func(name string)
	follow = func(name string) {
		d := t.find(name)
		if d == nil || seen[name] {
			return
		}
		seen[name] = true
		for _, g := range t.Groups {
			if slices.Contains(g, name) {
				for _, other := range g {
					follow(other)
				}
			}
		}
		switch {
		case d.Parent != "":
			follow(d.Parent)
		case len(d.Slaves) > 0:
			for _, s := range d.Slaves {
				follow(s)
			}
		case d.Backing != "":
			if m := t.mountOf(d.Backing); m != nil {
				for _, n := range t.mounted(*m) {
					follow(n)
				}
			}
		default:
			found[name] = true
		}
	}
	follow(name)
	var list []string
	for n := range found {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// mountOf is the file system that a file is on.
func (t *Table) mountOf(file string) *Mount {
	var best *Mount
	for i, m := range t.Mounts {
		if (m.Point == "/" || file == m.Point || strings.HasPrefix(file, m.Point+"/")) && (best == nil || len(m.Point) >= len(best.Point)) {
			best = &t.Mounts[i]
		}
	}
	return best
}

// mounted are the devices that a mount is of: by number, and by name where the file system has a
// number of its own, as btrfs has.
func (t *Table) mounted(m Mount) (names []string) {
	for _, d := range t.Devices {
		if d.Dev == m.Dev || t.named(d, m.Source) {
			names = append(names, d.Name)
		}
	}
	return names
}

// named reports whether a path is one of a device.
func (t *Table) named(d *Device, p string) bool {
	return p == "/dev/"+d.Name || d.Title != "" && p == "/dev/mapper/"+d.Title || slices.Contains(d.ByID, path.Base(p)) && strings.HasPrefix(p, "/dev/disk/by-id/")
}

// uses are the mount points on a disk, and what else of this machine is on it.
func (t *Table) uses(disk string) (points []string, system string, held string) {
	on := func(name string) bool { return slices.Contains(t.disks(name), disk) }
	for _, m := range t.Mounts {
		for _, name := range t.mounted(m) {
			if !on(name) {
				continue
			}
			points = append(points, m.Point)
			if isVital(m.Point) && system == "" {
				system = m.Point
			}
		}
	}
	for _, s := range t.Swaps {
		var names []string
		for _, d := range t.Devices {
			if t.named(d, s) {
				names = append(names, d.Name)
			}
		}
		if m := t.mountOf(s); names == nil && m != nil { // a swap file
			names = t.mounted(*m)
		}
		if slices.ContainsFunc(names, on) && system == "" {
			system = "swap"
		}
	}
	for _, d := range t.Devices {
		if (len(d.Slaves) > 0 || d.Backing != "") && on(d.Name) {
			held = d.Name
			if d.Title != "" {
				held += " (" + d.Title + ")"
			}
		}
	}
	slices.Sort(points)
	return slices.Compact(points), system, held
}

// offered are the kinds of disks that cards are behind.
var offered = []string{"usb", "mmc"}

// Offered reports whether a disk is shown to choose from. Disks of other buses are taken only by
// their name below /dev/disk/by-id, which nobody types by mistake.
func (d *Device) Offered() bool {
	return d.Parent == "" && slices.Contains(offered, d.Bus) && d.Size > 0
}

// Check returns why a disk must not be written; need is what the image needs, in bytes, and byID
// whether the user named it by its full name. No option lifts any of it.
func (t *Table) Check(name string, need int64, byID bool) error {
	d := t.find(name)
	if d == nil {
		return fault.New(fault.Usage, "run imgbuild flash IMAGE for a list", "there is no disk %s", name)
	}
	where := "/dev/" + d.Name
	if d.Parent != "" {
		return fault.New(fault.Usage, "give the whole disk, /dev/"+d.Parent, "%s is a partition", where)
	}
	if len(d.Slaves) > 0 || d.Backing != "" {
		return fault.New(fault.Usage, "give the disk itself", "%s is made of other devices (%s)", where, strings.Join(append(d.Slaves, d.Backing), " "))
	}
	points, system, held := t.uses(name)
	switch {
	case system == "swap":
		return fault.New(fault.Usage, "give another disk", "%s carries the swap of this machine", where)
	case system != "":
		return fault.New(fault.Usage, "give another disk", "%s carries %s of this machine", where, system)
	case len(points) > 0:
		var quoted []string
		for _, p := range points {
			quoted = append(quoted, terminal.Quote(p))
		}
		return fault.New(fault.Usage, "run: sudo umount "+strings.Join(quoted, " "), "%s is mounted", where)
	case held != "":
		return fault.New(fault.Usage, "close that first", "%s is in use by %s", where, held)
	case d.Size == 0:
		return fault.New(fault.Device, "put a card into it", "%s has no medium", where)
	case d.ReadOnly:
		return fault.New(fault.Device, "move the switch of the card or its adapter", "%s is write-protected", where)
	case !d.Offered() && !byID:
		return fault.New(fault.Usage, "if you mean it, give its full name below /dev/disk/by-id"+firstID(d), "%s is not a card or a USB disk but on %s", where, bus(d))
	case d.Size < need:
		return fault.New(fault.Device, "take a larger one", "%s has %d MB and the image needs %d MB", where, d.Size/1e6, (need+999_999)/1e6)
	}
	return nil
}

func bus(d *Device) string {
	if d.Bus == "" {
		return "an unknown bus"
	}
	return d.Bus
}

func firstID(d *Device) string {
	if len(d.ByID) == 0 {
		return ""
	}
	return ": " + d.ByID[0]
}

// Choices are the disks that may be written, and why the other cards may not.
func (t *Table) Choices(need int64) (list []*Device, refused []error) {
	for _, d := range t.Devices {
		if !d.Offered() {
			continue
		}
		if err := t.Check(d.Name, need, false); err != nil {
			refused = append(refused, err)
			continue
		}
		list = append(list, d)
	}
	return list, refused
}

// Same reports whether a disk is still the one that was asked about.
func (d *Device) Same(now *Device) bool {
	return now != nil && d.Dev == now.Dev && d.Size == now.Size && d.Model == now.Model && d.Serial == now.Serial && d.Seq == now.Seq
}

// Describe is a disk for people, with what is on it.
func (t *Table) Describe(d *Device) string {
	text := fmt.Sprintf("/dev/%-9s %7.1f GB  %-6s %s", d.Name, float64(d.Size)/1e9, bus(d), strings.TrimSpace(d.Model+" "+d.Serial))
	var labels []string
	parts := t.parts(d.Name)
	for _, p := range append(parts, d) {
		if p.Label != "" {
			labels = append(labels, p.Label)
		}
	}
	text = fmt.Sprintf("%s, %d partitions", strings.TrimSpace(text), len(parts))
	if labels != nil {
		text += " (" + strings.Join(labels, ", ") + ")"
	}
	return terminal.Line(text)
}

// ByName finds the disk that a path names. byID reports whether it is below /dev/disk/by-id.
func (t *Table) ByName(p string) (d *Device, byID bool) {
	byID = strings.HasPrefix(p, "/dev/disk/by-id/")
	for _, d := range t.Devices {
		if t.named(d, p) {
			return d, byID
		}
	}
	return nil, byID
}
