// Package bundle makes signed upgrade bundles out of slots, and deltas between them.
package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mbr"
	"imgbuild/init/contract/pieces"
	"imgbuild/init/contract/userfile"
	"imgbuild/init/contract/verity"
)

// Slot is a slot that can be sent, or that deltas can start from.
type Slot struct {
	*pieces.Slot
	Data   io.ReaderAt
	Index  *bundle.Index
	SHA256 [32]byte // of the slot's bytes
	closer io.Closer
}

// Close closes the file of the slot, if OpenFile has opened it.
func (s *Slot) Close() error {
	if s.closer == nil {
		return nil
	}
	return s.closer.Close()
}

// Open cuts a slot and hashes its pieces.
func Open(data io.ReaderAt) (*Slot, error) {
	cut, err := pieces.Cut(data)
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "give an image or a bundle that imgbuild has made", "")
	}
	s := &Slot{Slot: cut, Data: data, Index: &bundle.Index{}}
	all := sha256.New()
	buf := make([]byte, bundle.PieceSize)
	for _, p := range cut.Pieces {
		var sums []bundle.Sum
		for at := int64(0); at < p.Size; at += bundle.PieceSize {
			b := buf[:min(bundle.PieceSize, p.Size-at)]
			if _, err := data.ReadAt(b, p.Off+at); err != nil {
				return nil, fault.Wrap(err, fault.Device, "", "reading the slot at %d", p.Off+at)
			}
			all.Write(b)
			if p.Kind != codec.Zeros && p.Kind != codec.Tree {
				sums = append(sums, bundle.SumOf(b))
			}
		}
		s.Index.Add(p.Kind, p.Size, p.Raw, sums)
	}
	all.Sum(s.SHA256[:0])
	return s, nil
}

// OpenFile opens the slot in an image (.img) or in a bundle (.upgrade). The signature of a bundle
// is not looked at: what is made of it is signed again or checked by the nodes that trust the new
// one.
func OpenFile(name string) (*Slot, error) {
	f, err := userfile.Open("", name)
	if err != nil {
		return nil, err
	}
	data, err := content(f)
	if err == nil {
		var s *Slot
		if s, err = Open(data); err == nil {
			s.closer = f
			return s, nil
		}
	}
	f.Close()
	return nil, fmt.Errorf("%s: %w", name, err)
}

// content finds the slot in a file.
func content(f *os.File) (io.ReaderAt, error) {
	var first [512]byte
	if _, err := f.ReadAt(first[:], 0); err != nil {
		return nil, fault.Wrap(err, fault.Input, "give an image or a bundle that imgbuild has made", "reading its first sector")
	}
	if h, err := bundle.ParseHeader(first[:]); err == nil {
		return unfold(f, h)
	}
	table, err := mbr.Parse(first[:])
	if err != nil {
		return nil, fault.New(fault.Input, "give an .img or .upgrade file that imgbuild has made", "it is neither an image nor a bundle")
	}
	p := table.Partitions[1]
	return io.NewSectionReader(f, int64(p.Start)*512, int64(p.Sectors)*512), nil
}

// unfolded is the slot of a bundle, as if it were on a disk.
type unfolded struct {
	file   io.ReaderAt
	pieces int64
	index  *bundle.Index
	tree   []byte
}

func unfold(f io.ReaderAt, h bundle.Header) (io.ReaderAt, error) {
	src := File{f}
	parts, err := bundle.Read(context.Background(), src, bundle.HeaderSize, h.Manifest+h.Signature+h.Index)
	if err != nil {
		return nil, err
	}
	m, err := bundle.ParseManifest(parts[:h.Manifest])
	if err != nil {
		return nil, err
	}
	x, err := bundle.ParseIndex(parts[h.Manifest+h.Signature:])
	if err != nil {
		return nil, err
	}
	u := &unfolded{file: f, pieces: h.Pieces.Off, index: x}
	salt, err := hex.DecodeString(m.Root.Salt)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	hash, _, err := verity.Build(io.NewSectionReader(u, m.Root.Offset, m.Root.Size), m.Root.Size, salt, &b)
	if err != nil {
		return nil, err
	}
	if hex.EncodeToString(hash[:]) != m.Root.Hash {
		return nil, fault.New(fault.Verify, "fetch it again", "the root in the bundle is damaged")
	}
	u.tree = b.Bytes()
	return u, nil
}

// ReadAt returns the slot's bytes.
func (u *unfolded) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		x := u.find(off)
		if x == nil {
			return n, io.EOF
		}
		k := int(min(int64(len(p)-n), x.Off+x.Size-off))
		b := p[n : n+k]
		switch x.Kind {
		case codec.Zeros:
			clear(b)
		case codec.Tree:
			if copy(b, u.tree[min(off-x.Off, int64(len(u.tree))):]) < k {
				return n, io.ErrUnexpectedEOF
			}
		default:
			if _, err := u.file.ReadAt(b, u.pieces+u.index.Pieces[x.First].At+off-x.Off); err != nil {
				return n, err
			}
		}
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

// find returns the unit that off is in.
func (u *unfolded) find(off int64) *bundle.Unit {
	list := u.index.Units
	lo, hi := 0, len(list)
	for lo < hi {
		mid := (lo + hi) / 2
		if x := list[mid]; off < x.Off {
			hi = mid
		} else if off >= x.Off+x.Size {
			lo = mid + 1
		} else {
			return &list[mid]
		}
	}
	return nil
}

// File is a bundle in a file, as a source.
type File struct{ io.ReaderAt }

// Range opens a part of the file.
func (f File) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(f, off, n)), nil
}
