package flash

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

// machine is a laptop: NVMe with LUKS, LVM and swap in it, a SATA disk in btrfs, cards and sticks.
func machine() *Table {
	const gb = 1e9
	return &Table{
		Devices: []*Device{
			{Name: "dm-0", Dev: "254:0", Size: 400 * gb, Slaves: []string{"nvme0n1p3"}, Title: "cryptroot"},
			{Name: "dm-1", Dev: "254:1", Size: 100 * gb, Slaves: []string{"dm-0"}, Title: "vg-root"},
			{Name: "dm-2", Dev: "254:2", Size: 8 * gb, Slaves: []string{"sdd1"}, Title: "vg-swap"},
			{Name: "dm-3", Dev: "254:3", Size: 8 * gb, Slaves: []string{"sde1"}, Title: "stick"},
			{Name: "loop0", Dev: "7:0", Size: 1 * gb, Backing: "/media/x/iso.img"},
			{Name: "md0", Dev: "9:0", Size: 10 * gb, Slaves: []string{"sdh", "sdi"}},
			{Name: "mmcblk0", Dev: "179:0", Size: 32 * gb, Bus: "mmc", Model: "SC32G", Serial: "0353"},
			{Name: "mmcblk0p1", Dev: "179:1", Size: 31 * gb, Parent: "mmcblk0", Label: "OLD"},
			{Name: "nvme0n1", Dev: "259:0", Size: 500 * gb, Bus: "nvme", ByID: []string{"nvme-eui.1"}},
			{Name: "nvme0n1p1", Dev: "259:1", Size: gb, Parent: "nvme0n1"},
			{Name: "nvme0n1p3", Dev: "259:3", Size: 400 * gb, Parent: "nvme0n1"},
			{Name: "sda", Dev: "8:0", Size: 500 * gb, Bus: "sata", ByID: []string{"ata-Disk_1"}},
			{Name: "sdb", Dev: "8:16", Size: 500 * gb, Bus: "usb"},
			{Name: "sdb1", Dev: "8:17", Size: 500 * gb, Parent: "sdb"},
			{Name: "sdc", Dev: "8:32", Size: 500 * gb, Bus: "usb"},
			{Name: "sdd", Dev: "8:48", Size: 16 * gb, Bus: "usb"},
			{Name: "sdd1", Dev: "8:49", Size: 16 * gb, Parent: "sdd"},
			{Name: "sde", Dev: "8:64", Size: 16 * gb, Bus: "usb"},
			{Name: "sde1", Dev: "8:65", Size: 16 * gb, Parent: "sde"},
			{Name: "sdf", Dev: "8:80", Size: 16 * gb, Bus: "usb"},
			{Name: "sdf1", Dev: "8:81", Size: 16 * gb, Parent: "sdf", Label: "my stick"},
			{Name: "sdg", Dev: "8:96", Size: 0, Bus: "usb"},
			{Name: "sdh", Dev: "8:112", Size: 16 * gb, Bus: "usb"},
			{Name: "sdi", Dev: "8:128", Size: 16 * gb, Bus: "usb"},
			{Name: "sdj", Dev: "8:144", Size: gb, Bus: "usb"},
			{Name: "sdk", Dev: "8:160", Size: 16 * gb, Bus: "usb", ReadOnly: true},
			{Name: "sdl", Dev: "8:176", Size: 16 * gb, Bus: "usb"},
			{Name: "vda", Dev: "253:0", Size: 16 * gb, Bus: "virtio"},
		},
		Mounts: []Mount{
			{"254:1", "/", "ext4", "/dev/mapper/vg-root"}, {"259:1", "/boot/efi", "vfat", "/dev/nvme0n1p1"}, {"0:5", "/proc", "proc", "proc"},
			{"0:44", "/home", "btrfs", "/dev/sdb1"}, {"8:81", "/media/ann/my stick", "vfat", "/dev/sdf1"}, {"7:0", "/mnt", "iso9660", "/dev/loop0"}, {"8:176", "/media/x", "vfat", "/dev/sdl"},
			{"9:0", "/var", "ext4", "/dev/md0"},
		},
		Swaps:  []string{"/dev/dm-2", "/swapfile"},
		Groups: [][]string{{"sdb1", "sdc"}},
	}
}

// Every way in which a disk may be in use, and each with its own way out.
func TestCheck(t *testing.T) {
	m := machine()
	for name, want := range map[string]string{
		"mmcblk0":   "",
		"nvme0n1":   "carries / of this machine",                          // through LVM in LUKS
		"sdb":       "carries /home of this machine",                      // btrfs has a device number of its own
		"sdc":       "carries /home of this machine",                      // its second disk
		"sdd":       "carries the swap of this machine",                   // in LVM
		"sde":       "is in use by dm-3 (stick); close that first",        // an open LUKS that is not mounted
		"sdf":       "is mounted; run: sudo umount '/media/ann/my stick'", // quoted
		"sdl":       "is mounted; run: sudo umount /media/x /mnt",         // and what is mounted out of a file on it
		"sdg":       "has no medium",                                      //
		"sdh":       "carries /var of this machine",                       // RAID
		"sdi":       "carries /var of this machine",                       //
		"sdj":       "has 1000 MB and the image needs 2000 MB",            //
		"sdk":       "is write-protected",                                 //
		"sda":       "is not a card or a USB disk but on sata; if you mean it, give its full name below /dev/disk/by-id: ata-Disk_1",
		"vda":       "is not a card or a USB disk but on virtio",
		"mmcblk0p1": "is a partition; give the whole disk, /dev/mmcblk0",
		"dm-0":      "is made of other devices",
		"loop0":     "is made of other devices",
		"sdz":       "there is no disk sdz",
	} {
		err := m.Check(name, 2e9, false)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	// The full name lifts the rule about buses, and no other.
	if err := m.Check("sda", 2e9, true); err != nil {
		t.Errorf("sda by its full name: got %v", err)
	}
	for _, name := range []string{"nvme0n1", "sdb", "sdd", "sdf", "sdj"} {
		if err := m.Check(name, 2e9, true); err == nil {
			t.Errorf("%s by its full name is accepted", name)
		}
	}
}

// Whatever carries a part of the running system is never among the choices, however it is stacked.
func TestChoices(t *testing.T) {
	m := machine()
	list, refused := m.Choices(2e9)
	if len(list) != 1 || list[0].Name != "mmcblk0" {
		t.Errorf("got %v, want the card alone", list)
	}
	if len(refused) != 10 { // sdb to sdl without sdg, which has no medium
		t.Errorf("got %d refusals: %v", len(refused), refused)
	}
	if got, want := m.Describe(list[0]), "/dev/mmcblk0      32.0 GB  mmc    SC32G 0353, 1 partitions (OLD)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if d, byID := m.ByName("/dev/disk/by-id/ata-Disk_1"); d == nil || d.Name != "sda" || !byID {
		t.Errorf("got %v, %v", d, byID)
	}
	if d, byID := m.ByName("/dev/sdb"); d == nil || d.Name != "sdb" || byID {
		t.Errorf("got %v, %v", d, byID)
	}
	if d, _ := m.ByName("/dev/sdz"); d != nil {
		t.Errorf("got %v, want none", d)
	}
}

// For every stack of device mapper and RAID on every disk, with any vital mount on top: never.
func TestNeverTheSystem(t *testing.T) {
	for _, point := range []string{"/", "/boot", "/boot/firmware", "/usr", "/home", "swap"} {
		for depth := range 5 {
			m := &Table{Devices: []*Device{{Name: "sda", Dev: "8:0", Size: 1e11, Bus: "usb"}, {Name: "sda1", Dev: "8:1", Parent: "sda", Size: 1e10}}}
			top := m.Devices[1]
			for i := range depth {
				top = &Device{Name: fmt.Sprintf("dm-%d", i), Dev: fmt.Sprintf("254:%d", i), Size: 1e10, Slaves: []string{top.Name}}
				m.Devices = append(m.Devices, top)
			}
			if point == "swap" {
				m.Swaps = []string{"/dev/" + top.Name}
			} else {
				m.Mounts = []Mount{{top.Dev, point, "ext4", "/dev/" + top.Name}}
			}
			for _, byID := range []bool{false, true} {
				if err := m.Check("sda", 1, byID); fault.Code(err) != int(fault.Usage) || !strings.Contains(err.Error(), "of this machine") {
					t.Errorf("%s, %d levels: got %v", point, depth, err)
				}
			}
		}
	}
}

// A damaged table, with devices that are made of each other, ends.
func TestCircle(t *testing.T) {
	m := &Table{Devices: []*Device{{Name: "dm-0", Dev: "254:0", Slaves: []string{"dm-1"}}, {Name: "dm-1", Dev: "254:1", Slaves: []string{"dm-0"}}, {Name: "sda", Dev: "8:0", Size: 9, Bus: "usb"}},
		Mounts: []Mount{{"254:0", "/", "ext4", "/dev/dm-0"}}}
	if err := m.Check("sda", 1, false); err != nil {
		t.Error(err)
	}
}

func TestSame(t *testing.T) {
	d := Device{Name: "sdb", Dev: "8:16", Size: 5, Model: "m", Serial: "s", Seq: "9"}
	same := d
	if !d.Same(&same) || d.Same(nil) {
		t.Error("a disk is not itself")
	}
	for _, change := range []func(*Device){func(d *Device) { d.Size++ }, func(d *Device) { d.Serial = "t" }, func(d *Device) { d.Seq = "10" }, func(d *Device) { d.Model = "" }, func(d *Device) { d.Dev = "8:17" }} {
		other := d
		if change(&other); d.Same(&other) {
			t.Errorf("%+v is taken for %+v", other, d)
		}
	}
}

// Read takes from /sys, /proc and /dev what the kernel and udev put there.
func TestRead(t *testing.T) {
	root := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(name, to string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	const usb = "sys/devices/pci/usb1/1-2/"
	put(usb+"serial", "ABC123\n")
	for name, text := range map[string]string{"dev": "8:16\n", "size": "62333952\n", "ro": "0\n", "diskseq": "12\n", "sdb1/partition": "1\n", "sdb1/dev": "8:17\n", "sdb1/size": "2048\n", "sdb1/ro": "0\n"} {
		put(usb+"1-2:1.0/host/block/sdb/"+name, text)
	}
	put("sys/devices/pci/scsi/vendor", "SanDisk \n")
	put("sys/devices/pci/scsi/model", "Ultra  \n")
	link(usb+"1-2:1.0/host/block/sdb/device", filepath.Join(root, "sys/devices/pci/scsi"))
	for name, text := range map[string]string{"dev": "179:0\n", "size": "100\n", "ro": "1\n", "device/name": "SC32G\n", "device/cid": "03534453\n"} {
		put("sys/devices/soc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0/"+name, text)
	}
	for name, text := range map[string]string{"dev": "254:0\n", "size": "8\n", "ro": "0\n", "dm/name": "vg-root\n", "slaves/sdb1/x": ""} {
		put("sys/devices/virtual/block/dm-0/"+name, text)
	}
	for name, text := range map[string]string{"dev": "7:0\n", "size": "8\n", "loop/backing_file": "/a/b\n"} {
		put("sys/devices/virtual/block/loop0/"+name, text)
	}
	link("sys/class/block/sdb", filepath.Join(root, usb+"1-2:1.0/host/block/sdb"))
	link("sys/class/block/sdb1", filepath.Join(root, usb+"1-2:1.0/host/block/sdb/sdb1"))
	link("sys/class/block/mmcblk0", filepath.Join(root, "sys/devices/soc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0"))
	link("sys/class/block/dm-0", filepath.Join(root, "sys/devices/virtual/block/dm-0"))
	link("sys/class/block/loop0", filepath.Join(root, "sys/devices/virtual/block/loop0"))
	link("dev/disk/by-id/usb-SanDisk_Ultra_ABC123-0:0", "../../sdb")
	link(`dev/disk/by-label/my\x20stick`, "../../sdb1")
	put("sys/fs/btrfs/1234/devices/sdb1/x", "")
	put("proc/self/mountinfo", "29 1 254:0 / / rw - ext4 /dev/mapper/vg-root rw\n40 29 8:17 / /media/my\\040stick rw shared:5 - vfat /dev/sdb1 rw\nodd\n")
	put("proc/swaps", "Filename Type Size Used Priority\n/swap\\040file file 1 0 -2\n")
	got, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	want := &Table{
		Devices: []*Device{
			{Name: "dm-0", Dev: "254:0", Size: 4096, Slaves: []string{"sdb1"}, Title: "vg-root"},
			{Name: "loop0", Dev: "7:0", Size: 4096, Backing: "/a/b"},
			{Name: "mmcblk0", Dev: "179:0", Size: 51200, ReadOnly: true, Bus: "mmc", Model: "SC32G", Serial: "03534453"},
			{Name: "sdb", Dev: "8:16", Size: 62333952 * 512, Bus: "usb", Model: "SanDisk Ultra", Serial: "ABC123", Seq: "12", ByID: []string{"usb-SanDisk_Ultra_ABC123-0:0"}},
			{Name: "sdb1", Dev: "8:17", Parent: "sdb", Size: 1 << 20, Bus: "usb", Model: "SanDisk Ultra", Serial: "ABC123", Seq: "12", Label: "my stick"},
		},
		Mounts: []Mount{{"254:0", "/", "ext4", "/dev/mapper/vg-root"}, {"8:17", "/media/my stick", "vfat", "/dev/sdb1"}},
		Swaps:  []string{"/swap file"},
		Groups: [][]string{{"sdb1"}},
	}
	for i, d := range got.Devices {
		if i < len(want.Devices) && !reflect.DeepEqual(d, want.Devices[i]) {
			t.Errorf("got %+v, want %+v", *d, *want.Devices[i])
		}
	}
	if len(got.Devices) != len(want.Devices) || !slices.Equal(got.Mounts, want.Mounts) || !slices.Equal(got.Swaps, want.Swaps) || !reflect.DeepEqual(got.Groups, want.Groups) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := got.Check("sdb", 1, false); err == nil || !strings.Contains(err.Error(), "carries / of this machine") {
		t.Errorf("got %v", err)
	}
}

// This machine's own table can be read, and none of its disks that carry / is offered.
func TestThisMachine(t *testing.T) {
	m, err := Read("/")
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Mounts) == 0 {
		t.Error("there are no mounts")
	}
	list, _ := m.Choices(1)
	for _, d := range list {
		if points, system, _ := m.uses(d.Name); system != "" || points != nil {
			t.Errorf("%s is offered and carries %q, %q", d.Name, points, system)
		}
	}
}
