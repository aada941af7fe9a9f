// Package flash writes an image to a card so that it can be trusted: it decides which disks may be
// written at all, writes what the image's block map names, the partition table last, and reads
// everything back from the medium.
package flash

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Device is a block device: a disk, a partition, or one that is made of others.
type Device struct {
	Name     string // below /dev
	Dev      string // major:minor
	Parent   string // disk of a partition
	Size     int64  // bytes
	ReadOnly bool
	Bus      string // usb, mmc, sata, nvme, virtio; empty: another one, or none
	Model    string
	Serial   string
	Seq      string   // changes when a medium is changed; empty on kernels before 5.15
	Slaves   []string // that it is made of: LUKS, LVM, RAID
	Title    string   // of device mapper
	Backing  string   // file of a loop device
	Label    string   // of its file system
	ByID     []string // its names below /dev/disk/by-id
}

// Mount is a line of mountinfo.
type Mount struct {
	Dev    string // major:minor
	Point  string
	FS     string
	Source string
}

// Table is what is known of the block devices of a machine.
type Table struct {
	Devices []*Device // sorted by name
	Mounts  []Mount
	Swaps   []string   // paths
	Groups  [][]string // devices that make one file system together (btrfs)
}

// find returns the device with this name, or nil.
func (t *Table) find(name string) *Device {
	for _, d := range t.Devices {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// parts are the partitions of a disk.
func (t *Table) parts(disk string) (list []*Device) {
	for _, d := range t.Devices {
		if d.Parent == disk {
			list = append(list, d)
		}
	}
	return list
}

// Read reads the table of a machine whose /sys, /proc and /dev are below root, "/" for this one.
func Read(root string) (*Table, error) {
	t := &Table{}
	block := filepath.Join(root, "sys/class/block")
	entries, err := os.ReadDir(block)
	if err != nil {
		return nil, err
	}
	byID, labels := links(filepath.Join(root, "dev/disk/by-id")), links(filepath.Join(root, "dev/disk/by-label"))
	for _, e := range entries {
		d := device(filepath.Join(block, e.Name()), e.Name())
		d.ByID = byID[d.Name]
		if l := labels[d.Name]; len(l) > 0 {
			d.Label = unescape(l[0])
		}
		t.Devices = append(t.Devices, d)
	}
	slices.SortFunc(t.Devices, func(a, b *Device) int { return strings.Compare(a.Name, b.Name) })
	for _, d := range t.Devices {
		if p := t.find(d.Parent); p != nil {
			d.Bus, d.Model, d.Serial, d.Seq = p.Bus, p.Model, p.Serial, p.Seq
		}
	}
	if t.Mounts, err = mounts(filepath.Join(root, "proc/self/mountinfo")); err != nil {
		return nil, err
	}
	t.Swaps = swaps(filepath.Join(root, "proc/swaps"))
	sets, _ := filepath.Glob(filepath.Join(root, "sys/fs/btrfs/*/devices"))
	for _, dir := range sets {
		members, _ := os.ReadDir(dir)
		var names []string
		for _, m := range members {
			names = append(names, m.Name())
		}
		t.Groups = append(t.Groups, names)
	}
	return t, nil
}

// device reads one directory of /sys/class/block.
func device(dir, name string) *Device {
	d := &Device{Name: name, Dev: value(dir, "dev"), Seq: value(dir, "diskseq"), Title: value(dir, "dm/name"), Backing: value(dir, "loop/backing_file")}
	sectors, _ := strconv.ParseInt(value(dir, "size"), 10, 64)
	d.Size, d.ReadOnly = sectors*512, value(dir, "ro") == "1"
	slaves, _ := os.ReadDir(filepath.Join(dir, "slaves"))
	for _, s := range slaves {
		d.Slaves = append(d.Slaves, s.Name())
	}
	at, err := filepath.EvalSymlinks(dir)
	if err != nil {
		at = dir
	}
	if value(dir, "partition") != "" {
		d.Parent = filepath.Base(filepath.Dir(at))
		return d
	}
	switch {
	case strings.Contains(at, "/usb"):
		d.Bus = "usb"
	case strings.Contains(at, "/mmc"):
		d.Bus = "mmc"
	case strings.Contains(at, "/ata"):
		d.Bus = "sata"
	case strings.Contains(at, "/nvme"):
		d.Bus = "nvme"
	case strings.Contains(at, "/virtio"):
		d.Bus = "virtio"
	}
	d.Model = strings.Join(strings.Fields(value(dir, "device/vendor")+" "+value(dir, "device/model")+" "+value(dir, "device/name")), " ")
	if d.Bus == "virtio" || strings.HasPrefix(d.Model, "0x") {
		d.Model = strings.TrimSpace(value(dir, "device/model"))
	}
	d.Serial = serial(dir, at)
	return d
}

// serial looks for a number that two disks of one kind do not share: the disk's own, the CID of a
// card, else the one of the USB device that it is behind.
func serial(dir, at string) string {
	for _, name := range []string{"serial", "device/serial", "device/cid"} {
		if s := strings.TrimSpace(value(dir, name)); s != "" {
			return s
		}
	}
	for up := filepath.Dir(at); strings.Contains(up, "/usb"); up = filepath.Dir(up) {
		if s := strings.TrimSpace(value(up, "serial")); s != "" {
			return s
		}
	}
	return ""
}

// value is the content of an attribute; empty where there is none.
func value(dir, name string) string {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(data), "\n")
}

// links are the names in a directory of links, by the base name of what they lead to.
func links(dir string) map[string][]string {
	all := map[string][]string{}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			all[filepath.Base(to)] = append(all[filepath.Base(to)], e.Name())
		}
	}
	return all
}

// mounts reads mountinfo; see proc_pid_mountinfo(5).
func mounts(name string) (list []Mount, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		head, tail, ok := strings.Cut(s.Text(), " - ")
		h, t := strings.Fields(head), strings.Fields(tail)
		if !ok || len(h) < 5 || len(t) < 2 {
			continue
		}
		list = append(list, Mount{Dev: h[2], Point: octal(h[4]), FS: t[0], Source: octal(t[1])})
	}
	return list, s.Err()
}

// swaps are the files and devices of /proc/swaps.
func swaps(name string) (list []string) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil // a kernel without swap
	}
	for i, l := range strings.Split(string(data), "\n") {
		if f := strings.Fields(l); i > 0 && len(f) > 0 {
			list = append(list, octal(f[0]))
		}
	}
	return list
}

// octal undoes the kernel's \040 for a blank.
func octal(s string) string { return escapes(s, `\`, 3, 8) }

// unescape undoes udev's \x20 for a blank.
func unescape(s string) string { return escapes(s, `\x`, 2, 16) }

func escapes(s, mark string, digits, base int) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, mark)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if len(after) >= digits {
			if n, err := strconv.ParseUint(after[:digits], base, 8); err == nil {
				b.WriteByte(byte(n))
				s = after[digits:]
				continue
			}
		}
		b.WriteString(mark)
		s = after
	}
}
