package squashfs

import (
	"fmt"
	"math"
)

const (
	runEntries = 256 // entries that share one directory header
	maxDelta   = math.MaxInt16
	maxIndex   = math.MaxUint16
	maxListing = math.MaxUint32 - 3
)

// listing is the place of a directory's entries in the directory table.
type listing struct {
	block  uint32 // start of the metadata block, in the compressed stream
	offset uint16 // in that block
	size   int64  // bytes
	index  []indexEntry
}

// indexEntry lets a reader skip metadata blocks of a large listing: position is the byte of a
// header that is the first one in its metadata block, name its first entry.
type indexEntry struct {
	position uint32
	block    uint32
	name     string
}

// writeListing appends the entries of a directory, whose inodes are all written, to the directory
// table.
func writeListing(m *metadata, entries []*node) (listing, error) {
	var l listing
	l.block, l.offset = m.place()
	var buf []byte
	for len(entries) > 0 {
		block, offset := m.place()
		// The header that opens a metadata block is worth an index entry, unless the listing begins
		// there anyway.
		if block != l.block && (len(l.index) == 0 || l.index[len(l.index)-1].block != block) {
			l.index = append(l.index, indexEntry{position: uint32(l.size), block: block, name: entries[0].name})
		}
		n := runLength(entries, int(offset))
		buf = appendRun(buf[:0], entries[:n])
		m.write(buf)
		l.size += int64(len(buf))
		entries = entries[n:]
		if l.size > maxListing || len(l.index) > maxIndex {
			return l, fmt.Errorf("directory listing of %d bytes is too large for squashfs", l.size)
		}
	}
	return l, nil
}

// runLength counts the first entries that can share a header: their inodes are in one metadata
// block and have numbers near the first one's. A run also ends where it reaches the next metadata
// block of the listing, so that each block has a header for the index to point to. offset is the
// header's own in its block.
func runLength(entries []*node, offset int) int {
	first := entries[0].inode
	offset += 12
	for i, e := range entries {
		delta := int64(e.inode.number) - int64(first.number)
		if i == runEntries || e.inode.ref>>16 != first.ref>>16 || delta > maxDelta || delta < -maxDelta {
			return i
		}
		if i > 0 && offset >= metadataSize {
			return i
		}
		offset += 8 + len(e.name)
	}
	return len(entries)
}

func appendRun(b []byte, entries []*node) []byte {
	first := entries[0].inode
	b = le.AppendUint32(b, uint32(len(entries)-1))
	b = le.AppendUint32(b, uint32(first.ref>>16))
	b = le.AppendUint32(b, first.number)
	for _, e := range entries {
		b = le.AppendUint16(b, uint16(e.inode.ref))
		b = le.AppendUint16(b, uint16(int16(int64(e.inode.number)-int64(first.number))))
		b = le.AppendUint16(b, e.inode.entry.Kind.diskType())
		b = le.AppendUint16(b, uint16(len(e.name)-1))
		b = append(b, e.name...)
	}
	return b
}
