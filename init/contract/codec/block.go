package codec

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"imgbuild/init/contract/zstdblock"
)

// metaRaw in the header of a metadata block marks it as stored uncompressed.
const metaRaw = 1 << 15

// Encode appends the stored form of a content of the kind Raw, Block or Meta. It needs an Encoder
// of its own for each goroutine.
func Encode(dst []byte, e *zstdblock.Encoder, k Kind, content []byte) ([]byte, error) {
	switch k {
	case Raw:
		return append(dst, content...), nil
	case Block:
		return e.Encode(dst, content), nil
	case Meta:
		at := len(dst)
		dst = e.Encode(append(dst, 0, 0), content)
		size := len(dst) - at - 2
		if size >= len(content) {
			dst = append(dst[:at+2], content...)
			size = len(content) | metaRaw
		}
		binary.LittleEndian.PutUint16(dst[at:], uint16(size))
		return dst, nil
	}
	return nil, fmt.Errorf("%s is not a block", k)
}

// Decoder takes blocks apart. It is for one goroutine.
type Decoder struct{ zstd *zstd.Decoder }

// NewDecoder returns a decoder that never makes more than it is asked for.
func NewDecoder() (*Decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
	return &Decoder{z}, err
}

// Decode returns the content of a stored Block or Meta, which must have exactly raw bytes, in dst,
// which must have the capacity for them.
func (d *Decoder) Decode(dst, stored []byte, k Kind, raw int64) ([]byte, error) {
	if int64(cap(dst)) < raw {
		return nil, fmt.Errorf("a content of %d bytes does not fit into %d", raw, cap(dst))
	}
	if k == Meta {
		if len(stored) < 2 {
			return nil, io.ErrUnexpectedEOF
		}
		h := binary.LittleEndian.Uint16(stored)
		stored = stored[2:]
		if int(h&^metaRaw) != len(stored) {
			return nil, fmt.Errorf("a metadata block of %d bytes claims %d", len(stored), h&^metaRaw)
		}
		if h&metaRaw != 0 {
			if int64(len(stored)) != raw {
				return nil, fmt.Errorf("a metadata block of %d bytes instead of %d", len(stored), raw)
			}
			return append(dst[:0], stored...), nil
		}
	}
	out, err := d.zstd.DecodeAll(stored, dst[:0:raw])
	if err == nil && int64(len(out)) != raw {
		err = fmt.Errorf("a block of %d bytes instead of %d", len(out), raw)
	}
	return out, err
}

// All appends the content of a frame, which may be as long as the capacity of dst.
func (d *Decoder) All(dst, frame []byte) ([]byte, error) { return d.zstd.DecodeAll(frame, dst) }

// NewReader reads a Gzip or Stream. The window of a frame may have 8 MiB.
func NewReader(k Kind, r io.Reader) (io.ReadCloser, error) {
	switch k {
	case Gzip:
		return gzip.NewReader(r)
	case Stream:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("%s is not a stream", k)
}
