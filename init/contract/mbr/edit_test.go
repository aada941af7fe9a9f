package mbr

import (
	"bytes"
	"testing"
)

// erase is 4 MiB in sectors.
const erase = 8192

func TestGrow(t *testing.T) {
	before, err := disk.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	copy(before[:], "boot code")
	for _, c := range []struct {
		sectors uint64
		end     uint64 // 0: nothing to do
	}{
		{3637248, 0},                  // the image's own size
		{3637248 + 8191, 0},           // less than 4 MiB more
		{62332928, 62332928},          // a card of 32 GB, whole
		{62333952, 62332928},          // rounded down to 4 MiB
		{3000000, 0},                  // a card that is too small is not made worse
		{1 << 33, 4298072064},         // 4 TiB: what 32 bits can express, from its start
		{3112960 + 1<<32, 4298072064}, // the same at the edge
	} {
		got, err := Grow(before[:], 4, c.sectors, erase, 0xCAFEBABE)
		if err != nil {
			t.Fatal(err)
		}
		if c.end == 0 {
			if got != nil {
				t.Errorf("%d sectors: changed: got %v, want nil", c.sectors, got)
			}
			continue
		}
		// The boot code, and what Marshal makes of the larger table; its own check of 2 TiB does
		// not hold for a disk whose last partition starts below and ends above.
		want := bytes.Clone(before[:])
		want = Set(want, 4, Partition{Start: 3112960, Sectors: uint32(c.end - 3112960), Type: Linux})
		copy(want[CodeSize:], []byte{0xBE, 0xBA, 0xFE, 0xCA})
		if !bytes.Equal(got, want) {
			t.Errorf("%d sectors: got\n% x\nwant\n% x", c.sectors, got[CodeSize:], want[CodeSize:])
		}
		if c.end <= 1<<32 {
			table := disk
			table.Signature, table.Partitions[3].Sectors = 0xCAFEBABE, uint32(c.end-3112960)
			if whole, err := table.Marshal(); err != nil || !bytes.Equal(got[CodeSize:], whole[CodeSize:]) {
				t.Errorf("%d sectors: got\n% x\nwant what Marshal writes, %v\n% x", c.sectors, got[CodeSize:], err, whole[CodeSize:])
			}
		}
		if again, err := Grow(got, 4, c.sectors, erase, 1); err != nil || again != nil {
			t.Errorf("%d sectors: grown twice, %v: got %v, want nil", c.sectors, err, again)
		}
	}
	if _, err := Grow(make([]byte, SectorSize), 4, 1<<23, erase, 1); err == nil {
		t.Error("no table: got no error")
	}
	if _, err := Grow(Set(before[:], 4, Partition{}), 4, 1<<23, erase, 1); err == nil {
		t.Error("no partition 4: got no error")
	}
}

func FuzzGrow(f *testing.F) {
	s, _ := disk.Marshal()
	f.Add(s[:], uint64(1<<23))
	f.Add([]byte{0x55, 0xAA}, uint64(0))
	f.Fuzz(func(t *testing.T, sector []byte, sectors uint64) {
		sectors %= 1 << 40
		got, err := Grow(sector, 4, sectors, erase, 7)
		if err != nil || got == nil {
			return
		}
		before, _ := Decode(sector)
		after, err := Decode(got)
		if err != nil {
			t.Fatal(err)
		}
		if after.Partitions[3].End() <= before.Partitions[3].End() || after.Partitions[3].End() > sectors {
			t.Errorf("from %+v to %+v on %d sectors", before.Partitions[3], after.Partitions[3], sectors)
		}
		if after.Signature != 7 || !bytes.Equal(got[:CodeSize], sector[:CodeSize]) {
			t.Errorf("signature %x, or the boot code changed", after.Signature)
		}
		for i := range 3 {
			if after.Partitions[i] != before.Partitions[i] {
				t.Errorf("partition %d: got %+v, want %+v", i+1, after.Partitions[i], before.Partitions[i])
			}
		}
	})
}
