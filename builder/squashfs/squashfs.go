// Package squashfs writes read-only squashfs 4.0 images with zstd compression.
//
// The on-disk format follows the kernel's fs/squashfs/squashfs_fs.h and
// Documentation/filesystems/squashfs.rst. All inode kinds are written in their basic and, where
// needed, extended form, with fragments, directory indexes, ids, extended attributes and an export
// table. The order of everything in the image is decided by one goroutine from the sorted entries;
// workers only compress. The same entries give the same bytes for any number of workers.
package squashfs

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"runtime"
)

// Kind is the type of a file system entry.
type Kind uint8

// The kinds of entries that squashfs knows.
const (
	Dir Kind = iota + 1
	File
	Symlink
	Block
	Char
	Fifo
	Socket
)

// String returns the kind's name for messages.
func (k Kind) String() string {
	names := [...]string{"unknown kind", "directory", "file", "symlink", "block device", "character device", "fifo", "socket"}
	if int(k) >= len(names) {
		return names[0]
	}
	return names[k]
}

// Xattr is one extended attribute. Name is complete, for example "security.capability"; squashfs
// stores the namespaces user, trusted and security only.
type Xattr struct {
	Name  string
	Value []byte
}

// Entry is one name in the tree.
type Entry struct {
	Path         string // slash separated, no leading slash: "bin/sh"; "" is the root directory, which must be given
	Kind         Kind
	Mode         uint16 // permission bits, 07777
	UID, GID     uint32
	MTime        uint32 // seconds since 1970
	Target       string // of a symlink, 1 to 4095 bytes
	Major, Minor uint32 // of a device, at most 12 and 20 bits
	Xattrs       []Xattr
	Size         int64                         // of a file, in bytes; Open must give exactly as many
	Open         func() (io.ReadCloser, error) // content of a file; may be called twice; may be nil when Size is 0

	// Group names files that are read together, such as those of one boot step: their fragments are
	// in the same blocks, which a reader with a small cache then unpacks once. The image is a
	// little larger for it.
	Group string

	// HardLink is the path of an earlier entry that is not a directory. This entry becomes another
	// name of its inode, and all other fields here but Path are ignored.
	HardLink string
}

// Cache keeps compressed blocks between runs. Keys are sha256 over the codec, its settings and the
// block's content. Data of length 0 means that the block does not compress. Get and Put are called
// from several goroutines; Put must not keep data. A Cache must give back what was put or nothing:
// bytes are written as they come.
type Cache interface {
	Get(key [32]byte) ([]byte, bool)
	Put(key [32]byte, data []byte)
}

// Options tune a Write; the zero value is useful.
type Options struct {
	BlockSize int // bytes, a power of two from 4 KiB to 1 MiB; 0 is 256 KiB

	Workers int // compressing goroutines, each with about 5 MiB of memory; 0 is GOMAXPROCS, at most 16

	ModTime  uint32                // time of the image in its superblock, seconds since 1970
	Cache    Cache                 // may be nil
	Progress func(doneBytes int64) // called in order from one goroutine, with bytes of file content done so far; may be nil
}

const (
	defaultBlockSize = 256 << 10
	minBlockSize     = 4 << 10
	maxBlockSize     = 1 << 20
	defaultWorkers   = 16
	padding          = 4096 // a block device of the kernel ends at a whole page
)

// Stats describe a Write. Byte counts are sizes in the image unless noted otherwise.
type Stats struct {
	Size          int64 // of the image, with the padding to 4096
	DataBytes     int64 // data blocks
	FragmentBytes int64 // fragment blocks
	MetadataBytes int64 // everything after the data: inodes, directories, tables
	InputBytes    int64 // content of all files, before compression
	EncodedBytes  int64 // bytes that went through the encoder: no cache hits, holes, duplicates
	Inodes        int
	Blocks        int // data blocks written
	Fragments     int // fragment blocks written
	Duplicates    int // files that share the content of another
	SparseBlocks  int // blocks of zeros, which take no space
	CacheHits     int
}

func (o *Options) setDefaults() error {
	if o.BlockSize == 0 {
		o.BlockSize = defaultBlockSize
	}
	if o.BlockSize < minBlockSize || o.BlockSize > maxBlockSize || bits.OnesCount(uint(o.BlockSize)) != 1 {
		return fmt.Errorf("squashfs: block size %d; give a power of two from %d to %d", o.BlockSize, minBlockSize, maxBlockSize)
	}
	if o.Workers < 0 {
		return fmt.Errorf("squashfs: %d workers; give 0 for the default, or more", o.Workers)
	}
	if o.Workers == 0 {
		o.Workers = min(runtime.GOMAXPROCS(0), defaultWorkers)
	}
	return nil
}

// Write writes an image of entries to w. Entries may come in any order, but a hard link comes after
// its target. Errors name the entry; what is in w after an error is of no use. Contents are opened
// one at a time and streamed.
func Write(w io.WriterAt, entries []Entry, o Options) (Stats, error) {
	var st Stats
	if err := o.setDefaults(); err != nil {
		return st, err
	}
	root, inodes, err := buildTree(entries)
	if err != nil {
		return st, fmt.Errorf("squashfs: %w", err)
	}
	enc, err := newEncoder(o.Workers)
	if err != nil {
		return st, fmt.Errorf("squashfs: zstd decoder: %w", err)
	}

	end, fragments, err := writeData(w, inodes, enc, o, &st)
	if err != nil {
		return st, fmt.Errorf("squashfs: %w", err)
	}
	m := &image{encoder: enc, options: o, fragments: fragments, inodes: inodes, root: root}
	size, err := m.writeMetadata(w, end)
	if err != nil {
		return st, fmt.Errorf("squashfs: %w", err)
	}
	st.Inodes = len(inodes)
	st.MetadataBytes = size - end
	st.Size = (size + padding - 1) / padding * padding
	if st.Size > size {
		if _, err := w.WriteAt(make([]byte, st.Size-size), size); err != nil {
			return st, fmt.Errorf("squashfs: %w", err)
		}
	}
	return st, nil
}

// errEntry names the entry an error is about.
func errEntry(path string, err error) error {
	if path == "" {
		path = "(root)"
	}
	return fmt.Errorf("%s: %w", path, err)
}

var errNoContent = errors.New("file has a size but no Open")
