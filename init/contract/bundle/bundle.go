// Package bundle is the format of an upgrade: one file that holds a slot, signed, and deltas to it
// from other slots.
//
// Layout, without gaps: a header of 512 bytes, the manifest, its signature, the piece index, the
// deltas, the pieces of the slot in their order, and the files of the boot partition. A reader only
// goes forward, except for pieces that a delta did not bring.
//
// What is trusted: the signature covers the manifest, the manifest holds the hash of the index, the
// index holds a hash for every piece. The header and the deltas are not signed: a header that is
// wrong leads to a manifest or an index that is, and what a delta makes is checked piece by piece.
package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"aead.dev/minisign"

	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/firmware"
)

// Suffix is the ending of a bundle's file name.
const Suffix = ".upgrade"

// Source returns the bytes of a bundle, one closed range at a time. An error of the transport comes
// with its kind (fault.Network, fault.Device); that of a source that ends early is
// io.ErrUnexpectedEOF.
type Source interface {
	// Range opens n bytes from offset off. The reader is closed before the next call.
	Range(ctx context.Context, off, n int64) (io.ReadCloser, error)
}

// Bundle is an opened bundle: everything in it but the source has been checked against the
// signature.
type Bundle struct {
	Source    Source
	Header    Header
	Manifest  *Manifest
	Key       minisign.PublicKey // that signed it
	Index     *Index
	Text      []byte // of the manifest, as it was signed
	Signature []byte
	IndexData []byte
}

// Open reads header, manifest, signature and index, and checks them. Errors are of the kind
// fault.Verify where the bundle is not what a trusted key signed, fault.Input where it is not a
// bundle at all; those of the source pass as they are.
func Open(ctx context.Context, src Source, keys Keys) (*Bundle, error) {
	head, err := Read(ctx, src, 0, HeaderSize)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Source: src}
	if b.Header, err = ParseHeader(head); err != nil {
		return nil, err
	}
	h := &b.Header
	rest, err := Read(ctx, src, HeaderSize, h.Manifest+h.Signature+h.Index)
	if err != nil {
		return nil, err
	}
	b.Text, rest = rest[:h.Manifest], rest[h.Manifest:]
	b.Signature, b.IndexData = rest[:h.Signature], rest[h.Signature:]
	if b.Key, err = keys.Verify(b.Text, b.Signature); err != nil {
		return nil, err
	}
	if b.Manifest, err = ParseManifest(b.Text); err != nil {
		return nil, err
	}
	if b.Index, err = checkedIndex(b.Manifest, b.IndexData); err != nil {
		return nil, err
	}
	if h.Pieces.Size != b.Index.Sent() {
		return nil, damaged("the bundle has %d bytes of pieces, its index %d", h.Pieces.Size, b.Index.Sent())
	}
	return b, nil
}

func checkedIndex(m *Manifest, data []byte) (*Index, error) {
	if sum := sha256.Sum256(data); int64(len(data)) != m.Index.Size || hex.EncodeToString(sum[:]) != m.Index.SHA256 {
		return nil, damaged("the piece index is not the one that was signed")
	}
	x, err := ParseIndex(data)
	if err != nil {
		return nil, err
	}
	if x.Size != m.Slot.Size {
		return nil, damaged("the index has a slot of %d bytes, the manifest one of %d", x.Size, m.Slot.Size)
	}
	if len(x.Pieces) == 0 || x.Pieces[0].Off != 0 || x.Pieces[0].Size != 512 {
		return nil, damaged("the index does not begin with the slot's first sector")
	}
	for _, u := range x.Units {
		if u.Kind == codec.Tree && (u.Off != m.Root.TreeOffset || u.Size != m.Root.TreeSize) {
			return nil, damaged("the index has a verity tree at %d, the manifest at %d", u.Off, m.Root.TreeOffset)
		}
	}
	return x, nil
}

// FirmwareFile reads a file of the boot partition and compares it with its hash.
func (b *Bundle) FirmwareFile(ctx context.Context, f firmware.Placed) ([]byte, error) {
	data, err := Read(ctx, b.Source, b.Header.Pieces.End()+f.Off, f.Size)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, damaged("the file %s of the firmware is not the one that was signed", f.Path)
	}
	return data, nil
}

// Read returns n bytes of a source from off on.
func Read(ctx context.Context, src Source, off, n int64) ([]byte, error) {
	r, err := src.Range(ctx, off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	buf := bytes.NewBuffer(make([]byte, 0, n))
	got, err := io.Copy(buf, io.LimitReader(r, n))
	if err == nil && got < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("reading the bundle at %d: %w", off+got, err)
	}
	return buf.Bytes(), nil
}

// damaged is an error about a bundle that is not what it should be.
func damaged(what string, args ...any) error {
	return fault.New(fault.Verify, "fetch the bundle again, from the place where it was made", what, args...)
}
