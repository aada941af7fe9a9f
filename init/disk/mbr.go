package disk

import (
	"encoding/binary"
	"fmt"
)

// SectorSize is the only sector size that the disk's layout is made for.
const SectorSize = 512

// The partitions of the disk; see DESIGN.md, "The disk".
const (
	Boot  = 1
	SlotA = 2
	SlotB = 3
	Data  = 4
)

// align is what partition ends are rounded to, in sectors: 4 MiB, an erase block of a card.
const align = 8192

// Partition is one entry of the table, in sectors.
type Partition struct {
	Start, Sectors uint32
	Type           byte
}

// End is the first sector behind it.
func (p Partition) End() uint64 { return uint64(p.Start) + uint64(p.Sectors) }

// Table is what the node needs of a master boot record; see the UEFI specification, chapter 5.2.
type Table struct {
	Signature  uint32 // at 440; PARTUUID is its hex and the partition's number
	Partitions [4]Partition
}

// ParseMBR reads sector 0. Errors: no 55 AA, a length other than 512.
func ParseMBR(sector []byte) (Table, error) {
	var t Table
	if len(sector) != SectorSize || sector[510] != 0x55 || sector[511] != 0xAA {
		return t, fmt.Errorf("sector 0 is no master boot record")
	}
	t.Signature = binary.LittleEndian.Uint32(sector[440:])
	for i := range t.Partitions {
		e := sector[446+16*i:]
		t.Partitions[i] = Partition{Type: e[4], Start: binary.LittleEndian.Uint32(e[8:]), Sectors: binary.LittleEndian.Uint32(e[12:])}
	}
	return t, nil
}

// PARTUUID is how the boot script names partition n, 1 to 4.
func (t Table) PARTUUID(n int) string { return fmt.Sprintf("%08x-%02d", t.Signature, n) }

// Grow gives sector 0 with partition 4 reaching to the disk's end, rounded down to 4 MiB, and a new signature, so that
// two cards written from one image can be told apart from then on. Boot code and the other entries stay. It gives nil if
// partition 4 is as large as it can be, or ends less than 4 MiB before that. sectors is the size of the disk.
func Grow(sector []byte, sectors uint64, signature uint32) ([]byte, error) {
	t, err := ParseMBR(sector)
	if err != nil {
		return nil, err
	}
	p := t.Partitions[3]
	if p.Start == 0 || p.Sectors == 0 {
		return nil, fmt.Errorf("the partition table has no partition 4")
	}
	end := sectors / align * align
	if most := uint64(p.Start) + 1<<32 - 1; end > most { // 2 TiB is what the table can say
		end = most / align * align
	}
	if end <= p.End() {
		return nil, nil
	}
	out := append([]byte(nil), sector...)
	binary.LittleEndian.PutUint32(out[440:], signature)
	binary.LittleEndian.PutUint32(out[446+3*16+12:], uint32(end-uint64(p.Start)))
	return out, nil
}
