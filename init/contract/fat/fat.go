// Package fat writes FAT32 volumes in one pass: every file is in one piece, 4 KiB aligned, in the
// order in which it was given, so that its place is known before a byte is written (Plan) and a
// part of the volume can be mapped as a block device. Sources: Microsoft FAT32 File System
// Specification 1.03; the long name scheme of its section 7.
//
// Only what an image needs: FAT32, 512-byte sectors, no reading. Equal volumes give equal bytes:
// every time stamp is 1980-01-01, the oldest that FAT can express.
package fat

import (
	"fmt"
	"io"
	"strings"
)

// SectorSize is the only logical sector size this package knows.
const SectorSize = 512

// Align is what the data area and every file's first byte are a multiple of, from the start of the
// volume.
const Align = 4096

// MinClusters is the fewest clusters a volume may have. By the specification FAT32 begins at
// 65,525; firmware that miscounts by a few would take a volume near the limit for FAT16, hence a
// margin.
const MinClusters = 65600

// File is one file of the volume. Its directories are implied.
type File struct {
	Path string // slash separated, no leading slash, long names; "overlays/README"
	Size int64  // bytes; Open must give exactly so many
	Open func() (io.ReadCloser, error)
	// Apart: it begins at a multiple of Area of the disk, because it is rewritten in place. Such
	// files come last, so that nothing else shares their areas.
	Apart bool
}

// Area is what a card may lose when the power fails while it writes, in bytes.
const Area = 4 << 20

// Volume is what to write. Neither the order of directories nor the layout depends on anything
// but these fields.
type Volume struct {
	Label       string // up to 11 characters, printed in upper case; "" = none
	ID          uint32 // volume serial number
	Start       uint32 // first sector of the partition on its disk ("hidden sectors")
	Size        int64  // bytes, a multiple of 512
	ClusterSize int    // bytes, a power of two from 512 to 32768
	Files       []File
}

// Extent is a piece of the volume, in bytes from its start.
type Extent struct{ Offset, Size int64 }

// layout is everything about a volume that is decided before content is read.
type layout struct {
	v          *Volume
	cluster    int64 // bytes
	fatSectors uint32
	dataStart  int64  // bytes: offset of cluster 2
	clusters   uint32 // data clusters; valid numbers are 2 .. clusters+1
	dirs       []*dir // the root first, then in order of appearance
	files      []*node
	last       uint32 // highest cluster in use
	used       uint32
	label      [11]byte
	extents    map[string]Extent
}

// Plan returns the place of every file, keyed by File.Path; an empty file has no place, {0, 0}.
// Errors: a volume of fewer than MinClusters clusters, one that is full, a bad or doubled name, a
// file of 4 GiB or more.
func (v *Volume) Plan() (map[string]Extent, error) {
	l, err := v.plan()
	if err != nil {
		return nil, err
	}
	return l.extents, nil
}

// Mapped returns the part of the volume whose bytes matter, whether Write writes them or leaves
// them zero: from the boot sector to the end of the last file. A copier that skips holes must copy
// all of it (free entries of the FATs are zeros).
func (v *Volume) Mapped() (Extent, error) {
	l, err := v.plan()
	if err != nil {
		return Extent{}, err
	}
	return Extent{0, l.offset(l.last + 1)}, nil
}

func (v *Volume) plan() (*layout, error) {
	l := &layout{v: v, extents: map[string]Extent{}}
	if err := l.geometry(); err != nil {
		return nil, err
	}
	var err error
	if l.label, err = labelBytes(v.Label); err != nil {
		return nil, err
	}
	if err := l.build(); err != nil {
		return nil, err
	}
	next := uint32(2)
	take := func(n *node, size int64, align int64) error {
		if size == 0 {
			return nil
		}
		if n.file != nil && n.file.Apart {
			at := l.offset(next) + int64(v.Start)*SectorSize
			next += uint32(((at+Area-1)/Area*Area - at + l.cluster - 1) / l.cluster)
		}
		step := max(uint32(align/l.cluster), 1)
		next = 2 + (next-2+step-1)/step*step
		count := (size + l.cluster - 1) / l.cluster
		if int64(next)+count > int64(l.clusters)+2 {
			return fmt.Errorf("FAT volume of %d bytes is full: %s (%d bytes) does not fit, %d bytes are left",
				v.Size, n.path(), size, int64(l.clusters+2-min(next, l.clusters+2))*l.cluster)
		}
		n.first, n.count = next, uint32(count)
		next += n.count
		l.last, l.used = next-1, l.used+n.count
		return nil
	}
	for _, d := range l.dirs {
		if err := take(d.node, d.bytes(), 0); err != nil {
			return nil, err
		}
	}
	for _, n := range l.files {
		if err := take(n, n.file.Size, Align); err != nil {
			return nil, err
		}
		e := Extent{}
		if n.count > 0 {
			e = Extent{l.offset(n.first), n.file.Size}
		}
		l.extents[n.file.Path] = e
	}
	return l, nil
}

// geometry fixes the sizes of the FATs and of the data area. 32 reserved sectors and two FATs of a
// multiple of 4 sectors put the data area on a multiple of 4 KiB.
func (l *layout) geometry() error {
	v := l.v
	if v.ClusterSize < SectorSize || v.ClusterSize > 32768 || v.ClusterSize&(v.ClusterSize-1) != 0 {
		return fmt.Errorf("FAT cluster size %d: must be a power of two from 512 to 32768", v.ClusterSize)
	}
	if v.Size%SectorSize != 0 || v.Size < 0 || v.Size/SectorSize > 1<<32-1 {
		return fmt.Errorf("FAT volume size %d: must be a multiple of 512, below 2 TiB", v.Size)
	}
	l.cluster = int64(v.ClusterSize)
	total, perCluster := v.Size/SectorSize, l.cluster/SectorSize
	clustersWith := func(fat int64) int64 { return (total - reservedSectors - 2*fat) / perCluster }
	names := func(fat int64) bool { return (clustersWith(fat)+2)*4 <= fat*SectorSize }
	// FATs for the whole volume are more than enough; then the smallest that name every cluster
	// they leave space for.
	fatSectors := (clustersWith(0)*4/SectorSize + fatStep) / fatStep * fatStep
	for fatSectors > fatStep && names(fatSectors-fatStep) {
		fatSectors -= fatStep
	}
	clusters := clustersWith(fatSectors)
	if clusters < MinClusters {
		return fmt.Errorf("FAT volume of %d bytes has %d clusters of %d bytes: FAT32 needs %d, make it larger or its clusters smaller",
			v.Size, max(clusters, 0), v.ClusterSize, MinClusters)
	}
	if clusters > maxClusters {
		return fmt.Errorf("FAT volume of %d bytes has %d clusters of %d bytes: FAT32 ends at %d, make its clusters larger",
			v.Size, clusters, v.ClusterSize, maxClusters)
	}
	l.fatSectors, l.clusters = uint32(fatSectors), uint32(clusters)
	l.dataStart = (reservedSectors + 2*fatSectors) * SectorSize
	return nil
}

// offset of a cluster from the start of the volume, bytes.
func (l *layout) offset(cluster uint32) int64 { return l.dataStart + int64(cluster-2)*l.cluster }

func labelBytes(label string) (b [11]byte, err error) {
	copy(b[:], "           ")
	if label == "" {
		return b, nil
	}
	up := strings.ToUpper(label)
	if len(up) > len(b) || up[0] == ' ' {
		return b, fmt.Errorf("FAT label %q: at most 11 characters, the first not a space", label)
	}
	for _, c := range []byte(up) {
		if c != ' ' && !shortChar(c) {
			return b, fmt.Errorf("FAT label %q: %q is not allowed", label, c)
		}
	}
	copy(b[:], up)
	return b, nil
}
