package debian

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"path"

	"github.com/klauspost/compress/zstd"

	"imgbuild/builder/xz"
)

// maxDict bounds the dictionary of an xz stream and the window of a zstd frame, in bytes: xz -9
// takes 64 MiB.
const maxDict = 128 << 20

// decompress returns the plain bytes of r, whose name shows by its ending how it is compressed.
// release gives the decoder back; plain must not be used after that.
func decompress(name string, r io.Reader) (plain io.Reader, release func(), err error) {
	switch ext := path.Ext(name); ext {
	case ".xz":
		z := xz.NewReader(r, maxDict)
		return z, z.Close, nil
	case ".zst":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxDict), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, err
		}
		return d, d.Close, nil
	case ".gz":
		plain, err = gzip.NewReader(r)
		return plain, func() {}, err
	case "", ".tar":
		return r, func() {}, nil
	default:
		return nil, nil, fmt.Errorf("%s: the compression %q is not supported (xz, zst, gz and none are)", name, ext)
	}
}

// bounded returns an error instead of more than left bytes: a small file must not fill the disk or
// the memory.
type bounded struct {
	r    io.Reader
	left int64
	what string
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		n, err := io.ReadFull(b.r, one[:])
		if n > 0 {
			return 0, fmt.Errorf("%s is larger than it may be", b.what)
		}
		return 0, err
	}
	p = p[:min(int64(len(p)), b.left)]
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// readAll reads all of r, at most limit bytes.
func readAll(r io.Reader, limit int64, what string) ([]byte, error) {
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(&bounded{r, limit, what}); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
