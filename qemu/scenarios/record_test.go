package scenarios

import (
	"os"
	"path/filepath"
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/qemu/vm"
)

// records reads both copies of the boot record from a disk and gives the one that counts.
func records(t *testing.T, disk string) bootstate.Record {
	t.Helper()
	r, _, err := bootstate.Choose(sector(t, disk, bootstate.Copy0), sector(t, disk, bootstate.Copy1))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sector(t *testing.T, disk string, at int64) []byte {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := make([]byte, bootstate.Size)
	if _, err := f.ReadAt(s, at); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRecord shows U-Boot records as they may be after a bad moment, and reads what it chose from
// the kernel's command line and what it wrote from the disk. The kernel starts, the node is not
// waited for.
func TestRecord(t *testing.T) {
	t.Parallel()
	im := build(t, cloudConfig("shelf-worker", ""), "board=rpi4", "role=worker", k3s(t, "arm64"))
	good := bootstate.Fresh(bootstate.A)
	newer := good
	newer.Seq, newer.Left, newer.Last = 7, 2, "newer"
	trial := good
	trial.Seq, trial.Trial, trial.Left = 9, bootstate.B, 3
	used := trial
	used.Left = 0
	bytes := func(r bootstate.Record) []byte {
		b, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b[:]
	}
	torn := bytes(newer)
	for i := 100; i < 512; i++ {
		torn[i] = 0xff
	}
	torn[20] ^= 0x40
	none := make([]byte, bootstate.Size)
	for _, c := range []struct {
		name   string
		copies [2][]byte
		line   string // of the kernel's command line
		left   int    // in the record after U-Boot; -1 = there is no record
		last   string
		b      string
	}{
		{"fresh", [2][]byte{bytes(good), bytes(good)}, `shelf.slot=a .*shelf.trial=0 shelf.left=2`, 2, "", bootstate.Empty},
		{"the newer copy counts", [2][]byte{bytes(good), bytes(newer)}, `shelf.slot=a .*shelf.left=1 shelf.last=newer`, 1, "newer", bootstate.Empty},
		{"torn", [2][]byte{bytes(good), torn}, `shelf.slot=a .*shelf.left=2`, 2, "", bootstate.Empty},
		{"absent", [2][]byte{none, none}, `shelf.slot=a .*shelf.trial=0 .*shelf.last=no-record`, -1, "", ""},
		{"a trial of an empty slot", [2][]byte{bytes(good), bytes(trial)}, `shelf.slot=a .*shelf.trial=0 .*shelf.last=trial-b-did-not-load`, 2, "trial-b-did-not-load", bootstate.Bad},
		{"a trial that used up its attempts", [2][]byte{bytes(used), bytes(good)}, `shelf.slot=a .*shelf.trial=0 .*shelf.last=trial-b-exhausted`, 2, "trial-b-exhausted", bootstate.Bad},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := filepath.Join(t.TempDir(), "disk.img")
			duplicate(t, im.Image, disk)
			f, err := os.OpenFile(disk, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.WriteAt(c.copies[0], bootstate.Copy0)
			f.WriteAt(c.copies[1], bootstate.Copy1)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			g := boot(t, vm.Options{Image: disk, Kept: true, Name: "record", Machine: "virt", Offline: true})[0]
			g.see(`Kernel command line: .*` + c.line)
			g.Stop()
			if c.left < 0 {
				if _, _, err := bootstate.Choose(sector(t, disk, bootstate.Copy0), sector(t, disk, bootstate.Copy1)); err == nil {
					t.Error("U-Boot made a record out of nothing")
				}
				return
			}
			if r := records(t, disk); r.Left != c.left || r.Last != c.last || r.B != c.b || r.Active != bootstate.A {
				t.Errorf("U-Boot left %+v", r)
			}
		})
	}
}
