package delta

import (
	"encoding/binary"
	"math/bits"
)

// seed is the length of what is looked up, in bytes.
const seed = 16

// rare is how many of the last bits of a seed's hash must be zero for it to be entered and looked
// up. Old and new content choose the same seeds, wherever they are, and one in 16 is enough: a
// match is extended to both sides. More of them cost time, for each one is a cache miss, and save
// nothing.
const rare = 4

// ways is how many places a hash can name.
const ways = 2

// matcher finds parts of an old content by their seeds.
type matcher struct {
	old   []byte
	table []uint32 // ways entries of each hash: place + 1; 0 is empty
	shift uint
	reach int // the most that a place may be from its own; 0 for any
	next  int // place of the first seed that was not looked at
}

// newMatcher returns a matcher of old. With a reach it enters only what is within reach, on its
// way, so that the table is small.
func newMatcher(old []byte, reach int) *matcher {
	n := len(old)
	if reach > 0 {
		n = min(n, 2*reach)
	}
	log := bits.Len(uint(n >> rare)) // between one and two rows for each seed
	m := &matcher{old: old, table: make([]uint32, ways<<log), shift: uint(64 - log), reach: reach}
	if reach == 0 {
		m.enter(len(old))
	}
	return m
}

// enter enters the seeds before end.
func (m *matcher) enter(end int) {
	for end = min(end, len(m.old)-seed+1); m.next < end; m.next++ {
		a, b := binary.LittleEndian.Uint64(m.old[m.next:]), binary.LittleEndian.Uint64(m.old[m.next+8:])
		row := m.row(a, b)
		if row == nil || a == b && bits.RotateLeft64(a, 8) == a { // a run of one byte is everywhere
			continue
		}
		switch place := uint32(m.next) + 1; {
		case m.reach > 0: // the latest ones
			row[1], row[0] = row[0], place
		case row[0] == 0: // the first ones
			row[0] = place
		case row[1] == 0:
			row[1] = place
		}
	}
}

// row returns the entries of a seed; nil if it is none of the chosen ones.
func (m *matcher) row(a, b uint64) []uint32 {
	h := a*0x9e3779b97f4a7c15 ^ bits.RotateLeft64(b*0xc2b2ae3d27d4eb4f, 31)
	h = (h ^ h>>32) * 0x165667b19e3779f9
	if h&(1<<rare-1) != 0 {
		return nil
	}
	i := h >> m.shift * ways
	return m.table[i : i+ways]
}

// find returns the longest match for new from scan on that its seed leads to, of equal ones the
// nearest to the diagonal offset (old place less new one). length 0 is none.
func (m *matcher) find(new []byte, scan, offset int) (length, pos int) {
	if scan+seed > len(new) {
		return 0, 0
	}
	a, b := binary.LittleEndian.Uint64(new[scan:]), binary.LittleEndian.Uint64(new[scan+8:])
	row := m.row(a, b)
	if row == nil {
		return 0, 0
	}
	if m.reach > 0 {
		m.enter(scan + m.reach)
	}
	for _, x := range row {
		if x == 0 {
			break
		}
		p := int(x - 1)
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

// equals counts the places at which both have the same byte, up to the end of the shorter one.
func equals(a, b []byte) (count int) {
	n, most := 0, min(len(a), len(b))
	for ; n+8 <= most; n += 8 {
		count += zeros(binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]))
	}
	for ; n < most; n++ {
		if a[n] == b[n] {
			count++
		}
	}
	return count
}

// zeros counts the bytes of x that are 0.
func zeros(x uint64) int {
	const low = 0x7f7f7f7f7f7f7f7f
	return bits.OnesCount64(^((x&low + low) | x | low))
}

// part is a step of a patch: literals, then bytes copied from pos in the old content, of which some
// may differ.
type part struct{ literals, copied, pos int }

// better is by how many bytes a match must beat the diagonal that is left for it. Bsdiff has 8; a
// change of place costs us about as much.
const better = 8

// ahead is how many bytes of the diagonal are looked at, and enough how many of them must be equal
// for nothing else to be looked for.
const ahead, enough = 16, 12

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
	lastScan, lastPos, offset, literals := 0, from, from, 0
	for scan := 0; scan < len(new); {
		if n := m.onward(new[scan:], scan+offset); n > 0 {
			scan += n
			continue
		}
		length, pos := m.find(new, scan, offset)
		if length == 0 || length <= m.on(new[scan:scan+length], scan+offset)+better {
			scan++
			continue
		}
		// The last place is extended forward, the new one backward.
		forward := m.forward(new[lastScan:scan], lastPos)
		back := m.backward(new[lastScan:scan], pos)
		if over := lastScan + forward - (scan - back); over > 0 {
			cut := m.split(new, lastScan+forward-over, over, lastPos+forward-over, pos-back)
			forward += cut - over
			back -= cut
		}
		emit(literals, forward, lastPos)
		literals = scan - back - (lastScan + forward)
		lastScan, lastPos, offset = scan-back, pos-back, pos-scan
		scan += length
	}
	forward := m.forward(new[lastScan:], lastPos)
	emit(literals, forward, lastPos)
	emit(len(new)-lastScan-forward, 0, 0)
	return list
}

// onward returns how many bytes of new the place p is good for without a look at others; 0 is none.
func (m *matcher) onward(new []byte, p int) int {
	if p < 0 || p+ahead > len(m.old) || ahead > len(new) {
		return 0
	}
	old := m.old[p:]
	if equals(new[:ahead], old[:ahead]) < enough {
		return 0
	}
	return same(new, old) + 1
}

// on counts the bytes of new that the old content has from p on.
func (m *matcher) on(new []byte, p int) int {
	if p < 0 {
		new, p = new[min(-p, len(new)):], 0
	}
	return equals(new, m.old[min(p, len(m.old)):])
}

// forward is how much of new is best copied from pos.
func (m *matcher) forward(new []byte, pos int) int {
	if pos < 0 {
		return 0
	}
	best, length, score := 0, 0, 0
	for i := 0; i < len(new) && pos+i < len(m.old); {
		if n := same(new[i:], m.old[pos+i:]); n > 0 {
			score += n
			i += n
		} else {
			i++
		}
		if 2*score-i > best {
			best, length = 2*score-i, i
		}
	}
	return length
}

// backward is how much before scan is best copied from before pos. new ends at scan.
func (m *matcher) backward(new []byte, pos int) int {
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
	score, best, cut := 0, 0, 0
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
