package disk

import (
	"fmt"

	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/mbr"
)

// The partitions of the disk; see docs/disk.md.
const (
	Boot  = 1
	SlotA = 2
	SlotB = 3
	Data  = 4
)

// align is what partition ends are rounded to, in sectors: 4 MiB, an erase block of a card.
const align = 8192

// DataStart is the sector at which the data partition begins on every disk; see docs/disk.md.
const DataStart = diskmap.Data / mbr.SectorSize

// Restore returns sector 0 with partition 4 as it is on every disk of this layout, from DataStart
// to the disk's end: for a table that lost the entry, or whose entry reaches beyond the disk.
// Everything else stays, the signature included. It returns nil if partition 4 is there and ends on
// the disk. sectors is the size of the disk. Errors: no table, a partition 4 that begins elsewhere,
// no space after DataStart, another partition in that place.
func Restore(sector []byte, sectors uint64) ([]byte, error) {
	t, err := mbr.Decode(sector)
	if err != nil {
		return nil, err
	}
	p := t.Partitions[Data-1]
	if p.Sectors != 0 && p.Start != DataStart {
		return nil, fmt.Errorf("partition 4 begins at sector %d and not at %d: it is another disk's table", p.Start, DataStart)
	}
	if p.Sectors != 0 && p.End() <= sectors {
		return nil, nil
	}
	end := mbr.LastEnd(DataStart, sectors, align)
	if end < DataStart+2*align {
		return nil, fmt.Errorf("the disk ends at %d MiB; there is no space for a data partition", sectors>>11)
	}
	for i, o := range t.Partitions[:Data-1] {
		if o.Sectors != 0 && o.End() > DataStart {
			return nil, fmt.Errorf("partition %d reaches into the place of the data partition", i+1)
		}
	}
	return mbr.Set(sector, Data, mbr.Partition{Start: DataStart, Sectors: uint32(end - DataStart), Type: mbr.Linux}), nil
}
