package squashfs

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// codecName goes into every cache key. It names all that decides the compressed bytes, so that a cache never mixes the
// output of two versions of the encoder; a test compares it with go.mod.
const codecName = "zstd klauspost/compress v1.20.3 best in pieces of 16384"

const compressionZstd = 6 // squashfs_super_block.compression

// piece is how many bytes the encoder gets at a time. Each piece becomes a zstd block with entropy tables of its own,
// which for programs beats the encoder's usual 128 KiB: 2 % smaller than whole blocks, where 8 KiB and 24 KiB are worse.
const piece = 16 << 10

// encoder compresses independent blocks. It may be used from as many goroutines at a time as it was made for.
type encoder struct {
	free chan *zstd.Encoder
	name string
}

// newEncoder makes an encoder for blocks of up to blockSize bytes. The kernel decodes with a window of one block, so the
// window must not be larger. The frame's checksum is left out: the kernel does not look at it, verity covers the image.
func newEncoder(blockSize, workers int) (*encoder, error) {
	window := max(blockSize, metadataSize)
	e := &encoder{free: make(chan *zstd.Encoder, workers), name: fmt.Sprintf("%s window %d\n", codecName, window)}
	for range workers {
		z, err := zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.SpeedBestCompression),
			zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(window),
			zstd.WithEncoderCRC(false),
		)
		if err != nil {
			return nil, err
		}
		e.free <- z
	}
	return e, nil
}

// compress appends the compressed src to dst. ok is false if that would save nothing.
func (e *encoder) compress(dst, src []byte) (out []byte, ok bool) {
	z := <-e.free
	defer func() { e.free <- z }()
	if len(src) <= piece {
		out = z.EncodeAll(src, dst)
		return out, len(out)-len(dst) < len(src)
	}
	b := bytes.NewBuffer(dst)
	z.Reset(b)
	// Nothing of this can fail: the buffer takes everything.
	for rest := src; len(rest) > 0; {
		n := min(piece, len(rest))
		z.Write(rest[:n])
		if rest = rest[n:]; len(rest) > 0 {
			z.Flush()
		}
	}
	z.Close()
	out = b.Bytes()
	return out, len(out)-len(dst) < len(src)
}

func (e *encoder) key(block []byte) (key [32]byte) {
	h := sha256.New()
	h.Write([]byte(e.name))
	h.Write(block)
	h.Sum(key[:0])
	return key
}
