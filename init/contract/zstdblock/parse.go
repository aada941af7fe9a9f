package zstdblock

import (
	"encoding/binary"
	"math"
	"slices"
)

const (
	// sufficient is the length of a match that is taken without looking for something better.
	sufficient = 48

	// goodRepeat is the length of a match at a repeated distance that is not worth a search for
	// others.
	goodRepeat = 12

	// hopeless is by how much a position may be more expensive than the next one and still be
	// searched for matches. At two bits half of the time is saved for 0.6 % of size; at two and a
	// half 2.6 % are lost.
	hopeless = 2 * priceBit

	// perMatch is what a match costs beyond its bits: the decoder's time, which is longer for a
	// match than for a few literals. It saves 5 % of its instructions for 0.3 % of size; at four
	// bits 12 % for 1.6 %.
	perMatch = 2 * priceBit

	// span is how many bytes are parsed at a time. Prices are learned from span to span.
	span = 8 << 10
)

// step is the cheapest known way to a position of the span.
type step struct {
	price    int32
	length   uint32 // of the match that ends here; 0 for a literal
	distance uint32
	run      uint32 // literals since the last match
	repeats  repeats
}

// parser finds the cheapest sequences for a block: a shortest path, from each position over one
// literal, or over matches of all lengths, to later ones.
type parser struct {
	finder finder
	prices prices
	steps  [span + 1]step
	found  []match
	part   []sequence
}

// parse appends the sequences for src to list. r are the decoder's repeats before src. A sequence
// without a match is the last one, or precedes literals that go on.
func (p *parser) parse(list []sequence, src []byte, r repeats) []sequence {
	p.finder.reset()
	p.prices.begin(src)
	run := uint32(0)
	for at := 0; at < len(src); at += span {
		end := min(at+span, len(src))
		before := run
		p.part = p.parseSpan(p.part[:0], src, at, end, r, &run)
		if len(p.part) == 0 {
			continue
		}
		p.prices.learn(src[at-int(before):end], p.part, r)
		for _, s := range p.part {
			r.code(s.distance, s.literals)
			list = appendCut(list, s)
		}
	}
	if run > 0 {
		list = appendCut(list, sequence{literals: run})
	}
	return list
}

// appendCut appends a sequence, cut into several if it is very long.
func appendCut(list []sequence, s sequence) []sequence {
	for ; s.literals > maxPart; s.literals -= maxPart {
		list = append(list, sequence{literals: maxPart})
	}
	for s.length > maxPart {
		n := min(maxPart, s.length-3)
		list = append(list, sequence{s.literals, n, s.distance})
		s.literals, s.length = 0, s.length-n
	}
	return append(list, s)
}

// parseSpan appends the sequences of src[at:end]. run is the number of literals before at that no
// sequence has yet; it becomes the number of those before end.
func (p *parser) parseSpan(list []sequence, src []byte, at, end int, r repeats, run *uint32) []sequence {
	steps := p.steps[:end-at+1]
	for i := range steps {
		steps[i].price = math.MaxInt32
	}
	steps[0] = step{run: *run, repeats: r}
	pr := &p.prices
	// After the last positions there are not enough bytes to look at.
	searchable := min(end, len(src)-hashBytes)
	size := uint32(end - at)
	for i := uint32(0); i < size; {
		s := &steps[i]
		pos := uint32(at) + i
		if i > 0 {
			p.arrive(steps, i)
		}
		// One literal.
		if c := s.price + pr.literal[src[pos]] + pr.run(s.run+1) - pr.run(s.run); c < steps[i+1].price {
			n := &steps[i+1]
			n.price, n.length, n.run = c, 0, s.run+1
		}
		if int(pos) >= searchable {
			i++
			continue
		}
		// A match that begins here must beat the one that an earlier step has over this byte. It
		// rarely does.
		if steps[i+1].price <= s.price+hopeless {
			p.finder.insert(src, pos)
			i++
			continue
		}
		base := s.price + pr.run(0) + perMatch
		limit := size - i
		best := uint32(2)
		jump := uint32(0)
		v := binary.LittleEndian.Uint32(src[pos:])
		// The repeated distances, which are cheap.
		for k := range uint32(3) {
			d, code := s.repeats[k], uint8(0)
			if s.run == 0 {
				if k < 2 {
					d = s.repeats[k+1]
				} else {
					d = s.repeats[0] - 1
				}
			}
			if k > 0 {
				code = 1
			}
			if d-1 >= pos || (binary.LittleEndian.Uint32(src[pos-d:])^v)<<8 != 0 {
				continue
			}
			n := matchLength(src, pos-d, pos)
			if n <= best && k > 0 {
				continue
			}
			jump = relax(steps, pr, i, base+pr.offset[code], match{min(n, limit), d}, 3)
			best = max(best, n)
			if jump > 0 {
				break
			}
		}
		if jump == 0 && best >= goodRepeat {
			p.finder.insert(src, pos)
		} else if jump == 0 {
			p.found = p.finder.find(p.found[:0], src, pos, best)
			from := best + 1
			for _, m := range p.found {
				full := m.length
				m.length = min(m.length, limit)
				jump = relax(steps, pr, i, base+pr.offset[offsetCode(m.distance+3)], m, from)
				from = full + 1
			}
		} else {
			p.finder.insert(src, pos)
		}
		if jump == 0 {
			i++
			continue
		}
		// Enter what is skipped; of a very long match the ends are enough.
		for k := uint32(1); k < jump; k++ {
			if k == 256 && jump > 512 {
				k = jump - 256
			}
			if int(pos+k) < len(src)-hashBytes {
				p.finder.insert(src, pos+k)
			}
		}
		i += jump
	}
	p.arrive(steps, size)
	return p.trace(list, steps, run)
}

// relax enters the match m at step i into the steps that its lengths from shortest on lead to. It
// returns the length if the match is long enough to be taken as it is.
func relax(steps []step, pr *prices, i uint32, base int32, m match, shortest uint32) (jump uint32) {
	if m.length >= sufficient {
		n := &steps[i+m.length]
		if c := base + pr.matchLength(m.length); c < n.price {
			n.price, n.length, n.distance, n.run = c, m.length, m.distance, 0
		}
		return m.length
	}
	if m.length < shortest {
		return 0
	}
	ends := steps[i+shortest : i+m.length+1]
	costs := pr.match[shortest : m.length+1]
	for k := range ends {
		if c := base + costs[k]; c < ends[k].price {
			n := &ends[k]
			n.price, n.length, n.distance, n.run = c, shortest+uint32(k), m.distance, 0
		}
	}
	return 0
}

// arrive sets the repeats of step i, now that the way to it is certain.
func (p *parser) arrive(steps []step, i uint32) {
	s := &steps[i]
	if s.length == 0 {
		s.repeats = steps[i-1].repeats
		return
	}
	from := &steps[i-s.length]
	s.repeats = from.repeats
	s.repeats.code(s.distance, from.run)
}

// trace goes the cheapest way back from the last step and appends its sequences. run becomes the
// literals after them.
func (p *parser) trace(list []sequence, steps []step, run *uint32) []sequence {
	first := len(list)
	i := uint32(len(steps) - 1)
	back := steps[i].run
	*run = back
	for back < i { // else the literals reach back to the first step, or beyond
		i -= back
		s := &steps[i]
		i -= s.length
		back = steps[i].run
		list = append(list, sequence{literals: back, length: s.length, distance: s.distance})
	}
	slices.Reverse(list[first:])
	return list
}
