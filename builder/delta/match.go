package delta

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// seed is the length of what is looked up, in bytes.
const seed = 16

// stride is the distance of the seeds in the old content. Instructions of arm64 have four bytes.
const stride = 4

// ways is how many places a hash can name.
const ways = 2

// matcher finds parts of an old content by their seeds.
type matcher struct {
	old   []byte
	table []uint32 // ways entries of each hash: place / stride + 1; 0 is empty
	shift uint
	reach int // the most that a place may be from its own; 0 for any
}

func newMatcher(old []byte, reach int) *matcher {
	n := len(old)/stride + 1
	log := bits.Len(uint(n)) // between one and two entries for each seed
	m := &matcher{old: old, table: make([]uint32, ways<<log), shift: uint(64 - log), reach: reach}
	for at := 0; at+seed <= len(old); at += stride {
		a, b := binary.LittleEndian.Uint64(old[at:]), binary.LittleEndian.Uint64(old[at+8:])
		if a == b && bits.RotateLeft64(a, 8) == a {
			continue // a run of one byte is everywhere
		}
		row := m.row(a, b)
		for i := range row {
			if row[i] == 0 {
				row[i] = uint32(at/stride) + 1
				break
			}
		}
	}
	return m
}

func (m *matcher) row(a, b uint64) []uint32 {
	h := (a*0x9e3779b97f4a7c15 ^ bits.RotateLeft64(b*0xc2b2ae3d27d4eb4f, 31)) * 0x165667b19e3779f9
	i := h >> m.shift * ways
	return m.table[i : i+ways]
}

// find returns the longest match for new from scan on that it knows: on the diagonal offset (old
// place less new one), which is preferred where it is long, or by a seed. length 0 is none.
func (m *matcher) find(new []byte, scan, offset int) (length, pos int) {
	if p := scan + offset; p >= 0 && p < len(m.old) {
		length, pos = same(new[scan:], m.old[p:]), p
	}
	if length >= 2*seed || scan+seed > len(new) {
		return length, pos
	}
	a, b := binary.LittleEndian.Uint64(new[scan:]), binary.LittleEndian.Uint64(new[scan+8:])
	for _, x := range m.row(a, b) {
		if x == 0 {
			break
		}
		p := int(x-1) * stride
		if m.reach > 0 && (p < scan-m.reach || p > scan+m.reach) || binary.LittleEndian.Uint64(m.old[p:]) != a || binary.LittleEndian.Uint64(m.old[p+8:]) != b {
			continue
		}
		if n := same(new[scan:], m.old[p:]); n > length || n == length && abs(p-scan-offset) < abs(pos-scan-offset) {
			length, pos = n, p
		}
	}
	return length, pos
}

func abs(x int) int {
	if x < 0 {
		return -x
	}
	return x
}

// same counts the equal bytes at the beginning of both.
func same(a, b []byte) int {
	n, most := 0, min(len(a), len(b))
	for ; n+8 <= most; n += 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
	}
	for n < most && a[n] == b[n] {
		n++
	}
	return n
}

// part is a step of a patch: literals, then bytes copied from pos in the old content, of which some
// may differ.
type part struct{ literals, copied, pos int }

// better is by how many bytes a match must beat the diagonal that is left for it. Bsdiff has 8; a
// change of place costs us about as much.
const better = 8

// parts describes new by parts of the old content. It goes on through bytes that differ as long as
// more than half are equal, as Colin Percival's bsdiff does. from is where a copy would go on, in
// the old content.
func (m *matcher) parts(new []byte, from int) []part {
	var list []part
	emit := func(literals, copied, pos int) {
		if literals+copied > 0 {
			list = append(list, part{literals, copied, pos})
		}
	}
	var scan, length, pos int
	lastScan, lastPos, offset := 0, from, from
	literals := 0
	for scan < len(new) {
		score := 0
		scan += length
		for counted := scan; scan < len(new); scan++ {
			length, pos = m.find(new, scan, offset)
			for ; counted < scan+length; counted++ {
				if m.equal(new, counted, offset) {
					score++
				}
			}
			if length == score && length != 0 || length > score+better {
				break
			}
			if m.equal(new, scan, offset) {
				score--
			}
		}
		if length == score && scan < len(new) {
			continue
		}
		// The last place is extended forward, the new one backward.
		forward := m.forward(new[lastScan:scan], lastPos, lastScan)
		back := 0
		if scan < len(new) {
			back = m.backward(new[lastScan:scan], pos, scan)
		}
		if over := lastScan + forward - (scan - back); over > 0 {
			cut := m.split(new, lastScan+forward-over, over, lastPos+forward-over, pos-back)
			forward += cut - over
			back -= cut
		}
		emit(literals, forward, lastPos)
		literals = scan - back - (lastScan + forward)
		lastScan, lastPos, offset = scan-back, pos-back, pos-scan
	}
	emit(literals, 0, 0)
	return list
}

// equal reports whether the diagonal offset has the right byte for new[at].
func (m *matcher) equal(new []byte, at, offset int) bool {
	p := at + offset
	return p >= 0 && p < len(m.old) && m.old[p] == new[at]
}

// forward is how much of new, whose place is scan, is best copied from pos.
func (m *matcher) forward(new []byte, pos, scan int) int {
	if pos < 0 {
		return 0
	}
	best, length, score := 0, 0, 0
	for i := 0; i < len(new) && pos+i < len(m.old); {
		if m.old[pos+i] == new[i] {
			score++
		}
		i++
		if 2*score-i > best {
			best, length = 2*score-i, i
		}
	}
	return length
}

// backward is how much before scan is best copied from before pos. new ends at scan.
func (m *matcher) backward(new []byte, pos, scan int) int {
	best, length, score := 0, 0, 0
	for i := 1; i <= len(new) && i <= pos; i++ {
		if m.old[pos-i] == new[len(new)-i] {
			score++
		}
		if 2*score-i > best {
			best, length = 2*score-i, i
		}
	}
	return length
}

// split returns how many of over bytes of new from at on, which both copies cover, the first one
// keeps.
func (m *matcher) split(new []byte, at, over, first, second int) int {
	score, best, cut := 0, math.MinInt, 0
	if score > best {
		best = score
	}
	for i := range over {
		if m.old[first+i] == new[at+i] {
			score++
		}
		if m.old[second+i] == new[at+i] {
			score--
		}
		if score > best {
			best, cut = score, i+1
		}
	}
	return cut
}
