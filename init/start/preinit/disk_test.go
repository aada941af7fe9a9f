package preinit

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/contract/fat"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/contract/mbr"
	"imgbuild/init/disk"
)

const sectors = 4 << 21 // of a disk of 4 GiB

func newReporter() report.Reporter {
	return report.Reporter{Console: &report.Console{}, Report: &report.Report{}, Step: "preinit"}
}

// machine is one below sys and dev with a disk of some signature; its slots and its data partition
// are written by the tests.
func machine(t *testing.T, sys, dev, name string, signature uint32) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	table := mbr.Table{Signature: signature}
	at := uint32(32768)
	for i, size := range []uint32{229376, 1310720, 1310720, sectors - 32768 - 229376 - 2*1310720} {
		table.Partitions[i] = mbr.Partition{Type: []byte{0x0C, 0x1C, 0x1C, 0x83}[i], Start: at, Sectors: size}
		at += size
	}
	sector, err := table.Marshal()
	must(err)
	dir := filepath.Join(sys, "block", name)
	must(os.MkdirAll(dir+"/queue", 0o755))
	must(os.WriteFile(dir+"/size", fmt.Append(nil, sectors, "\n"), 0o644))
	must(os.WriteFile(dir+"/queue/logical_block_size", []byte("512\n"), 0o644))
	must(os.WriteFile(filepath.Join(dev, name), sector[:], 0o644))
	for n := 1; n <= 4; n++ {
		part := fmt.Sprintf("%sp%d", name, n)
		must(os.MkdirAll(filepath.Join(dir, part), 0o755))
		must(os.WriteFile(filepath.Join(dir, part, "partition"), fmt.Append(nil, n, "\n"), 0o644))
		must(os.WriteFile(filepath.Join(dev, part), nil, 0o644))
	}
}

// slot writes a slot's volume with a manifest; damage changes the manifest after its sum was made.
func slot(t *testing.T, path string, m *manifest.Manifest, damage bool) {
	t.Helper()
	data, sum, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if damage {
		data[len(data)/2]++
	}
	file := func(name string, data []byte) fat.File {
		return fat.File{Path: name, Size: int64(len(data)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(data))), nil }}
	}
	v := fat.Volume{Label: "SHELF", ID: 7, Size: 64 << 20, ClusterSize: 512, Files: []fat.File{file(manifest.Name, data), file(manifest.SumName, sum)}}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(v.Size); err != nil {
		t.Fatal(err)
	}
	if err := v.Write(f); err != nil {
		t.Fatal(err)
	}
}

// data writes an ext4 superblock with a label, last written at some time.
func data(t *testing.T, path, label string, written time.Time) {
	t.Helper()
	image := make([]byte, 4096)
	sb := image[1024:]
	binary.LittleEndian.PutUint16(sb[0x38:], 0xEF53)
	binary.LittleEndian.PutUint32(sb[0x30:], uint32(written.Unix()))
	copy(sb[0x78:], label)
	if err := os.WriteFile(path, image, 0o644); err != nil {
		t.Fatal(err)
	}
}

func good() *manifest.Manifest {
	return &manifest.Manifest{
		Format: manifest.Format, Family: "rpi64", Version: "20261121-7271e76d", Roles: []string{"worker"}, Date: 1600000000, MinMemory: 1 << 30,
		Compatible: []string{"raspberrypi,4-model-b"},
		Root:       manifest.Root{Offset: 4096, Size: 4096, TreeOffset: 8192, TreeSize: 4096, Hash: strings.Repeat("00", 32)},
	}
}

func TestFindDisk(t *testing.T) {
	for _, c := range []struct {
		name, cmdline string
		disks         map[string]uint32
		want, err     string
		reported      int
	}{
		{"its own", "shelf.disk=1a2b3c4d-01 shelf.slot=a", map[string]uint32{"mmcblk0": 0x1a2b3c4d, "sda": 7}, "mmcblk0", "", 0},
		{"two of one signature", "shelf.disk=1a2b3c4d-01 shelf.slot=b", map[string]uint32{"mmcblk0": 0x1a2b3c4d, "sda": 0x1a2b3c4d}, "mmcblk0", "", 1},
		{"none", "shelf.disk=1a2b3c4d-01 shelf.slot=a", map[string]uint32{"sda": 7}, "", "did not appear within 40s; the disks that are there: sda", 0},
		{"no name", "shelf.slot=a", nil, "", "no shelf.disk", 0},
		{"no slot", "shelf.disk=1a2b3c4d-01 shelf.slot=c", nil, "", `shelf.slot="c"`, 0},
		{"no PARTUUID", "shelf.disk=sda1 shelf.slot=a", nil, "", "is not a partition of an MBR disk", 0},
	} {
		sys, dev := t.TempDir(), t.TempDir()
		for name, signature := range c.disks {
			machine(t, sys, dev, name, signature)
		}
		synctest.Test(t, func(t *testing.T) { // it waits for a disk that does not come
			reporter := newReporter()
			s := &State{Cmdline: ParseCmdline(c.cmdline), Modules: NewHotplug(reporter, nil)}
			err := s.findDisk(reporter, sys, dev)
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) || c.err == "" && (err != nil || s.Disk.Name != c.want) {
				t.Errorf("%s: got %+v, %v, want %q", c.name, s.Disk, err, c.want+c.err)
			}
			if p := reporter.Report.Problems(); len(p) != c.reported {
				t.Errorf("%s: reported %+v, want length %v", c.name, p, c.reported)
			}
		})
	}
}

// A USB disk that takes its time is found when it comes.
func TestLateDisk(t *testing.T) {
	sys, dev := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &State{Cmdline: ParseCmdline("shelf.disk=1a2b3c4d-01 shelf.slot=a"), Modules: NewHotplug(newReporter(), nil)}
		done := make(chan error)
		go func() { done <- s.findDisk(newReporter(), sys, dev) }()
		time.Sleep(15 * time.Second)
		machine(t, sys, dev, "sda", 0x1a2b3c4d)
		s.Modules.block <- struct{}{}
		if err := <-done; err != nil || s.Disk.Name != "sda" {
			t.Errorf("got %+v, %v", s.Disk, err)
		}
	})
}

func TestCheck(t *testing.T) {
	written := time.Unix(1700000000, 0)
	for _, c := range []struct {
		name           string
		slot           string
		with           func(dev string)
		compatible     string
		err, data      string
		reported       int
		label          string
		expectManifest bool
	}{
		{name: "well", slot: "a", expectManifest: true},
		{name: "slot b is empty", slot: "b", err: "slot b cannot be used"},
		{name: "another board", slot: "a", compatible: "hardkernel,odroid-xu4", err: "this card is for rpi64", expectManifest: true},
		{name: "a damaged manifest", slot: "a", with: func(dev string) { slot(t, filepath.Join(dev, "sdap2"), good(), true) }, err: "slot a cannot be used"},
		{name: "somebody's data", slot: "a", label: "photos", data: `label "photos"`, expectManifest: true},
		{name: "no file system", slot: "a", with: func(dev string) { os.WriteFile(filepath.Join(dev, "sdap4"), make([]byte, 4096), 0o644) }, data: "no ext4 file system", expectManifest: true},
		{name: "no data partition", slot: "a", with: func(dev string) { os.Remove(filepath.Join(dev, "sdap4")) }, data: "has no partition 4", expectManifest: true},
		{name: "too little memory", slot: "a", reported: 1, expectManifest: true},
	} {
		sys, dev := t.TempDir(), t.TempDir()
		machine(t, sys, dev, "sda", 0x1a2b3c4d)
		slot(t, filepath.Join(dev, "sdap2"), good(), false)
		label := DataLabel
		if c.label != "" {
			label = c.label
		}
		data(t, filepath.Join(dev, "sdap4"), label, written)
		if c.with != nil {
			c.with(dev)
		}
		d, _, err := disk.Find(sys, dev, "1a2b3c4d-01")
		if err != nil || d == nil {
			t.Fatalf("%+v, %v", d, err)
		}
		reporter := newReporter()
		s := &State{Disk: d, Slot: c.slot, Compatible: []string{"raspberrypi,4-model-b"}, Memory: 4 << 30}
		if c.compatible != "" {
			s.Compatible = []string{c.compatible}
		}
		if c.reported > 0 {
			s.Memory = 512 << 20
		}
		err = s.check(reporter)
		if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) || c.err == "" && err != nil {
			t.Errorf("%s: got %v, want %q", c.name, err, c.err)
		}
		if (s.Manifest != nil) != c.expectManifest || len(reporter.Report.Problems()) != c.reported {
			t.Errorf("%s: manifest %v, reported %+v", c.name, s.Manifest, reporter.Report.Problems())
		}
		if c.err != "" {
			continue
		}
		if c.data != "" && (s.DataErr == nil || !strings.Contains(s.DataErr.Error(), c.data)) || c.data == "" && (s.DataErr != nil || !s.Data.Written.Equal(written)) {
			t.Errorf("%s: data %+v, %v, want %q", c.name, s.Data, s.DataErr, c.data)
		}
	}
}

// The watchdog is fed as long as somebody vouches for progress, and disarmed at the end.
func TestWatchdog(t *testing.T) {
	dev := t.TempDir()
	if _, err := OpenWatchdog(dev); err == nil {
		t.Error("a watchdog that is not there was opened")
	}
	path := filepath.Join(dev, "watchdog0")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	fed := func() int {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return len(text)
	}
	synctest.Test(t, func(t *testing.T) {
		w, err := OpenWatchdog(dev)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		before := fed()
		if before < 10 {
			t.Errorf("fed %d times in a minute", before)
		}
		w.Limit(10 * time.Second)
		time.Sleep(time.Hour)
		synctest.Wait()
		late := fed()
		if late-before > 3 {
			t.Errorf("fed %d times after the limit", late-before)
		}
		w.Limit(0)
		time.Sleep(time.Minute)
		synctest.Wait()
		if fed() <= late {
			t.Error("not fed without a limit")
		}
		w.Close()
		w.Close()
		time.Sleep(time.Minute)
	})
	if text, _ := os.ReadFile(path); text[len(text)-1] != 'V' {
		t.Errorf("it was not disarmed: got %v, want %v", text[len(text)-1], 'V')
	}
	var none *Watchdog
	none.Limit(time.Second)
	none.Close()
}
