package mbr

import (
	"encoding/binary"
	"fmt"
)

// Set returns a copy of sector (512 bytes) in which entry n, 1 to 4, is p. Everything else stays:
// boot code, signature and the other entries.
func Set(sector []byte, n int, p Partition) []byte {
	out := append([]byte(nil), sector...)
	e := out[entries+(n-1)*entrySize:][:entrySize]
	clear(e)
	if p.Active {
		e[0] = active
	}
	putCHS(e[1:4], uint64(p.Start))
	e[4] = p.Type
	putCHS(e[5:8], p.End()-1)
	binary.LittleEndian.PutUint32(e[8:], p.Start)
	binary.LittleEndian.PutUint32(e[12:], p.Sectors)
	return out
}

// Grow returns a copy of sector (512 bytes) in which partition n, 1 to 4, reaches to the end of a
// disk of so many sectors, rounded down to align sectors, and with a new signature, so that two
// disks written from one image can be distinguished. It returns nil if the partition already
// reaches that far. Errors: no table, no partition n.
func Grow(sector []byte, n int, sectors, align uint64, signature uint32) ([]byte, error) {
	t, err := Decode(sector)
	if err != nil {
		return nil, err
	}
	p := t.Partitions[n-1]
	if p.Start == 0 || p.Sectors == 0 {
		return nil, fmt.Errorf("the partition table has no partition %d", n)
	}
	end := LastEnd(p.Start, sectors, align)
	if end <= p.End() {
		return nil, nil
	}
	p.Sectors = uint32(end - uint64(p.Start))
	out := Set(sector[:SectorSize], n, p)
	binary.LittleEndian.PutUint32(out[CodeSize:], signature)
	return out, nil
}

// LastEnd returns the highest multiple of align at which a partition from start can end on a disk
// of so many sectors: its length is a number of 32 bits.
func LastEnd(start uint32, sectors, align uint64) uint64 {
	return min(sectors, uint64(start)+1<<32-1) / align * align
}
