package zstdblock

import "math/bits"

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

// logs are logarithms of small numbers in prices. They come from integers alone, because floating
// point is not the same on all processors, and one price more or less changes the image.
var logs = func() (t [1024]int32) {
	for v := uint64(1); v < uint64(len(t)); v++ {
		whole := bits.Len64(v) - 1
		x, fraction := v<<(31-whole), int32(0)
		for bit := int32(priceBit / 2); bit > 0; bit /= 2 {
			if x = x * x >> 31; x >= 2<<31 {
				x >>= 1
				fraction += bit
			}
		}
		t[v] = int32(whole)*priceBit + fraction
	}
	return t
}()

// price is the logarithm of v, at least 1, to the base 2 as a price: the bits by which something
// once in v times costs more.
func price(v uint32) int32 {
	if v < uint32(len(logs)) {
		return logs[v]
	}
	shift := bits.Len32(v) - 10
	return logs[v>>shift] + int32(shift)*priceBit
}
