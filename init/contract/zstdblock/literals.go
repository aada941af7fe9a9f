package zstdblock

import "encoding/binary"

const (
	literalsRaw        = 0
	literalsRLE        = 1
	literalsCompressed = 2
)

// appendLiterals appends a literals section, section 3.1.1.3.1 of RFC 8878.
func (e *Encoder) appendLiterals(out, lits []byte) []byte {
	n := len(lits)
	if n < 32 {
		return appendRaw(out, lits)
	}
	var counts [256]uint32
	for _, b := range lits {
		counts[b]++
	}
	if int(counts[lits[0]]) == n {
		return append(appendSize(out, literalsRLE, n), lits[0])
	}
	if !e.huffman.set(&counts) {
		return appendRaw(out, lits)
	}
	start := len(out)
	head, format := 3, 0
	switch {
	case n >= 1<<14:
		head, format = 5, 3
	case n >= 1<<10:
		head, format = 4, 2
	case n >= 256:
		format = 1
	}
	out = append(out, make([]byte, head)...)
	out = append(out, e.huffman.header...)
	if format == 0 {
		out = e.huffman.appendStream(out, lits)
	} else {
		jump := len(out)
		out = append(out, make([]byte, 6)...)
		quarter := (n + 3) / 4
		for i := range 4 {
			begin := len(out)
			out = e.huffman.appendStream(out, lits[i*quarter:min((i+1)*quarter, n)])
			if i < 3 {
				if len(out)-begin > 0xffff {
					return appendRaw(out[:start], lits)
				}
				binary.LittleEndian.PutUint16(out[jump+2*i:], uint16(len(out)-begin))
			}
		}
	}
	size := len(out) - start - head
	if size >= n {
		return appendRaw(out[:start], lits)
	}
	var h [8]byte
	width := [...]uint{10, 10, 14, 18}[format]
	binary.LittleEndian.PutUint64(h[:], literalsCompressed|uint64(format)<<2|uint64(n)<<4|uint64(size)<<(4+width))
	copy(out[start:], h[:head])
	return out
}

func appendRaw(out, lits []byte) []byte {
	return append(appendSize(out, literalsRaw, len(lits)), lits...)
}

// appendSize appends the header of raw and RLE literals.
func appendSize(out []byte, kind byte, n int) []byte {
	switch {
	case n < 1<<5:
		return append(out, kind|byte(n)<<3)
	case n < 1<<12:
		return binary.LittleEndian.AppendUint16(out, uint16(kind)|1<<2|uint16(n)<<4)
	}
	return append(out, kind|3<<2|byte(n)<<4, byte(n>>4), byte(n>>12))
}
