package datadisk

import (
	"os"
	"path/filepath"
	"strings"

	"imgbuild/init/contract/fault"
	"imgbuild/init/disk"
)

// device is a block device that data.device could mean.
type device struct {
	name  string // as in /sys/class/block
	path  string // its node
	fs    FS
	parts []string // nodes of the partitions of a disk that was named whole
}

// absent is the error for a disk that is not there, and what happens when.
type absent struct{ spec, then string }

func (a absent) Error() string {
	if a.then == "" {
		return "the data disk " + a.spec + " is not there"
	}
	return "the data disk " + a.spec + " is not there; " + a.then
}

// udevs are directories that udev fills elsewhere, by what the names in them are.
var udevs = []struct{ dir, tag string }{
	{"/dev/disk/by-uuid/", "UUID="}, {"/dev/disk/by-label/", "LABEL="}, {"/dev/disk/by-partuuid/", "PARTUUID="}, {"/dev/disk/by-partlabel/", "PARTLABEL="},
}

// byTag returns the tag for a path that udev would make, in which it writes a space as \x20; other
// specs stay what they are.
func byTag(spec string) string {
	for _, u := range udevs {
		if name, ok := strings.CutPrefix(filepath.Clean(spec), u.dir); ok {
			return u.tag + strings.ReplaceAll(name, `\x20`, " ")
		}
	}
	return spec
}

// find returns the one block device that spec names: a /dev path, or UUID=, LABEL=, PARTUUID=,
// PARTLABEL=. boot is the name of the disk that the node runs from, of which nothing is taken. No
// device is an absent error; two of one name are refused.
func find(sys, dev, boot, spec string) (device, error) {
	tag, want, tagged := strings.Cut(byTag(spec), "=")
	entries, err := os.ReadDir(filepath.Join(sys, "class/block"))
	if err != nil {
		return device{}, err
	}
	var found []device
	for _, e := range entries {
		d := device{name: e.Name(), path: filepath.Join(dev, e.Name())}
		dir := filepath.Join(sys, "class/block", d.name)
		switch {
		case !usable(d.name), size(dir) == 0, tagged && want == "":
			continue
		case !tagged && resolve(dev, spec) != d.path:
			continue
		case tagged && strings.HasPrefix(tag, "PART") && !strings.EqualFold(uevent(dir, map[string]string{"PARTUUID": "PARTUUID", "PARTLABEL": "PARTNAME"}[tag]), want):
			continue
		}
		f, err := os.Open(d.path)
		if err != nil {
			if tagged {
				continue // nothing is known of it; another one may be meant
			}
			return d, fault.Wrap(err, fault.Device, "", "the data disk %s cannot be opened", spec)
		}
		d.fs, err = Probe(f)
		f.Close()
		if err != nil && !tagged {
			return d, fault.Wrap(err, fault.Device, "look at its cable and power, or replace it", "the data disk %s cannot be read", spec)
		}
		if tagged && (err != nil || tag == "UUID" && !strings.EqualFold(d.fs.UUID, want) || tag == "LABEL" && d.fs.Label != want) {
			continue
		}
		found = append(found, d)
	}
	if len(found) == 0 {
		return device{}, absent{spec: spec}
	}
	if len(found) > 1 {
		var names []string
		for _, d := range found {
			names = append(names, d.path)
		}
		return device{}, fault.New(fault.Input, "remove one, or name it by UUID= or PARTUUID=", "data.device: %s are all %s", strings.Join(names, " and "), spec)
	}
	d := found[0]
	if boot != "" && (d.name == boot || parent(sys, d.name) == boot) {
		return d, fault.New(fault.Input, "name another disk in data.device, or take the key out", "data.device: %s is on the disk that the node runs from", d.path)
	}
	for _, e := range entries {
		if parent(sys, e.Name()) == d.name {
			d.parts = append(d.parts, filepath.Join(dev, e.Name()))
		}
	}
	return d, nil
}

// usable reports whether a block device may be a data disk by its kind.
func usable(name string) bool {
	kind := disk.KindOf(name)
	return kind == disk.Plain || kind == disk.Array
}

// size is in sectors; 0 for an empty drive and for what cannot be read.
func size(dir string) int64 {
	var n int64
	text, _ := os.ReadFile(filepath.Join(dir, "size"))
	for _, c := range strings.TrimSpace(string(text)) {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// resolve follows links below dev; a name that leads nowhere stays what it is.
func resolve(dev, path string) string {
	path = filepath.Join(dev, strings.TrimPrefix(filepath.Clean(path), "/dev"))
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// uevent reads a variable of a device: the kernel names partitions by PARTUUID and PARTNAME.
func uevent(dir, name string) string {
	text, _ := os.ReadFile(filepath.Join(dir, "uevent"))
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, name+"="); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// parent is the disk of a partition; empty for a disk.
func parent(sys, name string) string {
	real, err := filepath.EvalSymlinks(filepath.Join(sys, "class/block", name))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(real, "partition")); err != nil {
		return ""
	}
	return filepath.Base(filepath.Dir(real))
}
