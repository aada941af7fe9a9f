package squashfs

import (
	"crypto/sha256"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// codecName goes into every cache key. It names all that decides the compressed bytes, so that a cache never mixes the
// output of two versions of the encoder; a test compares it with go.mod.
const codecName = "zstd klauspost/compress v1.20.3 best"

const compressionZstd = 6 // squashfs_super_block.compression

// encoder compresses independent blocks. It may be used from as many goroutines at a time as it was made for.
type encoder struct {
	zstd *zstd.Encoder
	name string
}

// newEncoder makes an encoder for blocks of up to blockSize bytes. The kernel decodes with a window of one block, so the
// window must not be larger. The frame's checksum is left out: the kernel does not look at it, verity covers the image.
func newEncoder(blockSize, workers int) (*encoder, error) {
	z, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithEncoderConcurrency(workers),
		zstd.WithWindowSize(max(blockSize, metadataSize)),
		zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true),
	)
	if err != nil {
		return nil, err
	}
	return &encoder{zstd: z, name: fmt.Sprintf("%s window %d\n", codecName, max(blockSize, metadataSize))}, nil
}

func (e *encoder) close() { e.zstd.Close() }

// compress appends the compressed src to dst. ok is false if that would save nothing.
func (e *encoder) compress(dst, src []byte) (out []byte, ok bool) {
	out = e.zstd.EncodeAll(src, dst)
	return out, len(out)-len(dst) < len(src)
}

func (e *encoder) key(block []byte) (key [32]byte) {
	h := sha256.New()
	h.Write([]byte(e.name))
	h.Write(block)
	h.Sum(key[:0])
	return key
}
