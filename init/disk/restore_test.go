package disk

import (
	"bytes"
	"testing"

	"imgbuild/init/contract/mbr"
)

func TestRestore(t *testing.T) {
	const sectors = 8 << 21 // 8 GiB
	whole := card(t, 7)
	if got, err := Restore(whole, sectors); got != nil || err != nil {
		t.Errorf("nothing is wrong with it: %v %v", got != nil, err)
	}
	lost := bytes.Clone(whole)
	copy(lost[446+48:510], make([]byte, 16))
	got, err := Restore(lost, sectors)
	if err != nil {
		t.Fatal(err)
	}
	table, _ := mbr.Decode(got)
	if p := table.Partitions[Data-1]; p.Start != DataStart || p.End() != sectors || p.Type != 0x83 || table.Signature != 7 {
		t.Errorf("%+v", table)
	}
	if !bytes.Equal(got[:446+48], whole[:446+48]) {
		t.Error("more than the entry changed")
	}
	p := table
	p.Partitions[Data-1].Sectors = sectors - DataStart
	if want, err := p.Marshal(); err != nil || !bytes.Equal(got[440:], want[440:]) {
		t.Errorf("got entry % x, want what a flashed card of that size has: % x, %v", got[446+48:510], want[446+48:510], err)
	}
	// A card that was copied to a smaller one.
	if got, err = Restore(whole, DataStart+100_000); err != nil {
		t.Fatal(err)
	}
	if table, _ = mbr.Decode(got); table.Partitions[Data-1].End() > DataStart+100_000 || table.Partitions[Data-1].End()%align != 0 {
		t.Errorf("%+v", table)
	}
	other := bytes.Clone(whole)
	other[446+48+9]++
	reaches := bytes.Clone(lost)
	reaches[446+32+15] = 1
	for name, c := range map[string]struct {
		sector  []byte
		sectors uint64
	}{"no table": {make([]byte, 512), sectors}, "another layout": {other, sectors}, "no space": {lost, DataStart + 10}, "taken": {reaches, sectors}} {
		if got, err := Restore(c.sector, c.sectors); got != nil || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRestore(f *testing.F) {
	f.Add(card(f, 1), uint64(1<<24))
	f.Add(make([]byte, 512), uint64(0))
	f.Fuzz(func(t *testing.T, sector []byte, sectors uint64) {
		sectors %= 1 << 40
		got, err := Restore(sector, sectors)
		if err != nil || got == nil {
			return
		}
		table, err := mbr.Decode(got)
		if err != nil || table.Partitions[Data-1].End() > sectors || table.Partitions[Data-1].Start != DataStart {
			t.Errorf("%+v %v", table, err)
		}
		if again, err := Restore(got, sectors); again != nil || err != nil {
			t.Errorf("not done immediately: %v: got %v, want nil", err, again)
		}
	})
}
