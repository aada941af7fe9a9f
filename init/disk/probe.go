package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// FS is a file system's description of itself.
type FS struct {
	Type  string // ext4, xfs, btrfs; empty: none of them
	UUID  string // small letters
	Label string
	Clean bool // nothing for e2fsck to do; true for all but ext4, which repair themselves when mounted
	// Of btrfs: the number of its devices, UUID and number of this one, and the number of the
	// last transaction that reached it.
	Devices    int
	Member     string
	MemberID   uint64
	Generation uint64
}

// superblocks end before this byte; btrfs' is at 64 KiB and is the last.
const probed = 64<<10 + 4096

// Probe looks for ext4, xfs and btrfs by their superblocks (the kernel's Documentation/filesystems;
// btrfs: on-disk format of the btrfs wiki). Anything else, or too short for one, returns no type
// and no error.
func Probe(r io.ReaderAt) (FS, error) {
	b := make([]byte, probed)
	n, err := r.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return FS{}, err
	}
	b = b[:n]
	at := func(off, length int) []byte {
		if off+length > len(b) {
			return make([]byte, length)
		}
		return b[off : off+length]
	}
	switch {
	case string(at(0, 4)) == "XFSB":
		return FS{Type: "xfs", UUID: uuid(at(32, 16)), Label: text(at(108, 12)), Clean: true}, nil
	case string(at(0x10040, 8)) == "_BHRfS_M":
		// In the superblock, at 64 KiB: generation 0x48, num_devices 0x88, dev_item.devid 0xc9,
		// dev_item.uuid 0x10b, label 0x12b.
		return FS{Type: "btrfs", UUID: uuid(at(0x10020, 16)), Label: text(at(0x1012b, 256)), Clean: true,
			Devices: int(min(binary.LittleEndian.Uint64(at(0x10088, 8)), 1<<16)), Member: uuid(at(0x1010b, 16)),
			MemberID: binary.LittleEndian.Uint64(at(0x100c9, 8)), Generation: binary.LittleEndian.Uint64(at(0x10048, 8))}, nil
	}
	if e, err := ReadExt4(bytes.NewReader(b)); err == nil {
		return FS{Type: "ext4", UUID: uuid(e.UUID[:]), Label: e.Label, Clean: e.Clean}, nil
	}
	return FS{}, nil
}

func uuid(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}
