package zstdblock

import (
	"encoding/binary"
	"math/bits"
)

const (
	rowBits  = 3 // entries of a row, as a power of two; the tags of a row are one machine word
	rowSize  = 1 << rowBits
	rowCount = 13      // rows, as a power of two
	shortLog = 14      // entries of the table for matches of three bytes, as a power of two
	shortMax = 1 << 16 // bytes; three bytes from further away cost more than they save

	// hashBytes is how many bytes must follow a position for it to be looked at.
	hashBytes = 8
)

// finder remembers where four bytes were seen before: the 8 latest places of each hash, in rows of
// half a cache line. A byte of the hash next to each place filters most of those that only share
// the row.
type finder struct {
	places [rowSize << rowCount]uint32 // position + 1; 0 is empty
	tags   [rowSize << rowCount]uint8
	heads  [1 << rowCount]uint8
	short  [1 << shortLog]uint32 // latest place of three bytes, position + 1
}

// match is a candidate: length bytes, distance back.
type match struct{ length, distance uint32 }

func (f *finder) reset() {
	clear(f.places[:])
	clear(f.tags[:])
	clear(f.heads[:])
	clear(f.short[:])
}

func hash4(v uint32) (row uint32, tag uint8) {
	h := v * 2654435761
	return h >> (32 - rowCount), uint8(h >> (32 - rowCount - 8))
}

func hash3(v uint32) uint32 { return v << 8 * 506832829 >> (32 - shortLog) }

func (f *finder) insert(src []byte, at uint32) {
	v := binary.LittleEndian.Uint32(src[at:])
	row, tag := hash4(v)
	head := f.heads[row]
	f.heads[row] = (head + 1) & (rowSize - 1)
	i := row<<rowBits | uint32(head)
	f.places[i], f.tags[i] = at+1, tag
	f.short[hash3(v)] = at + 1
}

// find appends the matches at a position that are longer than best, each longer and further away
// than the one before, and enters the position.
func (f *finder) find(found []match, src []byte, at, best uint32) []match {
	v := binary.LittleEndian.Uint32(src[at:])
	if s := &f.short[hash3(v)]; best < 3 {
		if p := *s; p > 0 && at-(p-1) < shortMax && (binary.LittleEndian.Uint32(src[p-1:])^v)<<8 == 0 {
			best = matchLength(src, p-1, at)
			found = append(found, match{best, at - (p - 1)})
		}
		*s = at + 1
	} else {
		*s = at + 1
	}
	row, tag := hash4(v)
	base := row << rowBits
	head := uint32(f.heads[row])
	tags := f.tags[base : base+rowSize : base+rowSize]
	mask := equalBytes(binary.LittleEndian.Uint64(tags), tag)
	// Turn the mask so that the latest entry is its highest bit.
	mask = (mask>>head | mask<<(rowSize-head)) & (1<<rowSize - 1)
	for mask != 0 {
		top := uint32(bits.Len32(mask)) - 1
		mask &^= 1 << top
		p := f.places[base|(top+head)&(rowSize-1)]
		if p == 0 {
			continue
		}
		p--
		if best >= 4 {
			// Only what is longer than the best so far is of use, so look at its end first.
			if at+best >= uint32(len(src)) {
				break
			}
			if binary.LittleEndian.Uint32(src[p+best-3:]) != binary.LittleEndian.Uint32(src[at+best-3:]) {
				continue
			}
		}
		if binary.LittleEndian.Uint32(src[p:]) != v {
			continue
		}
		if n := matchLength(src, p, at); n > best {
			best = n
			found = append(found, match{n, at - p})
			if best >= sufficient {
				break
			}
		}
	}
	f.heads[row] = uint8((head + 1) & (rowSize - 1))
	f.places[base|head], tags[head] = at+1, tag
	return found
}

// equalBytes returns a bit for each of the 8 bytes of v that equals b.
func equalBytes(v uint64, b uint8) uint32 {
	const low = 0x0101010101010101
	x := v ^ uint64(b)*low
	zero := ^((x&(0x7f*low) + 0x7f*low) | x | 0x7f*low)
	return uint32(zero >> 7 * 0x0102040810204080 >> 56)
}

// matchLength counts the bytes that are the same from a, which is earlier, and from b on.
func matchLength(src []byte, a, b uint32) uint32 {
	n := uint32(0)
	left := uint32(len(src)) - b
	for ; n+8 <= left; n += 8 {
		if x := binary.LittleEndian.Uint64(src[a+n:]) ^ binary.LittleEndian.Uint64(src[b+n:]); x != 0 {
			return n + uint32(bits.TrailingZeros64(x))/8
		}
	}
	for n < left && src[a+n] == src[b+n] {
		n++
	}
	return n
}
