package zstdblock

import "math"

// sequence is a run of literals and the match after it. distance is how far back the match is, in
// bytes.
type sequence struct {
	literals, length, distance uint32
}

// coded is a sequence as codes.
type coded struct {
	literal, match, offset uint8
	value                  uint32 // of the offset, with the repeat codes 1 to 3
}

const (
	modePredefined = 0
	modeRLE        = 1
	modeFSE        = 2
)

// repeats are the three last distances, most recent first; RFC 8878, 3.1.1.5.
type repeats [3]uint32

// code returns the offset value for a distance, and updates the repeats.
func (r *repeats) code(distance, literals uint32) uint32 {
	shift := 0 // after no literals, repeat codes mean the second, the third, and the first less one
	if literals == 0 {
		shift = 1
	}
	for i := shift; i < 3; i++ {
		if r[i] == distance {
			copy(r[1:i+1], r[:i])
			r[0] = distance
			return uint32(i - shift + 1)
		}
	}
	value := distance + 3
	if shift == 1 && r[0]-1 == distance {
		value = 3
	}
	r[2], r[1], r[0] = r[1], r[0], distance
	return value
}

// appendSequences appends a sequences section, RFC 8878, 3.1.1.3.2. It moves the repeats on.
func (e *Encoder) appendSequences(out []byte, list []sequence, r *repeats) []byte {
	n := len(list)
	switch {
	case n < 128:
		out = append(out, byte(n))
	case n < 0x7f00:
		out = append(out, byte(n>>8)+128, byte(n))
	default:
		out = append(out, 255, byte(n-0x7f00), byte((n-0x7f00)>>8))
	}
	if n == 0 {
		return out
	}
	e.codes = e.codes[:0]
	var literals, matches, offsets [maxSymbols]uint32
	for _, s := range list {
		c := coded{literal: literalCode(s.literals), match: matchCode(s.length), value: r.code(s.distance, s.literals)}
		c.offset = offsetCode(c.value)
		literals[c.literal]++
		matches[c.match]++
		offsets[c.offset]++
		e.codes = append(e.codes, c)
	}
	modes := len(out)
	out = append(out, 0)
	var tables [3]*fseTable
	for i, t := range []struct {
		counts     *[maxSymbols]uint32
		predefined *fseTable
		limit      uint
	}{{&literals, predefinedLiteral, 9}, {&offsets, predefinedOffset, 8}, {&matches, predefinedMatch, 9}} {
		var mode byte
		tables[i], mode, out = e.tables[i].choose(out, t.counts, uint32(n), t.predefined, t.limit)
		out[modes] |= mode << (6 - 2*i)
	}
	return appendCodes(out, list, e.codes, tables)
}

// choose takes the cheapest way to describe a table, appends the description, and returns the
// table; nil for a single symbol.
func (t *fseTable) choose(out []byte, counts *[maxSymbols]uint32, total uint32, fixed *fseTable, limit uint) (*fseTable, byte, []byte) {
	used, last := 0, 0
	for s, c := range counts {
		if c > 0 {
			used++
			last = s
		}
	}
	if used == 1 && total > 2 {
		return nil, modeRLE, append(out, byte(last))
	}
	price := fixed.price(counts)
	if used > 1 {
		t.normalize(counts[:], total, tableLog(total, used, limit))
		before := len(out)
		out = t.appendHeader(out)
		if t.price(counts)+int64(8*priceBit*(len(out)-before)) < price {
			t.set()
			return t, modeFSE, out
		}
		out = out[:before]
	}
	if price == impossible { // one symbol, which the predefined table lacks
		return nil, modeRLE, append(out, byte(last))
	}
	return fixed, modePredefined, out
}

const impossible = math.MaxInt64 / 2

// price estimates what encoding counts will cost; impossible if the table lacks a symbol.
func (t *fseTable) price(counts *[maxSymbols]uint32) int64 {
	sum := int64(0)
	for s, c := range counts {
		if c == 0 {
			continue
		}
		if s >= t.top || t.norm[s] == 0 {
			return impossible
		}
		sum += int64(c) * int64(int32(t.log)*priceBit-price(uint32(max(t.norm[s], 1))))
	}
	return sum
}

// appendCodes appends the bit stream, last sequence first. Tables are for literals, offsets,
// matches.
func appendCodes(out []byte, list []sequence, codes []coded, tables [3]*fseTable) []byte {
	w := bitWriter{out: out}
	var state [3]uint32
	encode := func(i int, s uint8, first bool) {
		if t := tables[i]; t == nil {
			return
		} else if first {
			state[i] = t.start(s)
		} else {
			state[i] = t.encode(&w, state[i], s)
		}
	}
	for i := len(list) - 1; i >= 0; i-- {
		c, s, first := &codes[i], &list[i], i == len(list)-1
		encode(1, c.offset, first)
		encode(2, c.match, first)
		encode(0, c.literal, first)
		w.add(s.literals-literalBase[c.literal], uint(literalBits[c.literal]))
		w.add(s.length-matchBase[c.match], uint(matchBits[c.match]))
		w.add(c.value-1<<c.offset, uint(c.offset))
	}
	for _, i := range []int{2, 1, 0} {
		if t := tables[i]; t != nil {
			t.finish(&w, state[i])
		}
	}
	w.end()
	return w.out
}
