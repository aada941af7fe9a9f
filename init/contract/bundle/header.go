package bundle

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"

	"imgbuild/init/contract/fault"
)

// HeaderSize is the length of the header in bytes.
const HeaderSize = 512

// MaxDeltas is how many deltas one bundle holds.
const MaxDeltas = 8

// Limits of the parts that are read before anything is trusted, in bytes.
const (
	MaxManifest  = 64 << 10
	MaxSignature = 1 << 10
	MaxIndex     = 4 << 20
)

const headerMagic = "ShelfOS bundle\n\x01"

// Span is a part of the bundle's file, in bytes.
type Span struct{ Off, Size int64 }

// End is the first byte after it.
func (s Span) End() int64 { return s.Off + s.Size }

// Delta is a delta in the bundle: from which slot, and where.
type Delta struct {
	Base [32]byte // the slot it starts from: the sha256 of that slot's manifest.json
	Span
}

// Header has the places of the parts of a bundle. Manifest, signature and index follow it, then
// deltas, then pieces.
//
// In the file, little-endian: magic (16 bytes), lengths of manifest, signature and index (4 each),
// number of deltas (4), length of the pieces (8), for each of 8 deltas base (32) and length (8) or
// zeros, zeros, CRC32 of all before it (4).
type Header struct {
	Manifest, Signature, Index int64 // bytes
	Deltas                     []Delta
	Pieces                     Span
}

// place fills in where deltas and pieces are.
func (h *Header) place() {
	at := HeaderSize + h.Manifest + h.Signature + h.Index
	for i := range h.Deltas {
		h.Deltas[i].Off = at
		at += h.Deltas[i].Size
	}
	h.Pieces.Off = at
}

// Marshal returns the header as it is in the file, and sets the places of deltas and pieces. It
// panics above MaxDeltas.
func (h *Header) Marshal() []byte {
	if len(h.Deltas) > MaxDeltas {
		panic("bundle: too many deltas")
	}
	h.place()
	le := binary.LittleEndian
	b := append(make([]byte, 0, HeaderSize), headerMagic...)
	for _, n := range []int64{h.Manifest, h.Signature, h.Index, int64(len(h.Deltas))} {
		b = le.AppendUint32(b, uint32(n))
	}
	b = le.AppendUint64(b, uint64(h.Pieces.Size))
	for _, d := range h.Deltas {
		b = le.AppendUint64(append(b, d.Base[:]...), uint64(d.Size))
	}
	b = append(b, make([]byte, HeaderSize-4-len(b))...)
	return le.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// maxFile bounds all lengths, so that no sum of them overflows.
const maxFile = math.MaxInt64 / 32

// ParseHeader reads a header. Lengths are within their limits.
func ParseHeader(b []byte) (Header, error) {
	var h Header
	if len(b) != HeaderSize || !bytes.HasPrefix(b, []byte(headerMagic[:len(headerMagic)-1])) {
		return h, fault.New(fault.Input, "give a file that `imgbuild bundle` has made", "this is not an upgrade bundle")
	}
	if b[len(headerMagic)-1] != headerMagic[len(headerMagic)-1] {
		return h, fault.New(fault.Input, "upgrade by a version in between", "the bundle has format %d, this program reads %d", b[len(headerMagic)-1], headerMagic[len(headerMagic)-1])
	}
	le := binary.LittleEndian
	if le.Uint32(b[HeaderSize-4:]) != crc32.ChecksumIEEE(b[:HeaderSize-4]) {
		return h, damaged("the bundle's header is damaged")
	}
	r := b[len(headerMagic):]
	h.Manifest, h.Signature, h.Index = int64(le.Uint32(r)), int64(le.Uint32(r[4:])), int64(le.Uint32(r[8:]))
	count, size := le.Uint32(r[12:]), le.Uint64(r[16:])
	if h.Manifest > MaxManifest || h.Signature > MaxSignature || h.Index > MaxIndex || count > MaxDeltas || size > maxFile {
		return h, damaged("the bundle's header has lengths beyond what is possible")
	}
	h.Pieces.Size = int64(size)
	r = r[24:]
	for range count {
		d := Delta{Base: [32]byte(r[:32])}
		if size := le.Uint64(r[32:]); size > maxFile {
			return h, damaged("the bundle's header has a delta of %d bytes", size)
		} else {
			d.Size = int64(size)
		}
		h.Deltas, r = append(h.Deltas, d), r[40:]
	}
	h.place()
	return h, nil
}

// Delta finds the delta from a slot; nil if there is none.
func (h *Header) Delta(base [32]byte) *Delta {
	for i := range h.Deltas {
		if h.Deltas[i].Base == base {
			return &h.Deltas[i]
		}
	}
	return nil
}
