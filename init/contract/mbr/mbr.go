// Package mbr writes and reads the partition table in sector 0 of a disk: four primary partitions
// and the disk signature, which makes PARTUUID=SSSSSSSS-NN. Extended partitions are read as what
// they are, one entry.
//
// Layout of the 512 bytes (UEFI specification 2.10, section 5.2.1): 440 bytes of boot code,
// signature (32 bit, little endian), two zero bytes, four entries of 16 bytes, 0x55 0xAA. Boot code
// is never written: some boards keep their first stage there, so callers that care write only bytes
// 440 to 511 of the sector.
package mbr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// SectorSize is the only logical sector size this package knows.
const SectorSize = 512

// CodeSize is the length of the boot code area: the first byte that belongs to the table is at this
// offset.
const CodeSize = 440

// Types used by images.
const (
	FAT32       byte = 0x0C // FAT32, LBA
	HiddenFAT32 byte = 0x1C // the same, left alone by desktops
	Linux       byte = 0x83
)

// ErrNoTable means that a sector carries no partition table: its last two bytes are not 0x55 0xAA.
var ErrNoTable = errors.New("no partition table: bytes 510 and 511 are not 55 AA")

const (
	entries   = CodeSize + 6
	entrySize = 16
	active    = 0x80
)

// Partition is one entry. The zero value is an unused entry.
type Partition struct {
	Start   uint32 // first sector
	Sectors uint32 // length in sectors
	Type    byte   // 0 = unused
	Active  bool   // boot flag
}

// End is the first sector after it.
func (p Partition) End() uint64 { return uint64(p.Start) + uint64(p.Sectors) }

// Table is the whole sector without the boot code.
type Table struct {
	Signature  uint32 // the disk signature; PARTUUID prints it as 8 hex digits
	Partitions [4]Partition
}

// PartUUID returns the name by which Linux and U-Boot know partition n (1 to 4), such as
// "1a2b3c4d-01". The number is hexadecimal as well: set_info in Linux' block/partitions/msdos.c and
// U-Boot's disk/part_dos.c print it with %02x.
func (t Table) PartUUID(n int) string { return fmt.Sprintf("%08x-%02x", t.Signature, n) }

// ParsePartUUID is the reverse of PartUUID. Linux compares without regard to case, so do we.
func ParsePartUUID(s string) (signature uint32, n int, err error) {
	sig, num, ok := strings.Cut(s, "-")
	a, err1 := strconv.ParseUint(sig, 16, 32)
	b, err2 := strconv.ParseUint(num, 16, 8)
	if !ok || len(sig) != 8 || len(num) != 2 || err1 != nil || err2 != nil || b == 0 {
		return 0, 0, fmt.Errorf("%q is not a partition of an MBR disk such as 1a2b3c4d-01", s)
	}
	return uint32(a), int(b), nil
}

// Marshal returns the sector, its boot code zero. It fails when an entry is empty but typed (or the
// reverse), covers sector 0, ends beyond sector 2^32, or overlaps another one.
func (t Table) Marshal() ([SectorSize]byte, error) {
	var s [SectorSize]byte
	if err := t.check(); err != nil {
		return s, err
	}
	binary.LittleEndian.PutUint32(s[CodeSize:], t.Signature)
	for i, p := range t.Partitions {
		if p.Type == 0 {
			continue
		}
		copy(s[:], Set(s[:], i+1, p))
	}
	s[510], s[511] = 0x55, 0xAA
	return s, nil
}

// Parse reads the table of a sector (at least 512 bytes; the rest is ignored). CHS addresses are
// ignored. The error is ErrNoTable where there is none, and the faults of Marshal are faults here
// too.
func Parse(sector []byte) (Table, error) {
	t, err := Decode(sector)
	if err != nil {
		return t, err
	}
	for i := range t.Partitions {
		if e := sector[entries+i*entrySize:]; e[4] == 0 {
			t.Partitions[i] = Partition{}
		} else if e[0] != 0 && e[0] != active {
			return Table{}, fmt.Errorf("partition %d: boot flag is %#02x, must be 00 or 80", i+1, e[0])
		}
	}
	if err := t.check(); err != nil {
		return Table{}, err
	}
	return t, nil
}

// Decode is Parse without the checks, for a node that has to recognize its disk, and repair it,
// although one entry is damaged: entries are given as they are, unused ones too.
func Decode(sector []byte) (Table, error) {
	var t Table
	if len(sector) < SectorSize {
		return t, fmt.Errorf("partition table: %d bytes given, %d needed", len(sector), SectorSize)
	}
	if sector[510] != 0x55 || sector[511] != 0xAA {
		return t, ErrNoTable
	}
	t.Signature = binary.LittleEndian.Uint32(sector[CodeSize:])
	for i := range t.Partitions {
		e := sector[entries+i*entrySize:]
		t.Partitions[i] = Partition{
			Start:   binary.LittleEndian.Uint32(e[8:]),
			Sectors: binary.LittleEndian.Uint32(e[12:]),
			Type:    e[4],
			Active:  e[0] == active,
		}
	}
	return t, nil
}

func (t Table) check() error {
	for i, p := range t.Partitions {
		n, end := i+1, p.End()
		switch {
		case p == Partition{}:
			continue
		case p.Type == 0:
			return fmt.Errorf("partition %d: has sectors or a boot flag but type 0", n)
		case p.Sectors == 0:
			return fmt.Errorf("partition %d: type %#02x but no sectors", n, p.Type)
		case p.Start == 0:
			return fmt.Errorf("partition %d: starts at sector 0, where the table itself is", n)
		case end > 1<<32:
			return fmt.Errorf("partition %d: ends at sector %d, beyond the 2 TiB that this table can address", n, end)
		}
		for j, q := range t.Partitions[:i] {
			if q.Type != 0 && uint64(q.Start) < end && uint64(p.Start) < q.End() {
				return fmt.Errorf("partitions %d and %d overlap: sectors %d+%d and %d+%d",
					j+1, n, q.Start, q.Sectors, p.Start, p.Sectors)
			}
		}
	}
	return nil
}

// putCHS writes the cylinder, head and sector of LBA for 255 heads and 63 sectors, the geometry
// everyone assumes; addresses beyond cylinder 1023 get the highest one, as is the custom.
func putCHS(b []byte, lba uint64) {
	const heads, sectors = 255, 63
	c, h, s := lba/(heads*sectors), lba/sectors%heads, lba%sectors+1
	if c > 1023 {
		c, h, s = 1023, heads-1, sectors
	}
	b[0], b[1], b[2] = byte(h), byte(s)|byte(c>>2)&0xC0, byte(c)
}
