package fatfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unsafe"
)

const (
	sector    = 512 // of the device; those of the volume may be larger
	alignment = 4096
)

// volume is the boot sector's description, in bytes from the start of the volume.
type volume struct {
	r         io.ReaderAt
	bits      int    // 12, 16 or 32
	fat       int64  // the FAT in use
	root      Extent // the root directory of FAT12 and FAT16
	rootFirst uint32 // and of FAT32
	data      int64  // cluster 2
	cluster   int64  // bytes
	clusters  uint32 // valid numbers are 2 .. clusters+1
	end       int64
	window    []byte // a piece of the FAT
	windowAt  int64
}

func open(r io.ReaderAt) (*volume, error) {
	b := alignedBuffer(sector)
	if err := readFull(r, b, 0); err != nil {
		return nil, fmt.Errorf("boot sector of the FAT volume: %w", err)
	}
	le := binary.LittleEndian
	if b[510] != 0x55 || b[511] != 0xAA {
		return nil, damaged("its boot sector does not end with 55 AA")
	}
	if name := string(b[3:11]); name == "EXFAT   " || name == "NTFS    " {
		return nil, damaged("it is formatted as %s, not as FAT", name)
	}
	bytesPerSector := int64(le.Uint16(b[11:]))
	perCluster := int64(b[13])
	reserved, fats := int64(le.Uint16(b[14:])), int64(b[16])
	rootEntries := int64(le.Uint16(b[17:]))
	total, fatSectors := int64(le.Uint16(b[19:])), int64(le.Uint16(b[22:]))
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	v := &volume{r: r, windowAt: -1}
	active := int64(0)
	if fatSectors == 0 { // as Linux detects FAT32; it does not insist on the least number of clusters
		v.bits = 32
		fatSectors = int64(le.Uint32(b[36:]))
		v.rootFirst = le.Uint32(b[44:])
		if flags := le.Uint16(b[40:]); flags&0x80 != 0 {
			active = int64(flags & 0xF)
		}
	}
	switch {
	case bytesPerSector < sector || bytesPerSector > 4096 || bytesPerSector&(bytesPerSector-1) != 0:
		return nil, damaged("%d bytes in a sector", bytesPerSector)
	case perCluster == 0 || perCluster&(perCluster-1) != 0:
		return nil, damaged("%d sectors in a cluster", perCluster)
	case reserved == 0 || fats == 0 || fatSectors == 0 || active >= fats:
		return nil, damaged("%d reserved sectors, FAT %d of %d FATs of %d sectors", reserved, active, fats, fatSectors)
	}
	v.cluster = perCluster * bytesPerSector
	v.fat = (reserved + active*fatSectors) * bytesPerSector
	v.root = Extent{(reserved + fats*fatSectors) * bytesPerSector, rootEntries * entrySize}
	v.data = v.root.Offset + (v.root.Size+bytesPerSector-1)/bytesPerSector*bytesPerSector
	v.end = total * bytesPerSector
	count := (v.end - v.data) / v.cluster
	if count < 1 {
		return nil, damaged("no space for files in its %d sectors", total)
	}
	if v.bits == 0 {
		v.bits = 16
		if count < 4085 {
			v.bits = 12
		}
	}
	named := fatSectors*bytesPerSector*8/int64(v.bits) - 2
	count = min(count, named, 0x0FFFFFF5)
	if count < 1 {
		return nil, damaged("its FAT names no cluster")
	}
	v.clusters = uint32(count)
	return v, nil
}

// offset of a cluster that valid has accepted.
func (v *volume) offset(cluster uint32) int64 { return v.data + int64(cluster-2)*v.cluster }

func (v *volume) valid(cluster uint32) bool { return cluster >= 2 && cluster-2 < v.clusters }

// next returns the FAT's entry of a valid cluster.
func (v *volume) next(cluster uint32) (uint32, error) {
	at := v.fat + int64(cluster)*int64(v.bits)/8
	b, err := v.peek(at)
	if err != nil {
		return 0, err
	}
	switch v.bits {
	case 12:
		n := binary.LittleEndian.Uint16(b)
		if cluster&1 != 0 {
			return uint32(n >> 4), nil
		}
		return uint32(n & 0xFFF), nil
	case 16:
		return uint32(binary.LittleEndian.Uint16(b)), nil
	}
	return binary.LittleEndian.Uint32(b) & 0x0FFFFFFF, nil
}

// peek returns the bytes of the FAT from at on, 2 at least and 4 for FAT32. It keeps the last piece
// that was read.
func (v *volume) peek(at int64) ([]byte, error) {
	need := int64(2)
	if v.bits == 32 {
		need = 4
	}
	if v.windowAt < 0 || at < v.windowAt || at+need > v.windowAt+int64(len(v.window)) {
		start := at / sector * sector
		if v.window == nil {
			v.window = alignedBuffer(4096)
		}
		v.window = v.window[:min(4096, sectors(v.end-start))]
		v.windowAt = -1
		if err := readFull(v.r, v.window, start); err != nil {
			return nil, fmt.Errorf("file allocation table: %w", err)
		}
		v.windowAt = start
	}
	return v.window[at-v.windowAt:], nil
}

// sectors rounds n bytes up to whole sectors.
func sectors(n int64) int64 { return (n + sector - 1) / sector * sector }

// readFull fills b from offset at; both are whole sectors.
func readFull(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return damaged("it ends before byte %d", at+int64(len(b)))
	}
	return err
}

// alignedBuffer returns n bytes that begin on a multiple of 4096, which O_DIRECT needs and make
// does not promise. They go to ReadAt of an interface, hence are on the heap, where nothing moves.
func alignedBuffer(n int) []byte {
	b := make([]byte, n+alignment)
	skip := (alignment - int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))%alignment)) % alignment
	return b[skip : skip+n : skip+n]
}
