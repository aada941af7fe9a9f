package scenarios

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/qemu/long/powercut"
	"imgbuild/qemu/long/ubootstates"
	"imgbuild/qemu/vm"
)

// records reads both copies of the boot record from a disk and returns the one that counts.
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

// Where the slots begin, and how much of one holds a system in this test, in bytes.
const (
	slotAStart = 240 << 20
	slotBStart = 880 << 20
	slotSystem = 320 << 20
)

// fillB puts slot a's system into slot b too.
func fillB(t *testing.T, f *os.File) {
	buf, zero := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); at < slotSystem; at += int64(len(buf)) {
		if _, err := f.ReadAt(buf, slotAStart+at); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(buf, zero) {
			continue
		}
		if _, err := f.WriteAt(buf, slotBStart+at); err != nil {
			t.Fatal(err)
		}
	}
}

// damageA fills slot b and damages slot a's kernel: it is there and can be read, and its compressed
// data begins with a block of a type that deflate does not have (RFC 1951, section 3.2.3). U-Boot's
// unzip looks neither at the mark of a gzip file nor at its checksum.
func damageA(t *testing.T, f *os.File) {
	fillB(t, f)
	block := make([]byte, 4096)
	for at := int64(slotAStart); at < slotAStart+(16<<20); at += int64(len(block)) {
		if _, err := f.ReadAt(block, at); err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(block, []byte{0x1f, 0x8b, 8}) {
			if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 64), at+10); err != nil { // after the header
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("slot a has no gzip file in its first 16 MiB")
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
	text := func(r bootstate.Record) []byte {
		b, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b[:]
	}
	torn := text(newer)
	for i := 100; i < 512; i++ {
		torn[i] = 0xff
	}
	torn[20] ^= 0x40
	none := make([]byte, bootstate.Size)
	both := good
	both.B = bootstate.Good
	usedUp := both
	usedUp.Left = 0
	alone := usedUp
	alone.B = bootstate.Bad
	neither := good
	neither.A, neither.B = bootstate.Bad, bootstate.Bad
	for _, c := range []struct {
		name   string
		copies [2][]byte
		line   string // of the kernel's command line
		left   int    // in the record after U-Boot; -1 = there is no record
		last   string
		b      string
		active string                     // "" = a
		change func(*testing.T, *os.File) // of the disk
	}{
		{"fresh", [2][]byte{text(good), text(good)}, `shelf.slot=a .*shelf.trial=0 shelf.left=2`, 2, "", bootstate.Empty, "", nil},
		{"the newer copy counts", [2][]byte{text(good), text(newer)}, `shelf.slot=a .*shelf.left=1 shelf.last=newer`, 1, "newer", bootstate.Empty, "", nil},
		{"torn", [2][]byte{text(good), torn}, `shelf.slot=a .*shelf.left=2`, 2, "", bootstate.Empty, "", nil},
		{"absent", [2][]byte{none, none}, `shelf.slot=a .*shelf.trial=0 .*shelf.last=no-record`, -1, "", "", "", nil},
		{"a trial of an empty slot", [2][]byte{text(good), text(trial)}, `shelf.slot=a .*shelf.trial=0 .*shelf.last=trial-b-did-not-load`, 2, "trial-b-did-not-load", bootstate.Bad, "", nil},
		{"a trial that used up its attempts", [2][]byte{text(used), text(good)}, `shelf.slot=a .*shelf.trial=0 .*shelf.last=trial-b-exhausted`, 2, "trial-b-exhausted", bootstate.Bad, "", nil},
		{"both slots are good", [2][]byte{text(both), text(both)}, `shelf.slot=a .*shelf.trial=0 shelf.left=2`, 2, "", bootstate.Good, "", fillB},
		{"used up, the other one is good", [2][]byte{text(usedUp), text(usedUp)}, `shelf.slot=b .*shelf.trial=0 .*shelf.last=slot-a-exhausted`, 2, "slot-a-exhausted", bootstate.Good, bootstate.B, fillB},
		{"used up, the other one is bad", [2][]byte{text(alone), text(alone)}, `shelf.slot=a .*shelf.trial=0 shelf.left=0 shelf.last=slot-a-exhausted`, 0, "slot-a-exhausted", bootstate.Bad, "", fillB},
		{"both slots are bad", [2][]byte{text(neither), text(neither)}, `shelf.slot=a .*shelf.trial=0 shelf.left=2`, 2, "", bootstate.Bad, "", fillB},
		{"a trial of a written slot", [2][]byte{text(good), text(trial)}, `shelf.slot=b .*shelf.trial=1 shelf.left=2`, 2, "", bootstate.Empty, "", fillB},
		{"a kernel that cannot be unpacked", [2][]byte{text(both), text(both)}, `shelf.slot=b .*shelf.trial=0 .*shelf.last=slot-a-did-not-load`, 2, "", bootstate.Good, "", damageA},
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
			if c.change != nil {
				c.change(t, f)
			}
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
			active := c.active
			if active == "" {
				active = bootstate.A
			}
			if r := records(t, disk); r.Left != c.left || r.Last != c.last || r.B != c.b || r.Active != active {
				t.Errorf("U-Boot left %+v, want left %d, last %q, b %s, active %s", r, c.left, c.last, c.b, active)
			}
			for _, at := range []int64{bootstate.Copy0, bootstate.Copy1} {
				if _, err := bootstate.Parse(sector(t, disk, at)); err != nil {
					t.Errorf("the copy at %d was not written again: %v", at, err)
				}
			}
		})
	}
}

// TestCrashStates boots states that a power cut may leave, out of those that package powercut
// explores, on the real U-Boot: it does what the oracle expects. make crash only=states does 100.
func TestCrashStates(t *testing.T) {
	t.Parallel()
	im := build(t, cloudConfig("shelf-worker", ""), "board=rpi4", "role=worker", k3s(t, "arm64"))
	samples, err := powercut.Samples(1, 12)
	if err != nil {
		t.Fatal(err)
	}
	if err := guests.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	defer guests.Release(1)
	wrong, err := ubootstates.Run(t.Context(), im.Image, t.TempDir(), samples, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}
