package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/mbr"
	"imgbuild/init/disk"
	"imgbuild/qemu/vm"
)

// An attempt is one upgrade: the system that runs when it begins, and the one that it brings.
type attempt struct {
	from, to version
	slot     string   // that to is written to
	had      *version // what that slot held; nil = nothing
	armed    bool     // imgbuild has reported that the slot is written and will be tried
	over     bool     // imgbuild has reported the commit
}

// A found is what a power cut has left of an attempt, as far as U-Boot will look at it.
type found struct {
	record bootstate.Record
	whole  bool // the slot of the attempt holds all of its system
	empty  bool // that slot loads nothing: its first sector is zero
}

// phase names how far the attempt was, by the disk alone.
func (f found) phase(a attempt) string {
	switch {
	case f.record.Active == a.slot:
		return "committed"
	case f.record.Trial == a.slot && f.record.Left == bootstate.MaxLeft:
		return "armed"
	case f.record.Trial == a.slot:
		return "in the trial"
	case f.whole:
		return "written"
	case f.empty:
		return "being written"
	}
	return "before the first write"
}

// examine looks at the disk that a power cut in an attempt has left, and returns what is wrong with
// it. Only what U-Boot may start has to be whole; the file system is repaired on a copy as the node
// does it.
func examine(ctx context.Context, path string, a attempt) (f found, bad []string, err error) {
	wrong := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	file, err := os.Open(path)
	if err != nil {
		return f, nil, err
	}
	defer file.Close()
	read := func(at int64) []byte {
		b := make([]byte, mbr.SectorSize)
		if _, rerr := file.ReadAt(b, at); rerr != nil {
			err = rerr
		}
		return b
	}
	copies := [2][]byte{read(bootstate.Copy0), read(bootstate.Copy1)}
	start := map[string]int64{bootstate.A: diskmap.SlotA, bootstate.B: diskmap.SlotB}
	first := read(start[a.slot])
	table, terr := mbr.Decode(read(0))
	if err != nil {
		return f, nil, err
	}
	if f.record, _, err = bootstate.Choose(copies[0], copies[1]); err != nil {
		return f, []string{err.Error()}, nil
	}
	holds := func(v version, slot string) (bool, error) {
		return v.in(io.NewSectionReader(file, start[slot], diskmap.SlotSize))
	}
	if f.whole, err = holds(a.to, a.slot); err != nil {
		return f, nil, err
	}
	f.empty = first[0] == 0 && first[len(first)-1] == 0
	old, err := holds(a.from, bootstate.Other(a.slot))
	if err != nil {
		return f, nil, err
	}
	had := false
	if a.had != nil {
		if had, err = holds(*a.had, a.slot); err != nil {
			return f, nil, err
		}
	}
	r := f.record
	switch {
	case !old:
		wrong("slot %s does not hold %s any more, which is the way back", bootstate.Other(a.slot), a.from.name)
	case r.Active == a.slot && !f.whole:
		wrong("slot %s is committed and does not hold %s: %+v", a.slot, a.to.name, r)
	case r.Trial != "" && r.Trial != a.slot:
		wrong("slot %s is tried: %+v", r.Trial, r)
	case r.Trial == a.slot && !f.whole:
		wrong("slot %s is tried and does not hold %s: %+v", a.slot, a.to.name, r)
	case r.State(a.slot) == bootstate.Good && !f.whole && !had:
		wrong("slot %s is called good and holds no system: %+v", a.slot, r)
	case a.armed && r.Slot() != a.slot:
		wrong("the arming of %s is lost: %+v", a.to.name, r)
	case a.over && r.Active != a.slot:
		wrong("the commit of %s is lost: %+v", a.to.name, r)
	}
	if terr != nil {
		wrong("partition table: %v", terr)
		return f, bad, nil
	}
	data := path + ".p4"
	defer os.Remove(data)
	_ = os.Remove(data)
	size := int64(table.Partitions[disk.Data-1].Sectors) * mbr.SectorSize
	if err := vm.CopyPart(data, path, diskmap.Data, size, size); err != nil {
		return f, nil, err
	}
	problems, err := fsck(ctx, data)
	return f, append(bad, problems...), err
}
