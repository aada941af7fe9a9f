package slot

import (
	"crypto/sha256"
	"io"
)

// reader reads a slot from its start to its end, whole chunks at a time.
type reader struct {
	device Device
	base   int64 // of the slot on the disk
	at     int64 // in the slot: the next byte of the device to read
	end    int64 // of the slot
	chunk  [Chunk]byte
	left   []byte // of chunk, not yet given out
}

func (r *reader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		n := min(Chunk-r.at%Chunk, r.end-r.at)
		if n <= 0 {
			return 0, io.EOF
		}
		if _, err := r.device.ReadAt(r.chunk[:n], r.base+r.at); err != nil {
			return 0, err
		}
		r.at, r.left = r.at+n, r.chunk[:n]
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// skip leaves out n bytes at the beginning, whole sectors.
func (r *reader) skip(n int64) { r.at = n }

// sum hashes the next n bytes.
func (r *reader) sum(n int64) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	if _, err := io.CopyN(h, r, n); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}
