package disks

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"imgbuild/init/disk"
)

// Where the kernel shows its devices.
type where struct{ sys, dev string }

// scan lists every disk and partition of the machine with what is written on it, sorted by name.
// boot is the disk that the node runs from. What cannot be read is listed without a file system.
func (w where) scan(boot string) ([]Device, error) {
	entries, err := os.ReadDir(filepath.Join(w.sys, "class/block"))
	if err != nil {
		return nil, err
	}
	var list []Device
	parts := map[string]int{}
	for _, e := range entries {
		if kind := disk.KindOf(e.Name()); kind != disk.Plain && kind != disk.Array {
			continue
		}
		d, ok := w.device(e.Name())
		if !ok {
			continue
		}
		if d.Disk == boot {
			d.Kept = "is the disk that the node runs from"
		}
		if d.Disk != d.Name {
			parts[d.Disk]++
		}
		list = append(list, d)
	}
	for i := range list {
		if list[i].Name == list[i].Disk {
			list[i].Parts = parts[list[i].Name]
		}
	}
	return list, nil
}

// device reads one; false for an empty drive.
func (w where) device(name string) (Device, bool) {
	dir, err := filepath.EvalSymlinks(filepath.Join(w.sys, "class/block", name))
	if err != nil {
		return Device{}, false
	}
	d := Device{Name: name, Disk: name, Path: filepath.Join(w.dev, name)}
	sectors, err := strconv.ParseInt(line(dir, "size"), 10, 64)
	if err != nil || sectors == 0 {
		return Device{}, false
	}
	d.Bytes = sectors << 9
	d.Locked = line(dir, "ro") == "1"
	whole := dir
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		whole = filepath.Dir(dir)
		d.Disk = filepath.Base(whole)
	}
	d.Serials, d.World, d.Model, d.USB = numbers(w.sys, whole)
	if f, err := os.Open(d.Path); err == nil {
		d.FS, _ = disk.Probe(f)
		f.Close()
	}
	return d, true
}

// numbers returns the serial numbers of the disk in dir, the most specific one first: the disk's
// own, then the USB adapter's.
func numbers(sys, dir string) (serials []string, world, model string, usb bool) {
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" && strings.Trim(s, "0") != "" && !has(serials, s) {
			serials = append(serials, s)
		}
	}
	add(line(dir, "serial"))        // virtio
	add(line(dir, "device/serial")) // NVMe, cards
	if page, err := os.ReadFile(filepath.Join(dir, "device/vpd_pg80")); err == nil && len(page) > 4 {
		add(strings.ToValidUTF8(strings.Trim(string(page[4:]), "\x00 "), "")) // SCSI and SATA: unit serial number page
	}
	model = line(dir, "device/model")
	for _, name := range []string{"device/wwid", "wwid"} {
		if n, ok := strings.CutPrefix(line(dir, name), "naa."); ok {
			world = "wwn-0x" + strings.ToLower(n)
		}
	}
	for up := filepath.Dir(dir); len(up) > len(sys) && up != "/"; up = filepath.Dir(up) {
		if _, err := os.Stat(filepath.Join(up, "idVendor")); err == nil {
			usb = true
			add(line(up, "serial"))
			break
		}
	}
	return serials, world, model, usb
}

func has(list []string, s string) bool {
	for _, o := range list {
		if o == s {
			return true
		}
	}
	return false
}

// line is a file of one line; empty if it is not there.
func line(dir, name string) string {
	text, _ := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimSpace(string(text))
}
