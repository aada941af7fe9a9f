package squashfs

import (
	"crypto/sha256"
	"fmt"

	"imgbuild/builder/squashfs/zstdblock"
)

const compressionZstd = 6 // squashfs_super_block.compression

// encoder compresses independent blocks. It may be used from as many goroutines at a time as it was made for.
type encoder struct {
	free chan *zstdblock.Encoder
	name string // begins every cache key: all that decides the bytes of a compressed block
}

func newEncoder(workers int) *encoder {
	e := &encoder{free: make(chan *zstdblock.Encoder, workers), name: fmt.Sprintf("zstdblock version %d\n", zstdblock.Version)}
	for range workers {
		e.free <- new(zstdblock.Encoder)
	}
	return e
}

// compress appends the compressed src to dst. ok is false if that would save nothing.
func (e *encoder) compress(dst, src []byte) (out []byte, ok bool) {
	z := <-e.free
	out = z.Encode(dst, src)
	e.free <- z
	return out, len(out)-len(dst) < len(src)
}

func (e *encoder) key(block []byte) (key [32]byte) {
	h := sha256.New()
	h.Write([]byte(e.name))
	h.Write(block)
	h.Sum(key[:0])
	return key
}
