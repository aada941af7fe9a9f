// Package pieces cuts a slot at the boundaries of its own formats: kernel, initramfs, each block of
// the squashfs, verity tree, and what is between. A piece is what can be taken apart and encoded
// again by itself, and what stays the same when its content does.
package pieces

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/manifest"
)

// Piece is a part of a slot. Sizes are in bytes.
type Piece struct {
	Kind codec.Kind
	Off  int64 // from the start of the slot
	Size int64 // as it is stored
	Raw  int64 // of its content; Size for kinds without an encoder
}

// Slot is a slot that was cut.
type Slot struct {
	Manifest *manifest.Manifest
	Sum      [32]byte // sha256 of manifest.json, by which deltas name the slot
	Size     int64    // up to the end of the last file; what is behind does not matter
	Pieces   []Piece  // without gaps, from the start of the slot on
}

const (
	sector = 512
	block  = 4096    // what files in a slot are aligned to
	long   = 1 << 20 // of a raw piece between files, where it is cut

	maxStream = 256 << 20 // of the content of a kernel or an initramfs
)

// Cut reads a slot's manifest and cuts it. A root or a kernel that it cannot read is one raw piece
// after the other; an error is one of the device, or means that there is no slot.
func Cut(r io.ReaderAt) (*Slot, error) {
	s := &Slot{}
	text, err := fatfile.ReadFile(r, manifest.Name)
	if err != nil {
		return nil, fmt.Errorf("no slot: %w", err)
	}
	sum, err := fatfile.ReadFile(r, manifest.SumName)
	if err != nil {
		return nil, fmt.Errorf("no slot: %w", err)
	}
	if s.Manifest, err = manifest.Parse(text, sum); err != nil {
		return nil, err
	}
	s.Sum = sha256.Sum256(text)
	var parts []Piece
	for _, f := range s.Manifest.Files {
		if f.Size == 0 {
			continue
		}
		switch {
		case f.Path == manifest.TreeName && f.Offset == s.Manifest.Root.TreeOffset && f.Size == s.Manifest.Root.TreeSize:
			parts = append(parts, Piece{codec.Tree, f.Offset, f.Size, f.Size})
		case f.Path == manifest.RootName:
			parts = append(parts, cutRoot(r, f.Offset, f.Size)...)
		case f.Path == manifest.KernelName, f.Path == manifest.InitrdName:
			parts = append(parts, cutStream(r, f.Offset, f.Size))
		default:
			parts = append(parts, Piece{codec.Raw, f.Offset, f.Size, f.Size})
		}
	}
	for _, name := range []string{manifest.Name, manifest.SumName} {
		list, _, err := fatfile.Locate(r, name)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			parts = append(parts, Piece{codec.Raw, e.Offset, e.Size, e.Size})
		}
	}
	slices.SortFunc(parts, func(a, b Piece) int { return int(a.Off - b.Off) })
	at := int64(0)
	for _, p := range parts {
		if p.Off < at {
			return nil, fmt.Errorf("the slot has two files at offset %d", p.Off)
		}
		if err := s.between(r, at, p.Off); err != nil {
			return nil, err
		}
		s.Pieces = append(s.Pieces, p)
		at = p.Off + p.Size
	}
	s.Size = (at + block - 1) / block * block
	return s, s.between(r, at, s.Size)
}

// between cuts what is between files: the first sector by itself, runs of zeros, and the rest.
func (s *Slot) between(r io.ReaderAt, at, end int64) error {
	buf, begin := make([]byte, block), len(s.Pieces)
	for at < end {
		n := min(end-at, block-at%block)
		if at == 0 {
			n = sector
		}
		if _, err := r.ReadAt(buf[:n], at); err != nil {
			return fmt.Errorf("reading the slot at %d: %w", at, err)
		}
		kind := codec.Raw
		if at > 0 && !slices.ContainsFunc(buf[:n], func(b byte) bool { return b != 0 }) {
			kind = codec.Zeros
		}
		if i := len(s.Pieces) - 1; i > 0 && i >= begin && s.Pieces[i].Kind == kind && (kind == codec.Zeros || s.Pieces[i].Size < long) {
			s.Pieces[i].Size += n
			s.Pieces[i].Raw += n
		} else {
			s.Pieces = append(s.Pieces, Piece{kind, at, n, n})
		}
		at += n
	}
	return nil
}

// cutStream finds the form of a kernel or an initramfs.
func cutStream(r io.ReaderAt, off, size int64) Piece {
	raw := Piece{codec.Raw, off, size, size}
	head := make([]byte, 4)
	if size < 18 {
		return raw
	}
	if _, err := r.ReadAt(head, off); err != nil {
		return raw
	}
	p := raw
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		// Its last four bytes give its length (RFC 1952). Where they are wrong, the result
		// differs and is sent as it is.
		if _, err := r.ReadAt(head, off+size-4); err != nil {
			return raw
		}
		p.Kind, p.Raw = codec.Gzip, int64(le.Uint32(head))
		if p.Raw > maxStream {
			return raw
		}
		return p
	case binary.LittleEndian.Uint32(head) == 0xfd2fb528:
		p.Kind = codec.Stream
	default:
		return raw
	}
	z, err := codec.NewReader(p.Kind, io.NewSectionReader(r, off, size))
	if err != nil {
		return raw
	}
	defer z.Close()
	if p.Raw, err = io.Copy(io.Discard, io.LimitReader(z, maxStream+1)); err != nil || p.Raw > maxStream {
		return raw
	}
	return p
}

// Hex is a slot's sum as manifest.sha256 has it.
func (s *Slot) Hex() string { return hex.EncodeToString(s.Sum[:]) }
