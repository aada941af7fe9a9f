package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"imgbuild/init/contract/codec"
)

// PieceSize is the most bytes that have one hash. A longer unit has several.
const PieceSize = 256 << 10

// SumSize is how many bytes of a piece's sha256 the index holds.
const SumSize = 16

// Sum is the hash of a piece.
type Sum [SumSize]byte

// SumOf hashes a piece.
func SumOf(b []byte) Sum {
	h := sha256.Sum256(b)
	return Sum(h[:SumSize])
}

// Limits of units, in bytes. They bound what a decoder is asked for, whatever a bundle claims.
const (
	MaxRaw   = 256 << 20 // of a kernel or an initramfs
	MaxBlock = 1 << 20   // of a squashfs block
	MaxMeta  = 8 << 10
	maxUnits = 1 << 16
)

// Unit is a part of the slot that is encoded by itself: a kernel, a block of the squashfs, bytes as
// they are.
type Unit struct {
	Kind codec.Kind
	Off  int64 // from the start of the slot
	Size int64 // as it is stored
	Raw  int64 // of its content; as Size for kinds without an encoder

	First, Count int // of its pieces; none for Zeros and Tree
}

// Piece is what has a hash and is sent whole or not at all, at most PieceSize bytes.
type Piece struct {
	Off, Size int64 // in the slot
	At        int64 // in the bundle's pieces, from their start
	Sum       Sum
}

// Index describes a slot without gaps.
type Index struct {
	Size   int64 // of the slot
	Units  []Unit
	Pieces []Piece
}

// Add appends a unit. sums are for each PieceSize of its stored bytes.
func (x *Index) Add(kind codec.Kind, size, raw int64, sums []Sum) {
	u := Unit{Kind: kind, Off: x.Size, Size: size, Raw: raw, First: len(x.Pieces), Count: len(sums)}
	at := x.Sent()
	for i, s := range sums {
		n := min(PieceSize, size-int64(i)*PieceSize)
		x.Pieces = append(x.Pieces, Piece{Off: u.Off + int64(i)*PieceSize, Size: n, At: at, Sum: s})
		at += n
	}
	x.Units = append(x.Units, u)
	x.Size += size
}

// Sent is how many bytes the bundle's pieces have.
func (x *Index) Sent() int64 {
	if len(x.Pieces) == 0 {
		return 0
	}
	last := x.Pieces[len(x.Pieces)-1]
	return last.At + last.Size
}

const indexMagic = "ShelfOS index\n\x01"

// Marshal returns the index as it is in a bundle: magic, number of units, then for each its kind,
// its size, the size of its content where an encoder made it, and its sums. Numbers are varints.
func (x *Index) Marshal() []byte {
	b := binary.AppendUvarint([]byte(indexMagic), uint64(len(x.Units)))
	for _, u := range x.Units {
		b = binary.AppendUvarint(append(b, byte(u.Kind)), uint64(u.Size))
		if u.Kind.Encoder() != "" {
			b = binary.AppendUvarint(b, uint64(u.Raw))
		}
		for _, p := range x.Pieces[u.First : u.First+u.Count] {
			b = append(b, p.Sum[:]...)
		}
	}
	return b
}

var errIndex = errors.New("a number is not as it should be")

// ParseIndex reads an index. There is one text for one index; sizes are within the limits of their
// kind.
func ParseIndex(b []byte) (*Index, error) {
	if len(b) > MaxIndex || !bytes.HasPrefix(b, []byte(indexMagic)) {
		return nil, damaged("the piece index is none")
	}
	b = b[len(indexMagic):]
	number := func(most uint64) int64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > most || n > 1 && b[n-1] == 0 { // a longer way to write the same
			return -1
		}
		b = b[n:]
		return int64(v)
	}
	x := &Index{}
	count := number(maxUnits)
	if count < 0 {
		return nil, damaged("the piece index: number of units: %v", errIndex)
	}
	for i := range count {
		if len(b) == 0 {
			return nil, damaged("the piece index ends after %d of %d units", i, count)
		}
		kind := codec.Kind(b[0])
		b = b[1:]
		if kind > codec.Tree {
			return nil, damaged("the piece index: unit %d is of %s, which this program does not know", i, kind)
		}
		size := number(uint64(MaxSlot - x.Size))
		raw := size
		if kind.Encoder() != "" {
			raw = number(map[codec.Kind]uint64{codec.Gzip: MaxRaw, codec.Stream: MaxRaw, codec.Block: MaxBlock, codec.Meta: MaxMeta}[kind])
		}
		if size <= 0 || raw < 0 {
			return nil, damaged("the piece index: unit %d: %v", i, errIndex)
		}
		n := Sums(kind, size)
		if int64(len(b)) < n*SumSize {
			return nil, damaged("the piece index ends in unit %d", i)
		}
		sums := make([]Sum, n)
		for j := range sums {
			sums[j], b = Sum(b[:SumSize]), b[SumSize:]
		}
		x.Add(kind, size, raw, sums)
	}
	if len(b) != 0 {
		return nil, damaged("the piece index goes on after its last unit")
	}
	return x, nil
}

// Sums is how many hashes a unit has.
func Sums(kind codec.Kind, size int64) int64 {
	if kind == codec.Zeros || kind == codec.Tree {
		return 0
	}
	return (size + PieceSize - 1) / PieceSize
}
