package squashfs

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"imgbuild/init/contract/zstdblock"
)

const compressionZstd = 6 // squashfs_super_block.compression

// encoder compresses independent blocks. It may be used from as many goroutines at a time as it was
// made for.
type encoder struct {
	free chan *worker
	name string // begins every cache key: all that decides the bytes of a compressed block
}

// worker encodes with our own encoder and decodes with the library's decoder: no block goes into an
// image that somebody else's code did not give back as it was.
type worker struct {
	zstdblock.Encoder
	check *zstd.Decoder
	plain []byte
}

func newEncoder(workers int) (*encoder, error) {
	e := &encoder{free: make(chan *worker, workers), name: fmt.Sprintf("zstdblock version %d\n", zstdblock.Version)}
	for range workers {
		check, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		e.free <- &worker{check: check}
	}
	return e, nil
}

// compress appends the compressed src to dst. ok is false if that would save nothing, or if the
// result does not decode to src: a defect of the encoder then costs space, never a file.
func (e *encoder) compress(dst, src []byte) (out []byte, ok bool) {
	w := <-e.free
	defer func() { e.free <- w }()
	out = w.Encode(dst, src)
	if len(out)-len(dst) >= len(src) {
		return out, false
	}
	plain, err := w.check.DecodeAll(out[len(dst):], w.plain[:0])
	w.plain = plain
	return out, err == nil && bytes.Equal(plain, src)
}

func (e *encoder) key(block []byte) (key [32]byte) {
	h := sha256.New()
	h.Write([]byte(e.name))
	h.Write(block)
	h.Sum(key[:0])
	return key
}
