// Package datadisk is the disk that data.device names: another one than the node's own, on which
// k3s keeps its data.
//
// A wrong disk, or none, must never look like an empty cluster. So the disk carries a marker, the
// node keeps its number, and k3s starts on nothing else: not while the disk is away, not on another
// one, and not on the card after the data went to a disk. A disk is taken into use once, when it is
// empty, and is never formatted. Data move only on request.
package datadisk

import (
	"io"

	"imgbuild/init/disk"
)

// FS is a file system's description of itself.
type FS = disk.FS

// Probe looks for ext4, xfs and btrfs; see package disk.
func Probe(r io.ReaderAt) (FS, error) { return disk.Probe(r) }
