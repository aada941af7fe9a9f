// Package zstdblock compresses independent blocks of up to 1 MiB into zstd frames (RFC 8878) for
// read-only images.
//
// It looks for the cheapest sequences by dynamic programming over a match finder whose tables fit a
// processor's cache: an image is compressed once and read for months, and a block is never longer
// than a window. The decoder's side is plain zstd: single segment, content size, no checksum, no
// dictionary.
package zstdblock

import "encoding/binary"

// Version changes whenever the same input may give other bytes. It belongs in the key of a cache of
// frames; a test fails if the output changes and Version does not.
const Version = 3

// MaxBlock is the largest number of bytes that Encode takes.
const MaxBlock = 1 << 20

const (
	magic = 0xfd2fb528

	// piece is how many bytes a zstd block gets. Each has tables of its own, and a decoder takes
	// longer to build them than to decode a few KiB. With pieces of 16 to 64 KiB, cut where it
	// seemed cheapest, an initramfs took 15 % more instructions to decode and was 0.5 % larger, a
	// root 10 % more and 0.3 % smaller.
	piece = 64 << 10

	// maxPart limits literals and match of one sequence, so that no block comes beyond zstd's limit
	// of 128 KiB.
	maxPart = 31 << 10
)

// Encoder holds the tables for one goroutine, about 2 MiB. The zero value is ready. Its output for
// a block does not depend on the blocks before.
type Encoder struct {
	parser   parser
	huffman  huffman
	tables   [3]fseTable
	list     []sequence
	codes    []coded
	literals []byte
}

// Encode appends the frame of src to dst. It panics if src is longer than MaxBlock.
func (e *Encoder) Encode(dst, src []byte) []byte {
	if len(src) > MaxBlock {
		panic("zstdblock: block is too long")
	}
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	switch n := len(src); { // the descriptor has: single segment, and the width of the size
	case n < 256:
		dst = append(dst, 0x20, byte(n))
	case n < 256+1<<16:
		dst = binary.LittleEndian.AppendUint16(append(dst, 0x60), uint16(n-256))
	default:
		dst = binary.LittleEndian.AppendUint32(append(dst, 0xa0), uint32(n))
	}
	return e.appendBlocks(dst, src, &repeats{1, 4, 8}, true)
}

// appendBlocks appends the zstd blocks of src. r are the decoder's repeats before them, and become
// those after them. The last block is marked as the frame's last one if last is true.
func (e *Encoder) appendBlocks(dst, src []byte, r *repeats, last bool) []byte {
	e.list = e.parser.parse(e.list[:0], src, *r)
	for list := e.list; ; {
		n, size := cut(list)
		dst = e.appendBlock(dst, src[:size], list[:n], r, last && size == len(src))
		if src, list = src[size:], list[n:]; len(src) == 0 {
			return dst
		}
	}
}

// cut returns how many sequences, and bytes, the next block gets.
func cut(list []sequence) (n, size int) {
	for n < len(list) && size < piece {
		size += int(list[n].literals + list[n].length)
		if n++; list[n-1].length == 0 {
			break
		}
	}
	return n, size
}

const (
	blockRaw        = 0
	blockCompressed = 2
)

// appendBlock appends the zstd block of src, which list describes. A sequence without a match may
// only be the last one.
func (e *Encoder) appendBlock(dst, src []byte, list []sequence, r *repeats, last bool) []byte {
	e.literals = e.literals[:0]
	at := 0
	for _, s := range list {
		e.literals = append(e.literals, src[at:at+int(s.literals)]...)
		at += int(s.literals + s.length)
	}
	if n := len(list); n > 0 && list[n-1].length == 0 {
		list = list[:n-1]
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0)
	after := *r
	dst = e.appendLiterals(dst, e.literals)
	dst = e.appendSequences(dst, list, &after)
	if size := len(dst) - start - 3; size < len(src) {
		*r = after
		putHeader(dst[start:], blockCompressed, size, last)
		return dst
	}
	// The decoder's repeats stay as they were.
	dst = append(dst[:start+3], src...)
	putHeader(dst[start:], blockRaw, len(src), last)
	return dst
}

func putHeader(b []byte, kind byte, size int, last bool) {
	h := uint32(kind)<<1 | uint32(size)<<3
	if last {
		h |= 1
	}
	b[0], b[1], b[2] = byte(h), byte(h>>8), byte(h>>16)
}
