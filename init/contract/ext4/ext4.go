// Package ext4 writes an ext4 file system with its first files: features, defaults and inode ratio
// of mke2fs 1.47 for a data partition, checksums on everything, a journal, and space in the
// descriptor table so that the kernel can grow it while mounted (EXT4_IOC_RESIZE_FS). Source: the
// kernel's Documentation/filesystems/ext4, and e2fsck's opinion.
//
// Equal options and entries give equal bytes. Only blocks with something in them are written, so
// that a new file system of any size costs a few hundred kilobytes.
//
// Reader is the other way round: it reads file systems that Linux has written, those of cards that
// lost power included.
//
// Not here, because the kernel does it better later: hash trees of large directories, extended
// attributes, devices.
package ext4

import (
	"errors"
	"fmt"
	"io"
)

// BlockSize is the only block size written, the page size of every board.
const BlockSize = 4096

// Defaults of Options.
const (
	DefaultMaxSize = 2 << 40
	DefaultJournal = 64 << 20
)

// Options describe the file system.
type Options struct {
	Size     int64    // bytes; rounded down to blocks, and by up to a few MiB if the last group would be too small
	MaxSize  int64    // how far it may be grown while mounted, bytes, at most 8 TiB; 0 = 2 TiB
	UUID     [16]byte // not zero
	HashSeed [16]byte // seed of directory hashes, not zero
	Label    string   // at most 16 bytes
	Journal  int64    // bytes, at least 4 MiB; 0 = 64 MiB
	Time     uint32   // seconds since 1970: every time stamp there is
}

// Kind of an Entry.
type Kind uint8

// The kinds of entries.
const (
	Dir Kind = iota + 1
	File
	Symlink
	HardLink // one more name of the file Target, an earlier entry
)

// Entry is one file, directory or link. The root ("", 0755 root) and lost+found (0700 root) are
// always there; an entry of that path and kind Dir gives them another owner or mode.
type Entry struct {
	Path     string // slash separated, no leading slash; its parent is an earlier entry
	Kind     Kind
	Mode     uint16 // 07777; of a link always 0777
	UID, GID uint32
	Size     int64                         // of a file: bytes; Open must give exactly so many
	Open     func() (io.ReadCloser, error) // of a file; may be nil when Size is 0
	Target   string                        // of a link, at most 4095 bytes; of a hard link the path of the file
	Time     uint32                        // seconds since 1970: its last change; 0 = that of Options
}

// ErrFull means that there are more entries or content than there is space.
var ErrFull = errors.New("full")

// Fit returns a size, not below o.Size and in steps of 64 MiB or more, that has space for the
// entries and spare bytes next to them.
func Fit(o Options, entries []Entry, spare int64) (int64, error) {
	least := int64(0)
	for _, e := range entries {
		least += (e.Size + BlockSize - 1) / BlockSize * BlockSize
	}
	for {
		if o.Size >= least+spare {
			fs, err := plan(o, entries)
			if err != nil && !errors.Is(err, ErrFull) {
				return 0, err
			}
			if err == nil && fs.free() >= spare {
				return o.Size, nil
			}
		}
		o.Size += max(64<<20, o.Size/16>>20<<20)
		if o.MaxSize != 0 && o.Size > o.MaxSize {
			return 0, fmt.Errorf("ext4: %d entries with %d bytes are more than %d bytes hold: it is %w", len(entries), least, o.MaxSize, ErrFull)
		}
	}
}

// free returns the number of bytes that are not taken.
func (fs *filesystem) free() (n int64) {
	for i := range fs.groups {
		n += int64(fs.length(i) - fs.used[i])
	}
	return n * BlockSize
}

// Extent is a piece of the file system, in bytes from its start.
type Extent struct{ Offset, Size int64 }

// Write writes the file system at offset 0 of w, which must read as zeros: blocks of zeros are not
// written. The primary superblock comes last. Errors: options that cannot be, a bad, doubled or
// orphaned path, more entries or content than there is space (all of these before anything is
// written), those of Open, a reader that returns more or less than its size, and those of w.
func Write(w io.WriterAt, o Options, entries []Entry) error {
	fs, err := plan(o, entries)
	if err != nil {
		return err
	}
	out := sparse{w}
	buf := make([]byte, 1<<20)
	for _, n := range fs.nodes {
		if n.Kind == File && n.Size > 0 {
			if err := out.file(n, buf); err != nil {
				return fmt.Errorf("ext4: %s: %w", n.Path, err)
			}
		}
	}
	for _, part := range []func(sparse) error{fs.writeNodes, fs.writeJournal, fs.writeResize, fs.writeInodes, fs.writeGroups} {
		if err := part(out); err != nil {
			return err
		}
	}
	return nil
}

// Mapped returns the parts of the file system whose bytes matter, whether Write writes them or
// leaves them zero, in ascending order. A copier that skips holes must copy all of them: old
// content in the journal or in a file would come back to life.
func Mapped(o Options, entries []Entry) ([]Extent, error) {
	fs, err := plan(o, entries)
	if err != nil {
		return nil, err
	}
	return fs.mapped(), nil
}

// filesystem is everything that is decided before content is read.
type filesystem struct {
	geometry
	o       Options
	seed    uint32   // of metadata checksums
	used    []uint32 // per group: blocks in use, all of them at the group's start
	group   uint32   // where the next block is taken from
	nodes   []*node  // root and lost+found first, then as given
	last    uint32   // highest inode in use
	journal *node
	resize  *node  // owner of the reserved descriptor blocks
	double  uint32 // its double indirect block
}

func plan(o Options, entries []Entry) (*filesystem, error) {
	if o.MaxSize == 0 {
		o.MaxSize = max(DefaultMaxSize, o.Size)
	}
	if o.Journal == 0 {
		o.Journal = DefaultJournal
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	g, err := newGeometry(o.Size, o.MaxSize)
	if err != nil {
		return nil, err
	}
	fs := &filesystem{geometry: g, o: o, seed: checksum(^uint32(0), o.UUID[:]), used: make([]uint32, g.groups)}
	for i := range fs.used {
		fs.used[i] = g.meta(uint32(i))
	}
	if err := fs.build(entries); err != nil {
		return nil, err
	}
	return fs, fs.place()
}

func (o Options) check() error {
	switch {
	case o.Size < BlockSize:
		return fmt.Errorf("ext4: %d bytes are too small for a file system", o.Size)
	case o.UUID == [16]byte{} || o.HashSeed == [16]byte{}:
		return fmt.Errorf("ext4: UUID and hash seed must not be zero")
	case len(o.Label) > 16:
		return fmt.Errorf("ext4: label %q is longer than 16 bytes", o.Label)
	case o.MaxSize > 8<<40 || o.MaxSize < o.Size:
		return fmt.Errorf("ext4: greatest size %d: must be from the size itself (%d) to 8 TiB", o.MaxSize, o.Size)
	case o.Journal < 4<<20 || o.Journal%BlockSize != 0:
		return fmt.Errorf("ext4: journal of %d bytes: must be a multiple of 4096, at least 4 MiB", o.Journal)
	}
	return nil
}

// place assigns blocks to every node: directories and links first, so that they are together, then
// the double indirect block, the journal, and the files in their order.
func (fs *filesystem) place() error {
	for _, n := range fs.nodes {
		if n.Kind != File {
			if err := fs.allocate(n, int64(len(n.data))); err != nil {
				return err
			}
		}
	}
	double := &node{Entry: Entry{Path: "the table for growth"}}
	if err := fs.allocate(double, BlockSize); err != nil {
		return err
	}
	fs.double = uint32(double.extents[0].start)
	fs.resize = fs.growth()
	if err := fs.allocate(fs.journal, fs.o.Journal); err != nil {
		return err
	}
	for _, n := range fs.nodes {
		if n.Kind == File {
			if err := fs.allocate(n, n.Size); err != nil {
				return err
			}
		}
	}
	return nil
}

// allocate assigns the next free blocks to n, one extent for each group it reaches into, and blocks
// for the extents themselves when there are more than an inode holds.
func (fs *filesystem) allocate(n *node, size int64) error {
	need := (size + BlockSize - 1) / BlockSize
	for logical := int64(0); logical < need; {
		start, count := fs.take(need - logical)
		if count == 0 {
			return fmt.Errorf("ext4: the file system of %d bytes is %w: %s (%d bytes) does not fit", fs.o.Size, ErrFull, n.Path, size)
		}
		n.extents = append(n.extents, extent{uint32(logical), uint16(count), start})
		logical += count
	}
	n.blocks = need
	if len(n.extents) <= inInode {
		return nil
	}
	for i := 0; i < len(n.extents); i += inBlock {
		start, count := fs.take(1)
		if count == 0 {
			return fmt.Errorf("ext4: the file system of %d bytes is %w: %s (%d bytes) does not fit", fs.o.Size, ErrFull, n.Path, size)
		}
		n.leaves = append(n.leaves, start)
		n.blocks++
	}
	if len(n.leaves) > inInode {
		return fmt.Errorf("ext4: %s is too large: %d bytes", n.Path, size)
	}
	return nil
}

// take returns up to want blocks of one group.
func (fs *filesystem) take(want int64) (start, count int64) {
	for ; fs.group < fs.groups; fs.group++ {
		if free := fs.length(fs.group) - fs.used[fs.group]; free > 0 {
			count = min(want, int64(free))
			start = int64(fs.group)*blocksPerGroup + int64(fs.used[fs.group])
			fs.used[fs.group] += uint32(count)
			return start, count
		}
	}
	return 0, 0
}
