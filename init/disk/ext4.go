package disk

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"
)

// Ext4 is what is read of an ext4 superblock without mounting it; see the kernel's
// Documentation/filesystems/ext4/super.rst.
type Ext4 struct {
	Label     string
	UUID      [16]byte
	Written   time.Time // s_wtime: when it was last written
	Blocks    uint64
	BlockSize int64
	Clean     bool // unmounted in order, no errors noted, no check due by count or time: e2fsck -p would do nothing
}

// ReadExt4 reads the superblock of a partition, 1024 bytes from its start.
func ReadExt4(r io.ReaderAt) (Ext4, error) {
	var e Ext4
	sb := make([]byte, 1024)
	if _, err := r.ReadAt(sb, 1024); err != nil {
		return e, fmt.Errorf("ext4 superblock: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint16(sb[0x38:]) != 0xEF53 {
		return e, fmt.Errorf("no ext4 file system: its magic number is missing")
	}
	shift := le.Uint32(sb[0x18:])
	if shift > 6 {
		return e, fmt.Errorf("no ext4 file system: block size 2^%d", 10+shift)
	}
	e.BlockSize = 1024 << shift
	e.Blocks = uint64(le.Uint32(sb[0x04:]))
	if le.Uint32(sb[0x60:])&0x80 != 0 { // 64bit
		e.Blocks |= uint64(le.Uint32(sb[0x150:])) << 32
	}
	e.Label = strings.TrimRight(string(sb[0x78:0x88]), "\x00")
	copy(e.UUID[:], sb[0x68:])
	const valid, hadErrors, recover = 1, 2, 0x4
	state := le.Uint16(sb[0x3A:])
	e.Clean = state&valid != 0 && state&hadErrors == 0 && le.Uint32(sb[0x60:])&recover == 0 &&
		int16(le.Uint16(sb[0x36:])) <= 0 && le.Uint32(sb[0x44:]) == 0
	e.Written = time.Unix(int64(le.Uint32(sb[0x30:]))|int64(sb[0x274])<<32, 0)
	return e, nil
}
