package disks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// What is looked at of a disk that may be blank.
const (
	blankEnds    = 4 << 20
	blankSamples = 64
	blankSample  = 4 << 10
)

// Blank reports whether a device of a size holds nothing: its first and last 4 MiB and 64 samples
// of 4 KiB spread over it are zeros. That leaves no place for a partition table or for a signature
// that blkid knows. One that cannot be read is not blank.
func Blank(r io.ReaderAt, size int64) (bool, error) {
	if size <= 0 {
		return false, errors.New("it has no size")
	}
	type span struct{ at, length int64 }
	end := min(int64(blankEnds), size)
	list := []span{{0, end}, {size - end, end}}
	for i := range int64(blankSamples) {
		at := size / (blankSamples + 1) * (i + 1) / blankSample * blankSample
		list = append(list, span{at, min(blankSample, size-at)})
	}
	buf, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	for _, s := range list {
		for s.length > 0 {
			part := buf[:min(s.length, int64(len(buf)))]
			if _, err := r.ReadAt(part, s.at); err != nil && !(errors.Is(err, io.EOF) && s.at+int64(len(part)) == size) {
				return false, fmt.Errorf("reading at %d: %w", s.at, err)
			}
			if !bytes.Equal(part, zeros[:len(part)]) {
				return false, nil
			}
			s.at, s.length = s.at+int64(len(part)), s.length-int64(len(part))
		}
	}
	return true, nil
}
