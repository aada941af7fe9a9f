package zstdblock

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/cespare/xxhash/v2"
)

// StreamVersion changes whenever a Writer may make other bytes of the same input.
const StreamVersion = 2

// Part is how much of its input a Writer compresses at a time. Matches do not leave a part, so that
// it is the window too.
const Part = MaxBlock

// Writer compresses a stream of any length into one zstd frame with a checksum. Its tables and
// buffers take about 5 MiB.
//
// One frame, because the kernel takes no more than one for each archive of an initramfs. The result
// does not depend on how the input is cut into writes.
type Writer struct {
	w       io.Writer
	encoder Encoder
	part    []byte
	out     []byte
	sum     xxhash.Digest
	repeats repeats
	began   bool
	err     error
}

// NewWriter returns a writer of a frame to w. Close it to end the frame; w stays open.
func NewWriter(w io.Writer) *Writer {
	z := &Writer{w: w, part: make([]byte, 0, Part), repeats: repeats{1, 4, 8}}
	z.sum.Reset()
	return z
}

// Write takes a piece of the input. After an error every call returns that error.
func (z *Writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 && z.err == nil {
		if len(z.part) == Part { // only now it is known not to be the last one
			z.flush(false)
		}
		k := min(len(p), Part-len(z.part))
		z.part = append(z.part, p[:k]...)
		n, p = n+k, p[k:]
	}
	return n, z.err
}

// Close ends the frame.
func (z *Writer) Close() error {
	if z.err == nil {
		z.flush(true)
	}
	if z.err == nil {
		z.err = errClosed
		return nil
	}
	return z.err
}

var errClosed = errors.New("zstdblock: the frame has ended")

// flush writes the part that is there.
func (z *Writer) flush(last bool) {
	z.out = z.out[:0]
	if !z.began {
		// The descriptor has: a checksum, no content size, no single segment; then the window of 1
		// MiB.
		z.out = append(binary.LittleEndian.AppendUint32(z.out, magic), 0x04, 0x50)
		z.began = true
	}
	z.sum.Write(z.part)
	z.out = z.encoder.appendBlocks(z.out, z.part, &z.repeats, last)
	if last {
		z.out = binary.LittleEndian.AppendUint32(z.out, uint32(z.sum.Sum64()))
	}
	z.part = z.part[:0]
	_, z.err = z.w.Write(z.out)
}
