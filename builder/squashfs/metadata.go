package squashfs

import "encoding/binary"

const (
	metadataSize = 8 << 10 // uncompressed bytes of a metadata block
	metadataRaw  = 1 << 15 // in a block's header: stored as it is
)

var le = binary.LittleEndian

// metadata collects a stream that is cut into compressed blocks of 8 KiB, each after a 16-bit
// header with its size.
type metadata struct {
	encoder *encoder
	buf     []byte // the block being filled, always shorter than metadataSize
	out     []byte // finished blocks
	blocks  []int  // start of each finished block in out
}

// place is where the next byte goes: the start of its block in the compressed stream, and the
// offset in the block.
func (m *metadata) place() (block uint32, offset uint16) {
	return uint32(len(m.out)), uint16(len(m.buf))
}

// ref is place in the form that inode and xattr references have.
func (m *metadata) ref() uint64 { return uint64(len(m.out))<<16 | uint64(len(m.buf)) }

func (m *metadata) write(p []byte) {
	for len(p) > 0 {
		n := min(metadataSize-len(m.buf), len(p))
		m.buf = append(m.buf, p[:n]...)
		p = p[n:]
		if len(m.buf) == metadataSize {
			m.flush()
		}
	}
}

func (m *metadata) flush() {
	if len(m.buf) == 0 {
		return
	}
	start := len(m.out)
	m.blocks = append(m.blocks, start)
	m.out = append(m.out, 0, 0)
	out, ok := m.encoder.compress(m.out, m.buf)
	header := uint16(len(out) - start - 2)
	if !ok {
		out = append(m.out, m.buf...)
		header = uint16(len(m.buf)) | metadataRaw
	}
	m.out = out
	le.PutUint16(m.out[start:], header)
	m.buf = m.buf[:0]
}

// table returns the flushed stream as it is in the image from position at on, followed by the
// 64-bit positions of its blocks; list is where those begin. Fragments, ids, exports and xattr ids
// are stored in this way.
func (m *metadata) table(at int64) (data []byte, list int64) {
	m.flush()
	data = m.out
	list = at + int64(len(data))
	for _, start := range m.blocks {
		data = le.AppendUint64(data, uint64(at+int64(start)))
	}
	return data, list
}
