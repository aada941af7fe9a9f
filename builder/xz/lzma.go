package xz

import (
	"encoding/binary"
	"errors"
)

var (
	errDistance = errors.New("a match begins before the data")
	errLength   = errors.New("a match is longer than its chunk")
	errEnd      = errors.New("a chunk does not end where it should")
)

// slack is the space after the window that a copy in steps of eight bytes may write to.
const slack = 16

// adapt rounds the change of a probability after a bit 0, when it is computed as that of a bit 1.
const adapt = 1<<32 - (probOne - 31)

// lzma decodes one LZMA chunk of size bytes in d.in, to the n bytes from d.pos of the window.
//
// Here nearly all time of a reader is spent, so all state is in local variables and each bit is
// written out. Three things keep checks out of the path of a literal: d.in is larger than a 16-bit
// index, a chunk that reads past its end is found at its end alone (each symbol makes a byte, so
// that comes), and d.buf is cut at the end of the chunk. The bits of a literal are hardly
// foreseeable, so they are decoded without a branch: that alone is a sixth of the time.
func (d *decoder) lzma(n, size int) error {
	m, in := &d.model, &d.in
	if size < rangeInit || in[0] != 0 {
		return errEnd
	}
	rng, code, ip := ^uint32(0), binary.BigEndian.Uint32(in[1:]), uint32(rangeInit)
	state, rep0, rep1, rep2, rep3 := m.state, m.rep0, m.rep1, m.rep2, m.rep3
	lc, lc8, litMask, posMask := m.lc, 8-m.lc, uint(m.litMask), uint(m.posMask)
	pos, dict := uint(d.pos), uint(d.dict)
	buf := d.buf[:d.pos+n+slack]
	out := d.buf[:d.pos+n]
	var prev uint32
	if pos > 0 {
		prev = uint32(out[pos-1])
	}

	for pos < uint(len(out)) {
		ps := uint32(pos&posMask) & 15
		prob := &m.isMatch[uint8(state<<4|ps)]
		p := uint32(*prob)
		bound := (rng >> probBits) * p
		if code < bound {
			rng = bound
			*prob = uint16(p + (probOne-p)>>moveBits)
			if rng < rangeTop {
				rng <<= 8
				code = code<<8 | uint32(in[uint16(ip)])
				ip++
			}
			lit := &m.lit[(uint32(pos&litMask)<<(lc&31)+prev>>(lc8&31))&(litRows-1)]
			sym := uint32(1)
			if state < firstMatch {
				p := uint32(lit[1])
				for sym < 0x100 {
					p0, p1 := uint32(lit[sym<<1&0x1fe]), uint32(lit[sym<<1&0x1fe|1])
					bound := (rng >> probBits) * p
					diff := uint64(code) - uint64(bound)
					zero := uint32(int64(diff) >> 63) // all ones: a bit 0
					lit[sym] = uint16(p - uint32(int32(p+zero&adapt)>>moveBits))
					code = uint32(diff) + bound&zero
					rng += (bound+bound-rng)&zero - bound
					sym = sym<<1 + 1 + zero
					p = p1 ^ (p0^p1)&zero
					if rng < rangeTop {
						rng <<= 8
						code = code<<8 | uint32(in[uint16(ip)])
						ip++
					}
				}
			} else {
				// The byte that a match would have put here helps as long as the bits agree.
				like, offset := uint32(out[pos-uint(rep0)-1])<<1, uint32(0x100)
				for sym < 0x100 {
					bit := like & offset
					like <<= 1
					prob := &lit[offset+bit+sym]
					p := uint32(*prob)
					bound := (rng >> probBits) * p
					diff := uint64(code) - uint64(bound)
					zero := uint32(int64(diff) >> 63) // all ones: a bit 0
					*prob = uint16(p - uint32(int32(p+zero&adapt)>>moveBits))
					code = uint32(diff) + bound&zero
					rng += (bound+bound-rng)&zero - bound
					sym = sym<<1 + 1 + zero
					offset &= bit ^ zero
					if rng < rangeTop {
						rng <<= 8
						code = code<<8 | uint32(in[uint16(ip)])
						ip++
					}
				}
			}
			prev = sym & 0xff
			out[pos] = byte(sym)
			pos++
			state = uint32(litNext[state&15])
			continue
		}
		rng -= bound
		code -= bound
		*prob = uint16(p - p>>moveBits)
		if rng < rangeTop {
			rng <<= 8
			code = code<<8 | uint32(in[uint16(ip)])
			ip++
		}

		var l *lengths
		prob = &m.isRep[state&15]
		p = uint32(*prob)
		bound = (rng >> probBits) * p
		fresh := code < bound
		if fresh {
			rng = bound
			*prob = uint16(p + (probOne-p)>>moveBits)
			if rng < rangeTop {
				rng <<= 8
				code = code<<8 | uint32(in[uint16(ip)])
				ip++
			}
			rep3, rep2, rep1 = rep2, rep1, rep0
			l = &m.match
			if state < firstMatch {
				state = 7
			} else {
				state = 10
			}
		} else {
			rng -= bound
			code -= bound
			*prob = uint16(p - p>>moveBits)
			if rng < rangeTop {
				rng <<= 8
				code = code<<8 | uint32(in[uint16(ip)])
				ip++
			}
			prob = &m.isRep0[state&15]
			p = uint32(*prob)
			bound = (rng >> probBits) * p
			if code < bound {
				rng = bound
				*prob = uint16(p + (probOne-p)>>moveBits)
				if rng < rangeTop {
					rng <<= 8
					code = code<<8 | uint32(in[uint16(ip)])
					ip++
				}
				prob = &m.isRep0Long[uint8(state<<4|ps)]
				p = uint32(*prob)
				bound = (rng >> probBits) * p
				if code < bound { // one byte
					rng = bound
					*prob = uint16(p + (probOne-p)>>moveBits)
					if rng < rangeTop {
						rng <<= 8
						code = code<<8 | uint32(in[uint16(ip)])
						ip++
					}
					if uint(rep0) >= pos {
						return errDistance
					}
					b := out[pos-uint(rep0)-1]
					out[pos] = b
					prev = uint32(b)
					pos++
					if state < firstMatch {
						state = 9
					} else {
						state = 11
					}
					continue
				}
				rng -= bound
				code -= bound
				*prob = uint16(p - p>>moveBits)
				if rng < rangeTop {
					rng <<= 8
					code = code<<8 | uint32(in[uint16(ip)])
					ip++
				}
			} else {
				rng -= bound
				code -= bound
				*prob = uint16(p - p>>moveBits)
				if rng < rangeTop {
					rng <<= 8
					code = code<<8 | uint32(in[uint16(ip)])
					ip++
				}
				prob = &m.isRep1[state&15]
				p = uint32(*prob)
				bound = (rng >> probBits) * p
				if code < bound {
					rng = bound
					*prob = uint16(p + (probOne-p)>>moveBits)
					rep0, rep1 = rep1, rep0
				} else {
					rng -= bound
					code -= bound
					*prob = uint16(p - p>>moveBits)
					if rng < rangeTop {
						rng <<= 8
						code = code<<8 | uint32(in[uint16(ip)])
						ip++
					}
					prob = &m.isRep2[state&15]
					p = uint32(*prob)
					bound = (rng >> probBits) * p
					if code < bound {
						rng = bound
						*prob = uint16(p + (probOne-p)>>moveBits)
						rep0, rep1, rep2 = rep2, rep0, rep1
					} else {
						rng -= bound
						code -= bound
						*prob = uint16(p - p>>moveBits)
						rep0, rep1, rep2, rep3 = rep3, rep0, rep1, rep2
					}
				}
				if rng < rangeTop {
					rng <<= 8
					code = code<<8 | uint32(in[uint16(ip)])
					ip++
				}
			}
			l = &m.rep
			if state < firstMatch {
				state = 8
			} else {
				state = 11
			}
		}

		// The length: a choice of three trees.
		var length uint
		p = uint32(l.choice)
		bound = (rng >> probBits) * p
		var three *[8]uint16
		if code < bound {
			rng = bound
			l.choice = uint16(p + (probOne-p)>>moveBits)
			three, length = &l.low[ps], minMatch
		} else {
			rng -= bound
			code -= bound
			l.choice = uint16(p - p>>moveBits)
			if rng < rangeTop {
				rng <<= 8
				code = code<<8 | uint32(in[uint16(ip)])
				ip++
			}
			p = uint32(l.choice2)
			bound = (rng >> probBits) * p
			if code < bound {
				rng = bound
				l.choice2 = uint16(p + (probOne-p)>>moveBits)
				three, length = &l.mid[ps], minMatch+8
			} else {
				rng -= bound
				code -= bound
				l.choice2 = uint16(p - p>>moveBits)
			}
		}
		if rng < rangeTop {
			rng <<= 8
			code = code<<8 | uint32(in[uint16(ip)])
			ip++
		}
		sym := uint32(1)
		if three != nil {
			for sym < 8 {
				p := uint32(three[sym])
				bound := (rng >> probBits) * p
				if code < bound {
					rng = bound
					three[sym] = uint16(p + (probOne-p)>>moveBits)
					sym <<= 1
				} else {
					rng -= bound
					code -= bound
					three[sym] = uint16(p - p>>moveBits)
					sym = sym<<1 | 1
				}
				if rng < rangeTop {
					rng <<= 8
					code = code<<8 | uint32(in[uint16(ip)])
					ip++
				}
			}
			length += uint(sym) - 8
		} else {
			for sym < 0x100 {
				p := uint32(l.high[sym])
				bound := (rng >> probBits) * p
				if code < bound {
					rng = bound
					l.high[sym] = uint16(p + (probOne-p)>>moveBits)
					sym <<= 1
				} else {
					rng -= bound
					code -= bound
					l.high[sym] = uint16(p - p>>moveBits)
					sym = sym<<1 | 1
				}
				if rng < rangeTop {
					rng <<= 8
					code = code<<8 | uint32(in[uint16(ip)])
					ip++
				}
			}
			length = minMatch + 16 + uint(sym) - 0x100
		}

		if fresh {
			// The distance: its two highest bits and their place, then the rest.
			tree := &m.slot[min(length-minMatch, 3)&3]
			sym = 1
			for sym < 64 {
				p := uint32(tree[sym])
				bound := (rng >> probBits) * p
				if code < bound {
					rng = bound
					tree[sym] = uint16(p + (probOne-p)>>moveBits)
					sym <<= 1
				} else {
					rng -= bound
					code -= bound
					tree[sym] = uint16(p - p>>moveBits)
					sym = sym<<1 | 1
				}
				if rng < rangeTop {
					rng <<= 8
					code = code<<8 | uint32(in[uint16(ip)])
					ip++
				}
			}
			slot := sym - 64
			rep0 = slot
			if slot >= 4 {
				more := (slot>>1 - 1) & 31
				rep0 = (2 | slot&1) << more
				base, tree := rep0-slot-1, &m.special
				if slot >= 14 {
					for i := more; i > 4; i-- {
						rng >>= 1
						code -= rng
						mask := 0 - code>>31 // all ones: a bit 0
						code += rng & mask
						rep0 += (1 + mask) << ((i - 1) & 31)
						if rng < rangeTop {
							rng <<= 8
							code = code<<8 | uint32(in[uint16(ip)])
							ip++
						}
					}
					more = 4
				}
				sym = 1
				for i := range more {
					prob := &tree[(base+sym)&127]
					if slot >= 14 {
						prob = &m.align[sym&15]
					}
					p := uint32(*prob)
					bound := (rng >> probBits) * p
					if code < bound {
						rng = bound
						*prob = uint16(p + (probOne-p)>>moveBits)
						sym <<= 1
					} else {
						rng -= bound
						code -= bound
						*prob = uint16(p - p>>moveBits)
						sym = sym<<1 | 1
						rep0 += 1 << (i & 31)
					}
					if rng < rangeTop {
						rng <<= 8
						code = code<<8 | uint32(in[uint16(ip)])
						ip++
					}
				}
			}
		}

		back := uint(rep0) + 1
		if back > pos || back > dict {
			return errDistance
		}
		if length > uint(len(out))-pos {
			return errLength
		}
		from, end := pos-back, pos+length
		switch {
		case back >= 8 && length <= 64:
			// Up to seven bytes too many are written; what follows comes over them.
			for ; pos < end; pos, from = pos+8, from+8 {
				binary.LittleEndian.PutUint64(buf[pos:], binary.LittleEndian.Uint64(buf[from:]))
			}
		case length < 8:
			for ; pos < end; pos, from = pos+1, from+1 {
				buf[pos] = buf[from]
			}
		default:
			for pos < end { // what is there repeats, and doubles
				pos += uint(copy(buf[pos:end], buf[from:pos]))
			}
		}
		pos = end
		prev = uint32(out[pos-1])
	}

	if code != 0 || int(ip) != size {
		return errEnd
	}
	m.state, m.rep0, m.rep1, m.rep2, m.rep3 = state, rep0, rep1, rep2, rep3
	d.pos = int(pos)
	return nil
}
