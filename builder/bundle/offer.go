package bundle

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"time"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/firmware"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/contract/mbr"
	"imgbuild/init/contract/userfile"
)

// Offer is a bundle file that can be sent to nodes.
type Offer struct {
	Name      string
	Header    bundle.Header
	Manifest  *bundle.Manifest
	Text      []byte // of the manifest, as it was signed
	Signature []byte
	file      *os.File
}

// OpenOffer opens a bundle file and reads what it promises. The nodes check its signature.
func OpenOffer(name string) (*Offer, error) {
	f, err := userfile.Open("", name)
	if err != nil {
		return nil, err
	}
	o := &Offer{Name: name, file: f}
	if err := o.read(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return o, nil
}

func (o *Offer) read() error {
	ctx := context.Background()
	head := make([]byte, bundle.HeaderSize)
	if _, err := io.ReadFull(o.file, head); err != nil {
		return fault.Wrap(err, fault.Input, "give a bundle that imgbuild has made", "reading its header")
	}
	var err error
	if o.Header, err = bundle.ParseHeader(head); err != nil {
		return err
	}
	parts, err := bundle.Read(ctx, File{o.file}, bundle.HeaderSize, o.Header.Manifest+o.Header.Signature)
	if err != nil {
		return err
	}
	o.Text, o.Signature = parts[:o.Header.Manifest], parts[o.Header.Manifest:]
	if o.Manifest, err = bundle.ParseManifest(o.Text); err != nil {
		return err
	}
	info, err := o.file.Stat()
	if end := o.Header.Pieces.End() + firmware.Size(o.Manifest.Firmware); err == nil && info.Size() < end {
		return fault.New(fault.Input, "make or copy it again", "it has %d bytes, %d are missing", info.Size(), end-info.Size())
	}
	return err
}

// Close closes the file.
func (o *Offer) Close() error { return o.file.Close() }

// Source is the bundle as it is in its file, or, with a delta, the same bundle with this one as its
// only delta. The file of the delta stays the caller's.
func (o *Offer) Source(base [32]byte, delta *os.File) (bundle.Source, error) {
	if delta == nil {
		return File{o.file}, nil
	}
	info, err := delta.Stat()
	if err != nil {
		return nil, err
	}
	h := o.Header
	h.Deltas = []bundle.Delta{{Base: base, Span: bundle.Span{Size: info.Size()}}}
	head := h.Marshal()
	return File{parts{
		{memory(head), 0, bundle.HeaderSize},
		{o.file, bundle.HeaderSize, h.Manifest + h.Signature + h.Index},
		{delta, 0, info.Size()},
		{o.file, o.Header.Pieces.Off, o.Header.Pieces.Size + firmware.Size(o.Manifest.Firmware)},
	}}, nil
}

type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) { return copy(p, m[off:]), nil }

// parts are parts of files one after the other.
type parts []struct {
	io.ReaderAt
	off, size int64
}

// ReadAt implements io.ReaderAt.
func (list parts) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for _, part := range list {
		if off >= part.size {
			off -= part.size
			continue
		}
		k := int(min(int64(len(p)-n), part.size-off))
		got, err := part.ReaderAt.ReadAt(p[n:n+k], part.off+off)
		n += got
		if got < k {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
		if n == len(p) {
			return n, nil
		}
		off = 0
	}
	return n, io.EOF
}

// SumOf returns the sum of the slot's manifest in an image or a bundle, by which deltas name a
// slot, without looking at the rest.
func SumOf(name string) (sum [32]byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	var first [512]byte
	if _, err := f.ReadAt(first[:], 0); err != nil {
		return sum, err
	}
	if _, err := bundle.ParseHeader(first[:]); err == nil {
		o, err := OpenOffer(name)
		if err != nil {
			return sum, err
		}
		defer o.Close()
		return o.Manifest.SlotSum(), nil
	}
	table, err := mbr.Parse(first[:])
	if err != nil {
		return sum, err
	}
	p := table.Partitions[1]
	data, err := fatfile.ReadFile(io.NewSectionReader(f, int64(p.Start)*512, int64(p.Sectors)*512), manifest.Name)
	if err != nil {
		return sum, err
	}
	return sha256.Sum256(data), nil
}

// Written is when the file was written.
func (o *Offer) Written() time.Time {
	info, err := o.file.Stat()
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
