package zstdblock

import (
	"math"
	"math/bits"
)

// Prices are in 1/256 bit.
const priceBit = 256

// prices estimate what a literal, a length or an offset will cost, from what was chosen so far.
type prices struct {
	literal [256]int32
	length  [maxLiteralPrice]int32 // of a literal run, without its literals
	runs    [36]int32              // by code, for longer runs
	match   [maxMatchPrice]int32
	matches [53]int32
	offset  [32]int32

	literals, lengths, matchLengths, offsets [256]uint32 // counts
}

const (
	maxLiteralPrice = 64
	maxMatchPrice   = sufficient + 1
)

// begin sets the counts before anything is known but the block's bytes.
func (p *prices) begin(src []byte) {
	for s := range p.literals {
		p.literals[s] = 1
	}
	for i := 0; i < len(src); i += 1 + len(src)>>13 {
		p.literals[src[i]]++
	}
	total := uint32(0)
	for _, c := range p.literals {
		total += c
	}
	for s, c := range p.literals {
		p.literals[s] = 1 + c*1024/total
	}
	for s := range 36 {
		p.lengths[s] = 1 + 16>>min(s/2, 4)
	}
	for s := range 53 {
		p.matchLengths[s] = 1 + 8>>min(s/8, 4)
	}
	for s := range 32 {
		p.offsets[s] = 2
	}
	p.offsets[0] = 8
	p.set()
}

// learn counts what was chosen for a part of the block; older parts weigh half.
func (p *prices) learn(src []byte, list []sequence, r repeats) {
	for _, t := range []*[256]uint32{&p.literals, &p.lengths, &p.matchLengths, &p.offsets} {
		for s, c := range t {
			t[s] = (c + 1) / 2
		}
	}
	at := 0
	for _, s := range list {
		for _, b := range src[at : at+int(s.literals)] {
			p.literals[b] += 2
		}
		at += int(s.literals + s.length)
		p.lengths[literalCode(s.literals)] += 2
		if s.length > 0 {
			p.matchLengths[matchCode(s.length)] += 2
			p.offsets[offsetCode(r.code(s.distance, s.literals))] += 2
		}
	}
	p.set()
}

func (p *prices) set() {
	fill := func(out []int32, counts []uint32, extra []uint8, least int32) {
		total := uint32(0)
		for _, c := range counts {
			total += c
		}
		all := price(total)
		for s, c := range counts {
			out[s] = max(all-price(max(c, 1)), least)
			if extra != nil {
				out[s] += int32(extra[s]) * priceBit
			}
		}
	}
	fill(p.literal[:], p.literals[:], nil, priceBit/2)
	fill(p.runs[:], p.lengths[:36], literalBits[:], 0)
	fill(p.matches[:], p.matchLengths[:53], matchBits[:], 0)
	fill(p.offset[:], p.offsets[:32], nil, 0)
	for s := range p.offset {
		p.offset[s] += int32(s) * priceBit
	}
	for n := range p.length {
		p.length[n] = p.runs[literalCode(uint32(n))]
	}
	for n := 3; n < maxMatchPrice; n++ {
		p.match[n] = p.matches[matchCode(uint32(n))]
	}
}

func (p *prices) run(n uint32) int32 {
	if n < maxLiteralPrice {
		return p.length[n]
	}
	return p.runs[literalCode(min(n, maxPart))] // longer runs will be cut
}

func (p *prices) matchLength(n uint32) int32 {
	if n < maxMatchPrice {
		return p.match[n]
	}
	return p.matches[matchCode(n)]
}

var logs = func() (t [1024]float64) {
	for i := range t {
		t[i] = math.Log2(float64(max(i, 1)))
	}
	return t
}()

// log2 is math.Log2 by a table.
func log2(v uint32) float64 {
	if v < uint32(len(logs)) {
		return logs[v]
	}
	shift := bits.Len32(v) - 10
	return logs[v>>shift] + float64(shift)
}

func price(v uint32) int32 { return int32(log2(v) * priceBit) }
