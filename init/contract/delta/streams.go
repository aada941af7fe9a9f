package delta

import (
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"

	"imgbuild/init/contract/zstdblock"
)

// streams takes the streams of a delta apart. next returns the content of the next part, which must
// be of the stream asked for; it may use the buffer again that it is given.
type streams struct {
	next func(id int, buf []byte) ([]byte, error)
	rest [Streams][]byte
	bufs [Streams][]byte
}

func (s *streams) fill(id int) error {
	if len(s.rest[id]) > 0 {
		return nil
	}
	b, err := s.next(id, s.bufs[id][:0])
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return errDelta
	}
	s.bufs[id], s.rest[id] = b, b
	return nil
}

func (s *streams) byte(id int) (byte, error) {
	if err := s.fill(id); err != nil {
		return 0, err
	}
	b := s.rest[id][0]
	s.rest[id] = s.rest[id][1:]
	return b, nil
}

func (s *streams) uvarint(id int) (v uint64, err error) {
	for shift := uint(0); shift < 63; shift += 7 {
		b, err := s.byte(id)
		if err != nil {
			return 0, err
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errDelta
}

func (s *streams) varint(id int) (int64, error) {
	v, err := s.uvarint(id)
	return int64(v>>1) ^ -int64(v&1), err
}

// read fills p.
func (s *streams) read(id int, p []byte) error {
	for len(p) > 0 {
		if err := s.fill(id); err != nil {
			return err
		}
		n := copy(p, s.rest[id])
		p, s.rest[id] = p[n:], s.rest[id][n:]
	}
	return nil
}

// parts reads the parts of a delta from its source.
type parts struct {
	r      io.Reader
	left   int64 // bytes of the delta that were not read
	decode *zstd.Decoder
	packed []byte
	failed error // of r: not the delta's fault
}

// next is what streams needs.
func (p *parts) next(id int, buf []byte) ([]byte, error) {
	var h [PartHeader]byte
	if err := p.read(h[:]); err != nil {
		return nil, err
	}
	raw, size := int(h[1])|int(h[2])<<8|int(h[3])<<16, int(h[4])|int(h[5])<<8|int(h[6])<<16
	if int(h[0]) != id || raw == 0 || raw > Part || size > raw {
		return nil, errDelta
	}
	if cap(buf) < raw {
		buf = make([]byte, 0, raw)
	}
	if size == raw {
		return buf[:raw], p.read(buf[:raw])
	}
	if cap(p.packed) < size {
		p.packed = make([]byte, size)
	}
	packed := p.packed[:size]
	if err := p.read(packed); err != nil {
		return nil, err
	}
	out, err := p.decode.DecodeAll(packed, buf[:0:raw])
	if err != nil || len(out) != raw {
		return nil, errDelta
	}
	return out, nil
}

func (p *parts) read(b []byte) error {
	if int64(len(b)) > p.left {
		return errDelta
	}
	n, err := io.ReadFull(p.r, b)
	p.left -= int64(n)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		p.failed = err
	}
	return err
}

// AppendPart appends a part of the stream id, its header first.
func AppendPart(dst []byte, e *zstdblock.Encoder, id int, content []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, PartHeader)...)
	dst = e.Encode(dst, content)
	if len(dst)-at-PartHeader >= len(content) {
		dst = append(dst[:at+PartHeader], content...)
	}
	raw, size := len(content), len(dst)-at-PartHeader
	copy(dst[at:], []byte{byte(id), byte(raw), byte(raw >> 8), byte(raw >> 16), byte(size), byte(size >> 8), byte(size >> 16)})
	return dst
}
