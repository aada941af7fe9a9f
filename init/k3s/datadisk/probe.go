// Package datadisk is the disk that data.device names: another one than the node's own, on which
// k3s keeps its data.
//
// A wrong disk, or none, must never look like an empty cluster. So the disk carries a marker, the
// node keeps its number, and k3s starts on nothing else: not while the disk is away, not on another
// one, and not on the card after the data went to a disk. A disk is taken into use once, when it is
// empty, and is never formatted. Data move only on request.
package datadisk

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"imgbuild/init/disk"
)

// FS is a file system's description of itself.
type FS struct {
	Type  string // ext4, xfs, btrfs; empty: none of them
	UUID  string // small letters
	Label string
	Clean bool // nothing for e2fsck to do; true for all but ext4, which repair themselves when mounted
}

// superblocks end before this byte; btrfs' is at 64 KiB and is the last.
const probed = 64<<10 + 4096

// Probe looks for ext4, xfs and btrfs by their superblocks (the kernel's Documentation/filesystems;
// btrfs: on-disk format of the btrfs wiki). What is none of them, or too short for one, gives no
// type and no error.
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
		return FS{"xfs", uuid(at(32, 16)), text(at(108, 12)), true}, nil
	case string(at(0x10040, 8)) == "_BHRfS_M":
		return FS{"btrfs", uuid(at(0x10020, 16)), text(at(0x1012b, 256)), true}, nil
	}
	if e, err := disk.ReadExt4(bytes.NewReader(b)); err == nil {
		return FS{"ext4", uuid(e.UUID[:]), e.Label, e.Clean}, nil
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
