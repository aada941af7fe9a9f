package zstdblock

import "encoding/binary"

// bitWriter appends bits, the lowest first. The streams of zstd are read from their end backwards,
// so what is to be read first is written last.
type bitWriter struct {
	out  []byte
	acc  uint64
	bits uint
}

// add appends the n lowest bits of v, at most 32; the bits of v above them must be zero.
func (w *bitWriter) add(v uint32, n uint) {
	w.acc |= uint64(v) << w.bits
	if w.bits += n; w.bits >= 32 {
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(w.acc))
		w.acc >>= 32
		w.bits -= 32
	}
}

// flush fills the last byte up with zeros.
func (w *bitWriter) flush() {
	for w.bits > 0 {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
		w.bits -= min(w.bits, 8)
	}
	w.acc = 0
}

// end closes a stream with the one bit that shows a reader where to begin.
func (w *bitWriter) end() {
	w.add(1, 1)
	w.flush()
}
