package zstdblock

import "math/bits"

const (
	maxSymbols  = 53 // match length codes, the largest alphabet of FSE here
	maxTableLog = 9
)

// fseTable encodes symbols with finite state entropy, section 4.1 of RFC 8878.
type fseTable struct {
	log    uint
	norm   [maxSymbols]int16 // normalized counts; -1 is "less than one"
	top    int               // symbols are below
	states [1 << maxTableLog]uint16
	delta  [maxSymbols]struct {
		bits  uint32
		state int32
	}
}

// set makes the table of the counts in t.norm, which sum up to 1<<t.log.
func (t *fseTable) set() {
	size := 1 << t.log
	var symbols [1 << maxTableLog]uint8
	var next [maxSymbols + 1]int
	high := size - 1
	for s := range t.top {
		n := int(t.norm[s])
		if n == -1 {
			symbols[high] = uint8(s)
			high--
			n = 1
		}
		next[s+1] = next[s] + n
	}
	step, at := size>>1+size>>3+3, 0
	for s := range t.top {
		for range t.norm[s] {
			symbols[at] = uint8(s)
			for at = (at + step) & (size - 1); at > high; {
				at = (at + step) & (size - 1)
			}
		}
	}
	for i, s := range symbols[:size] {
		t.states[next[s]] = uint16(size + i)
		next[s]++
	}
	total := int32(0)
	for s := range t.top {
		d := &t.delta[s]
		switch n := int32(t.norm[s]); n {
		case 0:
		case -1, 1:
			d.bits, d.state = uint32(t.log)<<16-1<<t.log, total-1
			total++
		default:
			out := uint32(t.log) - uint32(bits.Len32(uint32(n-1))-1)
			d.bits, d.state = out<<16-uint32(n)<<out, total-n
			total += n
		}
	}
}

// normalize scales counts with a total of at least two different symbols to 1<<log.
func (t *fseTable) normalize(counts []uint32, total uint32, log uint) {
	t.log, t.top = log, 0
	left, largest := int32(1)<<log, 0
	for s, c := range counts {
		t.norm[s] = 0
		if c == 0 {
			continue
		}
		n := max(1, int32((uint64(c)<<log+uint64(total)/2)/uint64(total)))
		t.norm[s] = int16(n)
		left -= n
		t.top = s + 1
		if t.norm[s] > t.norm[largest] || t.norm[largest] == 0 {
			largest = s
		}
	}
	for left < 0 {
		// Take from the one that loses least: the largest.
		for s := range t.top {
			if t.norm[s] > t.norm[largest] {
				largest = s
			}
		}
		take := min(-left, max(1, int32(t.norm[largest])/8))
		t.norm[largest] -= int16(take)
		left += take
	}
	t.norm[largest] += int16(left)
}

// tableLog chooses the accuracy for a number of symbols to encode.
func tableLog(total uint32, symbols int, limit uint) uint {
	log := uint(max(bits.Len32(total-1)-2, bits.Len(uint(symbols))+1, 5))
	return min(log, limit)
}

// appendHeader appends the table's description, section 4.1.1.
func (t *fseTable) appendHeader(out []byte) []byte {
	w := bitWriter{out: out}
	w.add(uint32(t.log-5), 4)
	remaining, threshold, n := int32(1)<<t.log+1, int32(1)<<t.log, t.log+1
	zero := false
	for s := 0; s < t.top && remaining > 1; {
		if zero {
			start := s
			for t.norm[s] == 0 {
				s++
			}
			for ; s >= start+3; start += 3 {
				w.add(3, 2)
			}
			w.add(uint32(s-start), 2)
		}
		count := int32(t.norm[s])
		s++
		limit := 2*threshold - 1 - remaining
		remaining -= max(count, -count)
		count++
		zero = count == 1
		if count >= threshold {
			count += limit
		}
		if count < limit {
			w.add(uint32(count), n-1)
		} else {
			w.add(uint32(count), n)
		}
		for remaining < threshold {
			n--
			threshold >>= 1
		}
	}
	w.flush()
	return w.out
}

// start returns the state in which the last symbol is encoded, the first one to be decoded last.
func (t *fseTable) start(s uint8) uint32 {
	d := &t.delta[s]
	out := (d.bits + 1<<15) >> 16
	return uint32(t.states[int32((out<<16-d.bits)>>out)+d.state])
}

// encode appends symbol s and returns the next state.
func (t *fseTable) encode(w *bitWriter, state uint32, s uint8) uint32 {
	d := &t.delta[s]
	out := (state + d.bits) >> 16
	w.add(state&(1<<out-1), uint(out))
	return uint32(t.states[int32(state>>out)+d.state])
}

// finish appends a state, for the decoder to begin with.
func (t *fseTable) finish(w *bitWriter, state uint32) { w.add(state&(1<<t.log-1), t.log) }
