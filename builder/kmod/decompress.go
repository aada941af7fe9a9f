package kmod

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"imgbuild/builder/xz"
)

// moduleMax bounds a module's size: the largest of Debian's has 15 MiB.
const moduleMax = 256 << 20

// dictMax bounds the dictionary that an xz file may ask for.
const dictMax = 64 << 20

// Decompress returns a module's plain bytes; the first bytes show how it is compressed. A plain one
// is returned as it is.
func Decompress(data []byte) ([]byte, error) {
	var r io.Reader
	switch {
	case bytes.HasPrefix(data, []byte(xz.Magic)):
		x := xz.NewReader(bytes.NewReader(data), dictMax)
		defer x.Close()
		r = x
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		g, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		r = g
	case bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(moduleMax))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		defer z.Close()
		r = z
	default:
		return data, nil
	}
	var out bytes.Buffer
	out.Grow(4 * len(data))
	n, err := io.Copy(&out, io.LimitReader(r, moduleMax+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("decompress: %w", err)
	case n > moduleMax:
		return nil, fmt.Errorf("decompress: more than %d bytes", moduleMax)
	}
	return out.Bytes(), nil
}
