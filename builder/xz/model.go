package xz

import "errors"

// Numbers of the LZMA format. A probability is that of a bit 0, in 1/2048.
const (
	probBits  = 11
	probOne   = 1 << probBits
	moveBits  = 5
	rangeTop  = 1 << 24
	rangeInit = 5 // bytes that begin a chunk

	litSize    = 0x300 // probabilities of one literal context: plain, match bit 0, match bit 1
	litRows    = 16    // lc + lp is at most 4
	firstMatch = 7     // states below it come after a literal
	minMatch   = 2
)

// litNext is the state after a literal.
var litNext = [16]uint8{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5}

// lengths holds the probabilities of a match's length: 2 to 9, 10 to 17, 18 to 273.
type lengths struct {
	choice, choice2 uint16
	low, mid        [16][8]uint16
	high            [256]uint16
}

func (l *lengths) reset() {
	l.choice, l.choice2 = probOne/2, probOne/2
	for i := range l.low {
		even(l.low[i][:])
		even(l.mid[i][:])
	}
	even(l.high[:])
}

// model is all that an LZMA decoder has learnt. Tables by state and position have 16 columns, so
// that an index of 8 bits needs no check of its bounds.
type model struct {
	state                  uint32
	rep0, rep1, rep2, rep3 uint32 // distances of the last matches, less one
	lc                     uint32
	litMask, posMask       uint32

	isMatch, isRep0Long           [256]uint16
	isRep, isRep0, isRep1, isRep2 [16]uint16
	slot                          [4][64]uint16
	special                       [128]uint16
	align                         [16]uint16
	match, rep                    lengths
	lit                           [litRows][litSize]uint16
}

func even(probs []uint16) {
	for i := range probs {
		probs[i] = probOne / 2
	}
}

// reset forgets what was learnt; the properties stay.
func (m *model) reset() {
	m.state, m.rep0, m.rep1, m.rep2, m.rep3 = 0, 0, 0, 0, 0
	for _, probs := range [][]uint16{m.isMatch[:], m.isRep0Long[:], m.isRep[:], m.isRep0[:], m.isRep1[:], m.isRep2[:], m.special[:], m.align[:]} {
		even(probs)
	}
	for i := range m.slot {
		even(m.slot[i][:])
	}
	m.match.reset()
	m.rep.reset()
	// Rows that these properties do not reach need no work.
	for i := range m.lit[:(m.litMask+1)<<m.lc] {
		even(m.lit[i][:])
	}
}

var errProperties = errors.New("its LZMA properties are out of bounds")

// properties sets lc, lp and pb and forgets what was learnt.
func (m *model) properties(b byte) error {
	if b > (4*5+4)*9+8 {
		return errProperties
	}
	lc, lp, pb := uint32(b%9), uint32(b/9%5), uint32(b/45)
	if lc+lp > 4 {
		return errProperties
	}
	m.lc, m.litMask, m.posMask = lc, 1<<lp-1, 1<<pb-1
	m.reset()
	return nil
}
