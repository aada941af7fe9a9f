package disks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
)

// Disks of somebody else are never candidates, however the entry names them.
func TestKept(t *testing.T) {
	d := dev("sda", "S1", btrfs(uuidA))
	for name, c := range map[string]struct {
		cfg  config.Config
		at   string
		want string
	}{
		"free":         {config.Config{}, "", ""},
		"its own":      {config.Config{}, "/srv/data", ""},
		"elsewhere":    {config.Config{}, "/mnt/stick", "is in use at /mnt/stick"},
		"raw":          {config.Config{Storage: config.Storage{Raw: []string{"SERIAL=S1"}}}, "", "is in storage.raw"},
		"raw by-id":    {config.Config{Storage: config.Storage{Raw: []string{"/dev/disk/by-id/ata-M_S1"}}}, "", "is in storage.raw"},
		"raw, another": {config.Config{Storage: config.Storage{Raw: []string{"SERIAL=S2"}}}, "", ""},
		"k3s":          {config.Config{Data: config.Data{Device: "LABEL=media"}}, "", "is the disk of data.device"},
		"k3s by path":  {config.Config{Data: config.Data{Device: "/dev/sda"}}, "", "is the disk of data.device"},
	} {
		if got := kept(&c.cfg, d, c.at, "/srv/data"); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		marked := d
		marked.Kept = c.want
		for _, spec := range []string{"auto", "LABEL=media", "UUID=" + uuidA, "SERIAL=S1"} {
			if what, _, err := Decide(config.StorageDisk{Device: spec, Format: true}, nil, []Device{marked}); (c.want != "") != (what == Refuse) {
				t.Errorf("%s by %s: got %v, %v", name, spec, what, err)
			}
		}
	}
}

// A machine as the kernel shows it: serial numbers of virtio, SATA and USB disks, partitions, and
// the disk that the node runs from.
func TestScan(t *testing.T) {
	sys, devs := t.TempDir(), t.TempDir()
	put := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, files := range map[string]map[string]string{
		"devices/virtio/block/vdb":             {"size": "2048\n", "serial": "V-1\n", "ro": "0\n"},
		"devices/ata/block/sda":                {"size": "4096\n", "device/vpd_pg80": "\x00\x80\x00\x08 WD-0001 ", "device/model": "Red  \n", "device/wwid": "naa.50014ee2\n"},
		"devices/ata/block/sda/sda1":           {"size": "2048\n", "partition": "1\n"},
		"devices/usb1/1-1/1-1:1.0/block/sdb":   {"size": "2048\n", "ro": "1\n"},
		"devices/mmc/block/mmcblk0":            {"size": "2048\n", "device/serial": "0x1234\n"},
		"devices/mmc/block/mmcblk0/mmcblk0p4":  {"size": "2048\n", "partition": "4\n"},
		"devices/virtual/block/loop0":          {"size": "2048\n"},
		"devices/usb2/2-1/2-1:1.0/block/empty": {"size": "0\n"},
	} {
		for name, text := range files {
			put(filepath.Join(sys, path, name), text)
		}
		put(filepath.Join(devs, filepath.Base(path)), strings.Repeat("\x00", 100<<10))
		link := filepath.Join(sys, "class/block", filepath.Base(path))
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(sys, path), link); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(sys, "devices/usb1/1-1/idVendor"), "0bda\n")
	put(filepath.Join(sys, "devices/usb1/1-1/serial"), "ADAPTER7\n")
	fs := make([]byte, 100<<10)
	copy(fs[0x10040:], "_BHRfS_M")
	copy(fs[0x1012b:], "media")
	put(filepath.Join(devs, "sda1"), string(fs))
	list, err := where{sys, devs}.scan("mmcblk0")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Device{}
	for _, d := range list {
		got[d.Name] = d
	}
	if len(got) != 6 {
		t.Errorf("got %d devices, want 6: %+v", len(got), list)
	}
	for name, want := range map[string]string{"vdb": "V-1", "sda": "WD-0001", "sda1": "WD-0001", "sdb": "ADAPTER7", "mmcblk0p4": "0x1234"} {
		if got[name].Serial() != want {
			t.Errorf("%s: got the serial number %q, want %q", name, got[name].Serial(), want)
		}
	}
	if d := got["sda1"]; d.Disk != "sda" || d.FS.Type != "btrfs" || d.FS.Label != "media" || d.World != "wwn-0x50014ee2" || d.Model != "Red" {
		t.Errorf("sda1 is %+v", d)
	}
	if got["sda"].Parts != 1 || !got["sdb"].USB || got["sda"].USB || got["mmcblk0p4"].Kept == "" || got["vdb"].Kept != "" {
		t.Errorf("%+v", list)
	}
	for name, d := range got {
		if d.Locked != (name == "sdb") {
			t.Errorf("%s: write-protected %v, which only sdb is", name, d.Locked)
		}
	}
	if what, d, err := Decide(config.StorageDisk{Device: "/dev/disk/by-id/wwn-0x50014EE2"}, nil, list); what != Adopt || d.Name != "sda1" {
		t.Errorf("by-id: got %v %s, %v", what, d.Path, err)
	}
}
