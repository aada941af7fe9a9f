package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"aead.dev/minisign"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/delta"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/codec"
	format "imgbuild/init/contract/delta"
	"imgbuild/init/contract/fault"
)

// Floor is the security floor of what this program builds. It is raised when an older version must
// not come back once this one was committed.
const Floor = 1

// Options are the properties of a bundle beyond its slot.
type Options struct {
	Floor    int64
	Expires  int64     // seconds since 1970; 0 for never
	Firmware *Firmware // nil for none
}

// Manifest describes a slot, ready to be signed. It depends on the slot and the options only.
func (s *Slot) Manifest(o Options) *bundle.Manifest {
	m, index := s.Slot.Manifest, s.Index.Marshal()
	sum := sha256.Sum256(index)
	return &bundle.Manifest{
		Format: bundle.Format, Family: m.Family, Arch: m.Arch, Roles: m.Roles, Version: m.Version, Date: m.Date, Floor: o.Floor, Expires: o.Expires,
		Kernel: m.Kernel, Init: m.InitSHA256, K3s: m.K3s,
		Slot:     bundle.Slot{Size: s.Size, SHA256: hex.EncodeToString(s.SHA256[:]), Manifest: s.Hex()},
		Root:     m.Root,
		Index:    bundle.Blob{Size: int64(len(index)), SHA256: hex.EncodeToString(sum[:])},
		Encoders: m.Encoders, Firmware: o.Firmware.files(),
	}
}

// Bundle is a slot that was signed, with its deltas.
type Bundle struct {
	Slot      *Slot
	Text      []byte // of the manifest
	Signature []byte
	Deltas    []Delta
	Firmware  *Firmware
}

// Delta is a delta to the bundle's slot from another one.
type Delta struct {
	Base   [32]byte // sum of that slot's manifest
	Data   io.ReaderAt
	Size   int64
	closer io.Closer
}

func (d Delta) close() { d.closer.Close() }

// Sign makes a bundle without deltas.
func Sign(s *Slot, key minisign.PrivateKey, o Options) (*Bundle, error) {
	text, err := s.Manifest(o).Marshal()
	if err != nil {
		return nil, err
	}
	return &Bundle{Slot: s, Firmware: o.Firmware, Text: text, Signature: bundle.Sign(key, text, "ShelfOS "+s.Slot.Manifest.Family+" "+s.Slot.Manifest.Version)}, nil
}

// Header returns the header, with the places of all parts.
func (b *Bundle) Header() bundle.Header {
	h := bundle.Header{Manifest: int64(len(b.Text)), Signature: int64(len(b.Signature)), Index: int64(len(b.Slot.Index.Marshal()))}
	h.Pieces.Size = b.Slot.Index.Sent()
	for _, d := range b.Deltas {
		h.Deltas = append(h.Deltas, bundle.Delta{Base: d.Base, Span: bundle.Span{Size: d.Size}})
	}
	h.Marshal() // sets the places
	return h
}

// Write writes the bundle.
func (b *Bundle) Write(ctx context.Context, w io.Writer) error {
	h := b.Header()
	for _, part := range [][]byte{h.Marshal(), b.Text, b.Signature, b.Slot.Index.Marshal()} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	for _, d := range b.Deltas {
		if _, err := io.Copy(w, io.NewSectionReader(d.Data, 0, d.Size)); err != nil {
			return err
		}
	}
	buf := make([]byte, bundle.PieceSize)
	for _, u := range b.Slot.Index.Units {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !format.Sent(u) {
			continue
		}
		if _, err := io.CopyBuffer(w, struct{ io.Reader }{io.NewSectionReader(b.Slot.Data, u.Off, u.Size)}, buf); err != nil {
			return err
		}
	}
	if b.Firmware == nil {
		return nil
	}
	_, err := w.Write(b.Firmware.Data)
	return err
}

// AddDelta adds the delta from another slot, the newest first; beyond bundle.MaxDeltas the last one
// goes. The file stays open until Close.
func (b *Bundle) AddDelta(ctx context.Context, cache *blockcache.Cache, old *Slot) error {
	f, err := MakeDelta(ctx, cache, old, b.Slot)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	for i, d := range b.Deltas {
		if d.Base == old.Sum {
			d.close()
			b.Deltas = append(b.Deltas[:i], b.Deltas[i+1:]...)
			break
		}
	}
	if len(b.Deltas) == bundle.MaxDeltas {
		b.Deltas[len(b.Deltas)-1].close()
		b.Deltas = b.Deltas[:len(b.Deltas)-1]
	}
	b.Deltas = append([]Delta{{old.Sum, f, info.Size(), f}}, b.Deltas...)
	return nil
}

// Close closes the deltas.
func (b *Bundle) Close() {
	for _, d := range b.Deltas {
		d.close()
	}
	b.Deltas = nil
}

// makerVersion is raised when the same slots give another delta that is worth having.
const makerVersion = 1

// MakeDelta returns the delta between two slots, out of the cache where it was made before. The
// caller closes the file.
func MakeDelta(ctx context.Context, cache *blockcache.Cache, old, new *Slot) (*os.File, error) {
	return DeltaOf(ctx, cache, old.Sum, new.Sum, func() (*Slot, *Slot, error) { return old, new, nil })
}

// DeltaOf returns the delta between two slots that are named by the sums of their manifests. Only
// where the cache does not have it, slots opens both. The caller closes the file.
func DeltaOf(ctx context.Context, cache *blockcache.Cache, from, to [32]byte, slots func() (old, new *Slot, err error)) (*os.File, error) {
	key := fmt.Sprintf("delta %d.%d %x %x %v", format.Version, makerVersion, from, to, codec.Encoders())
	return cache.Decoded(key, func(w io.Writer) error {
		old, new, err := slots()
		if err != nil {
			return err
		}
		if a, b := old.Slot.Manifest, new.Slot.Manifest; a.Family != b.Family {
			return fault.New(fault.Input, "give two of the same family", "a delta from family %s to family %s is of no use", a.Family, b.Family)
		}
		return delta.Make(ctx, w, delta.Slot{Data: old.Data, Index: old.Index, Encoders: old.Slot.Manifest.Encoders},
			delta.Slot{Data: new.Data, Index: new.Index, Encoders: new.Slot.Manifest.Encoders})
	})
}
