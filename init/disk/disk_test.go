package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mbr"
)

// card is sector 0 of a freshly flashed card: the table of docs/disk.md, partition 4 of 256 MiB.
func card(t testing.TB, signature uint32) []byte {
	t.Helper()
	s, err := mbr.Table{Signature: signature, Partitions: [4]mbr.Partition{
		{Start: 32768, Sectors: 229376, Type: mbr.FAT32, Active: true},
		{Start: 491520, Sectors: 1310720, Type: mbr.HiddenFAT32},
		{Start: 1802240, Sectors: 1310720, Type: mbr.HiddenFAT32},
		{Start: DataStart, Sectors: 524288, Type: mbr.Linux},
	}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	copy(s[:], "boot code")
	return s[:]
}

// machine makes disks as /sys/block and /dev show them.
func machine(t *testing.T, disks map[string][]byte) (sys, dev string) {
	t.Helper()
	sys, dev = t.TempDir(), t.TempDir()
	for name, sector := range disks {
		dir := filepath.Join(sys, "block", name)
		os.MkdirAll(dir+"/queue", 0o755)
		os.WriteFile(dir+"/size", []byte("3637248\n"), 0o644)
		os.WriteFile(dir+"/queue/logical_block_size", []byte("512\n"), 0o644)
		os.WriteFile(filepath.Join(dev, name), sector, 0o644)
		for n := 1; n <= 4; n++ {
			part := fmt.Sprintf("%sp%d", name, n)
			os.MkdirAll(filepath.Join(dir, part), 0o755)
			os.WriteFile(filepath.Join(dir, part, "partition"), fmt.Append(nil, n, "\n"), 0o644)
			os.WriteFile(filepath.Join(dev, part), nil, 0o644)
		}
	}
	return sys, dev
}

func TestFind(t *testing.T) {
	sys, dev := machine(t, map[string][]byte{"mmcblk0": card(t, 0x1A2B3C4D), "sda": card(t, 0x11111111), "sdb": make([]byte, 512), "loop0": card(t, 0x1A2B3C4D), "mmcblk0boot0": card(t, 0x1A2B3C4D)})
	d, names, err := Find(sys, dev, "1a2b3c4d-01")
	if err != nil || d == nil || d.Name != "mmcblk0" || len(names) != 1 {
		t.Fatalf("%+v %v %v", d, names, err)
	}
	if got := d.Partition(Data); got != filepath.Join(dev, "mmcblk0p4") {
		t.Errorf("partition 4 is %q", got)
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
	// An entry that is damaged does not hide the disk: RestoreData puts partition 4 right.
	damaged := card(t, 0x22222222)
	copy(damaged[446+48+8:], []byte{0, 0, 1, 0}) // inside BOOT
	sys2, dev2 := machine(t, map[string][]byte{"sdc": damaged})
	if d, _, err := Find(sys2, dev2, "22222222-01"); err != nil || d == nil || d.Name != "sdc" {
		t.Errorf("a damaged partition 4: got %v, %v, want sdc", d, err)
	}
	if d, _, err := Find(sys, dev, "99999999-01"); d != nil || err != nil {
		t.Errorf("a disk that is not there: %v %v, want nil", d, err)
	}
	for _, bad := range []string{"", "1a2b3c4d", "1a2b3c4d-1x", "1a2b3c4d-05", "1a2b3c4d-1", "1a2b3c4d-001", "xyzxyzxy-01", "81a2b3c4d-01", "0f0f0f0f-0f0f-0f0f"} {
		if _, _, err := Find(sys, dev, bad); fault.Code(err) != int(fault.Input) {
			t.Errorf("%q: %v, want code %v", bad, err, int(fault.Input))
		}
	}
}

func TestFindTwice(t *testing.T) {
	sys, dev := machine(t, map[string][]byte{"mmcblk0": card(t, 5), "sda": card(t, 5)})
	d, names, err := Find(sys, dev, "00000005-01")
	if err != nil || d.Name != "mmcblk0" || strings.Join(names, " ") != "mmcblk0 sda" {
		t.Errorf("%v %v %v", d, names, err)
	}
}

func TestCheck(t *testing.T) {
	sys, dev := machine(t, map[string][]byte{"sda": card(t, 5)})
	find := func() *Disk {
		d, _, err := Find(sys, dev, "00000005-01")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	os.WriteFile(sys+"/block/sda/size", []byte("3000000\n"), 0o644)
	if err := find().Check(); err == nil || !strings.Contains(err.Error(), "at least 1594 MB") {
		t.Errorf("a disk that is smaller than its slots: %v", err)
	}
	os.WriteFile(sys+"/block/sda/size", []byte("3200000\n"), 0o644)
	if err := find().Check(); err != nil {
		t.Errorf("a disk that ends within the data partition still starts: %v", err)
	}
	if err := find().CheckData(); err == nil || !strings.Contains(err.Error(), "at least 1863 MB") {
		t.Errorf("a disk that ends within the data partition: %v", err)
	}
	os.WriteFile(sys+"/block/sda/size", []byte("62333952\n"), 0o644)
	os.WriteFile(sys+"/block/sda/queue/logical_block_size", []byte("4096\n"), 0o644)
	if err := find().Check(); err == nil || !strings.Contains(err.Error(), "sectors of 4096 bytes") {
		t.Errorf("4096-byte sectors: %v", err)
	}
	os.WriteFile(sys+"/block/sda/queue/logical_block_size", []byte("512\n"), 0o644)
	os.Remove(dev + "/sdap4")
	if err := find().Check(); err != nil {
		t.Errorf("a disk without a data partition still starts: %v", err)
	}
	if err := find().CheckData(); err == nil || !strings.Contains(err.Error(), "no partition 4") {
		t.Errorf("no partition 4: %v", err)
	}
}

func TestReadExt4(t *testing.T) {
	part := make([]byte, 4096)
	sb := part[1024:]
	le := binary.LittleEndian
	le.PutUint16(sb[0x38:], 0xEF53)
	le.PutUint32(sb[0x18:], 2)
	le.PutUint32(sb[0x04:], 7)
	le.PutUint32(sb[0x60:], 0x80)
	le.PutUint32(sb[0x150:], 1)
	copy(sb[0x78:], "K3OS_STATE")
	le.PutUint32(sb[0x30:], 1795219200)
	e, err := ReadExt4(bytes.NewReader(part))
	if err != nil || e.Label != "K3OS_STATE" || e.BlockSize != 4096 || e.Blocks != 1<<32+7 || e.Written.Unix() != 1795219200 {
		t.Errorf("%+v %v", e, err)
	}
	if e.Clean {
		t.Error("clean without the mark of an orderly end")
	}
	for _, c := range []struct {
		state, mounts uint16
		incompat      uint32
		want          bool
	}{{1, 0xFFFF, 0x80, true}, {1, 0xFFFF, 0x84, false}, {3, 0xFFFF, 0x80, false}, {0, 0xFFFF, 0x80, false}, {1, 20, 0x80, false}} {
		le.PutUint16(sb[0x3A:], c.state)
		le.PutUint16(sb[0x36:], c.mounts)
		le.PutUint32(sb[0x60:], c.incompat)
		if e, err := ReadExt4(bytes.NewReader(part)); err != nil || e.Clean != c.want {
			t.Errorf("%+v: clean %v, %v, want %v", c, e.Clean, err, c.want)
		}
	}
	for name, bad := range map[string][]byte{"empty": nil, "zeros": make([]byte, 4096), "cut": part[:1500]} {
		if _, err := ReadExt4(bytes.NewReader(bad)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzReadExt4(f *testing.F) {
	f.Add(make([]byte, 2048))
	f.Fuzz(func(t *testing.T, part []byte) {
		if e, err := ReadExt4(bytes.NewReader(part)); err == nil && (e.BlockSize < 1024 || e.BlockSize > 65536) {
			t.Errorf("block size %d", e.BlockSize)
		}
	})
}
