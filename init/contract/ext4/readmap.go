package ext4

import (
	"encoding/binary"
	"io"
)

// run is a contiguous piece of a file: count blocks from start on; start 0 is a hole or was never
// written, and reads as zeros.
type run struct{ start, count uint64 }

const maxDepth = 5 // of an extent tree

// find returns the run that begins with block logical of i.
func (f *Reader) find(i *Inode, logical uint64) (run, error) {
	if i.flags&flagExtents == 0 {
		return f.indirect(i, logical)
	}
	b, depth := i.blocks[:], -1
	limit := uint64(1) << 32 // where the node's part of the file ends
	for level := 0; ; level++ {
		le := binary.LittleEndian
		entries, most, d := int(le.Uint16(b[2:])), int(le.Uint16(b[4:])), int(le.Uint16(b[6:]))
		if le.Uint16(b) != extentsMagic || entries > most || 12+12*most > len(b) || d > maxDepth || level > 0 && d != depth-1 {
			return run{}, damaged("the extents of inode %d", i.Number)
		}
		depth = d
		// The last entry that begins at or before the block, and where the next one begins.
		at, next := -1, limit
		for k := range entries {
			if first := uint64(le.Uint32(b[12+12*k:])); first > logical {
				next = first
				break
			}
			at = k
		}
		if next > limit {
			return run{}, damaged("the extents of inode %d", i.Number)
		}
		limit = next
		if at < 0 {
			return run{0, limit - logical}, nil
		}
		e := b[12+12*at:]
		if depth == 0 {
			first, count := uint64(le.Uint32(e)), uint64(le.Uint16(e[4:]))
			start := uint64(le.Uint32(e[8:])) | uint64(le.Uint16(e[6:]))<<32
			written := count <= 32768
			if !written {
				count -= 32768
			}
			if logical >= first+count {
				return run{0, limit - logical}, nil
			}
			if start == 0 || start+count > f.blocks || first+count > limit {
				return run{}, damaged("an extent of inode %d", i.Number)
			}
			if !written {
				return run{0, first + count - logical}, nil
			}
			return run{start + logical - first, first + count - logical}, nil
		}
		child := uint64(le.Uint32(e[4:])) | uint64(le.Uint16(e[8:]))<<32
		if child == 0 {
			return run{}, damaged("the extents of inode %d", i.Number)
		}
		var err error
		if b, err = f.readBlock(child); err != nil {
			return run{}, err
		}
		if end := 12 + 12*int(le.Uint16(b[4:])); f.roCompt&roMetadataCsum != 0 && (end+4 > len(b) || checksum(i.seed, b[:end]) != le.Uint32(b[end:])) {
			return run{}, damaged("the checksum of extents of inode %d is wrong", i.Number)
		}
	}
}

// indirect is find for the block maps of ext2 and ext3: 12 blocks, then one, two and three levels
// of tables.
func (f *Reader) indirect(i *Inode, logical uint64) (run, error) {
	le := binary.LittleEndian
	per := uint64(f.block / 4)
	if logical < 12 {
		return f.pointed(i, i.blocks[4*logical:4*logical+4])
	}
	logical -= 12
	span := per
	for level := 1; level <= 3; level++ {
		if logical >= span {
			logical -= span
			span *= per
			continue
		}
		slot := i.blocks[4*(11+level):]
		table := uint64(le.Uint32(slot))
		for {
			if table == 0 { // a hole as large as the table would be
				return run{0, span - logical%span}, nil
			}
			b, err := f.readBlock(table)
			if err != nil {
				return run{}, err
			}
			span /= per
			entry := b[4*(logical/span%per):][:4]
			if span == 1 {
				return f.pointed(i, entry)
			}
			table = uint64(le.Uint32(entry))
		}
	}
	return run{}, damaged("inode %d is larger than its map can be", i.Number)
}

func (f *Reader) pointed(i *Inode, entry []byte) (run, error) {
	start := uint64(binary.LittleEndian.Uint32(entry))
	if start >= f.blocks {
		return run{}, damaged("a block of inode %d", i.Number)
	}
	return run{start, 1}, nil
}

// Content reads a file from its start to its size.
func (f *Reader) Content(i *Inode) io.Reader { return &reading{f: f, i: i} }

type reading struct {
	f   *Reader
	i   *Inode
	pos int64
	now run // of the block at pos
	err error
}

func (c *reading) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	left := c.i.Size - c.pos
	if left <= 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	block := c.f.block
	if c.now.count == 0 {
		if uint64(c.pos/block) >= 1<<32 {
			c.err = damaged("inode %d has %d bytes", c.i.Number, c.i.Size)
			return 0, c.err
		}
		if c.now, c.err = c.f.find(c.i, uint64(c.pos/block)); c.err != nil {
			return 0, c.err
		}
		if c.now.count == 0 {
			c.err = damaged("the map of inode %d", c.i.Number)
			return 0, c.err
		}
	}
	within := c.pos % block
	count := c.now.count
	if c.now.start != 0 && len(c.f.overlay) > 0 { // any block may be in the journal
		count = 1
	}
	n := min(int64(len(p)), left, int64(min(count, 1<<32))*block-within)
	p = p[:n]
	switch {
	case c.now.start == 0:
		clear(p)
	case len(c.f.overlay) > 0:
		c.err = c.f.readPart(p, c.now.start, within)
	default:
		c.err = readAt(c.f.r, p, int64(c.now.start)*block+within)
	}
	if c.err != nil {
		return 0, c.err
	}
	c.pos += n
	done := uint64((within + n) / block)
	c.now.count -= done
	if c.now.start != 0 {
		c.now.start += done
	}
	return int(n), nil
}
