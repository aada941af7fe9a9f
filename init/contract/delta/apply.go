package delta

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/verity"
)

// Slot is a partition that is written.
type Slot interface {
	io.ReaderAt
	io.WriterAt
}

// Options are the sources of a slot.
type Options struct {
	Bundle *bundle.Bundle

	// Old is the slot that runs, OldSum the sha256 of its manifest.json, which names it. nil:
	// everything is fetched.
	Old    io.ReaderAt
	OldSum [32]byte

	// New is the partition to write. Its first sector is never written: see Result.First.
	New Slot
	// Resume keeps what is there already, where its hash is right.
	Resume bool
	// Workers encode blocks, each with about 3 MB; 0 is 2.
	Workers int
	// Progress is called with how many bytes of the slot are in place. May be nil.
	Progress func(done, total int64)
}

// Result counts where the bytes of the slot came from.
type Result struct {
	// First is sector 0 of the slot. A caller that writes it last makes the slot loadable only when
	// it is complete.
	First [512]byte

	Kept    int64 // were there
	Copied  int64 // from the old slot
	Patched int64 // made by the delta
	Fetched int64 // whole from the bundle
	Made    int64 // zeros and the verity tree
	Delta   int64 // bytes of the delta that were read
	Missed  int   // pieces that the delta or the old slot should have brought and did not
	Broken  error // why the delta was given up, if it was
}

// Apply makes the slot of a bundle. Every byte that it writes was checked against the signed index
// or, for the verity tree, against the signed root hash. It needs about 37 MB of memory, 26 under
// debug.SetMemoryLimit(28 << 20). It flushes nothing and reads nothing back: that is for the
// caller, who owns the device. Errors of the bundle's source and of the new slot pass with their
// kind; then Apply can be called once more with Resume.
//
// It goes through the bundle once: the delta from OldSum, if the bundle has one, then the pieces
// that are still missing. Without a delta the pieces that both slots have are copied. A delta that
// cannot be used, an encoder that this program lacks and an old slot that cannot be read cost
// bytes, never the new slot.
func Apply(ctx context.Context, o Options) (Result, error) {
	a := &applier{Options: o, ctx: ctx, x: o.Bundle.Index, have: make([]bool, len(o.Bundle.Index.Pieces))}
	if a.Workers <= 0 {
		a.Workers = 2
	}
	for _, do := range []func() error{a.begin, a.fromOld, a.fetch, a.tree} {
		if err := do(); err != nil {
			return a.res, err
		}
	}
	return a.res, nil
}

type applier struct {
	Options
	ctx  context.Context
	x    *bundle.Index
	have []bool // of the pieces
	done int64
	res  Result
	buf  []byte
}

// begin writes the zeros and, to resume, looks for pieces that are there.
func (a *applier) begin() error {
	a.buf = make([]byte, bundle.PieceSize)
	for _, u := range a.x.Units {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		if u.Kind == codec.Zeros {
			if err := a.zeros(u); err != nil {
				return err
			}
		}
		if !a.Resume {
			continue
		}
		for i := u.First; i < u.First+u.Count; i++ {
			p := a.x.Pieces[i]
			if _, err := a.New.ReadAt(a.buf[:p.Size], p.Off); p.Off > 0 && err == nil && bundle.SumOf(a.buf[:p.Size]) == p.Sum {
				a.have[i] = true
				a.res.Kept += p.Size
				a.step(p.Size)
			}
		}
	}
	return nil
}

func (a *applier) zeros(u bundle.Unit) error {
	clear(a.buf)
	for at := int64(0); at < u.Size; at += int64(len(a.buf)) {
		if _, err := a.New.WriteAt(a.buf[:min(int64(len(a.buf)), u.Size-at)], u.Off+at); err != nil {
			return err
		}
	}
	a.res.Made += u.Size
	a.step(u.Size)
	return nil
}

func (a *applier) step(n int64) {
	a.done += n
	if a.Progress != nil {
		a.Progress(a.done, a.x.Size)
	}
}

// put writes a piece if data is what it should be. Only errors of the new slot are errors.
func (a *applier) put(i int, data []byte) (bool, error) {
	p := a.x.Pieces[i]
	if a.have[i] {
		return true, nil
	}
	if int64(len(data)) != p.Size || bundle.SumOf(data) != p.Sum {
		return false, nil
	}
	if err := a.ctx.Err(); err != nil {
		return false, err
	}
	if p.Off == 0 {
		copy(a.res.First[:], data)
	} else if _, err := a.New.WriteAt(data, p.Off); err != nil {
		return false, err
	}
	a.have[i] = true
	a.step(p.Size)
	return true, nil
}

// lacks reports whether a piece of the unit is missing.
func (a *applier) lacks(u bundle.Unit) bool {
	for i := u.First; i < u.First+u.Count; i++ {
		if !a.have[i] {
			return true
		}
	}
	return false
}

// fetch brings what is missing whole.
func (a *applier) fetch() error {
	const near = 64 << 10 // bytes that are read and dropped rather than asking once more
	list := a.x.Pieces
	for i := 0; i < len(list); i++ {
		if a.have[i] {
			continue
		}
		last := i
		for j := i + 1; j < len(list) && list[j].At-(list[last].At+list[last].Size) <= near; j++ {
			if !a.have[j] {
				last = j
			}
		}
		if err := a.fetchRun(i, last); err != nil {
			return err
		}
		i = last
	}
	return nil
}

// fetchRun reads the pieces from first to last, both with their neighbours in between.
func (a *applier) fetchRun(first, last int) error {
	begin, end := a.x.Pieces[first].At, a.x.Pieces[last].At+a.x.Pieces[last].Size
	r, err := a.Bundle.Source.Range(a.ctx, a.Bundle.Header.Pieces.Off+begin, end-begin)
	if err != nil {
		return err
	}
	defer r.Close()
	for i := first; i <= last; i++ {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		data := a.buf[:a.x.Pieces[i].Size]
		if _, err := io.ReadFull(r, data); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fault.Wrap(err, fault.Network, "try again; the parts that arrived are kept", "reading the bundle")
		}
		had := a.have[i]
		ok, err := a.put(i, data)
		if err != nil {
			return err
		}
		if !ok {
			return fault.New(fault.Verify, "fetch the bundle again, from the place where it was made", "the bundle's piece at %d is damaged", a.x.Pieces[i].At)
		}
		if !had {
			a.res.Fetched += int64(len(data))
		}
	}
	return nil
}

// tree computes the verity tree of the new root and writes it.
func (a *applier) tree() error {
	root := a.Bundle.Manifest.Root
	salt, err := hex.DecodeString(root.Salt)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	hash, size, err := verity.Build(io.NewSectionReader(a.New, root.Offset, root.Size), root.Size, salt, &b)
	if err != nil {
		return err
	}
	if hex.EncodeToString(hash[:]) != root.Hash || size != root.TreeSize {
		return fault.New(fault.Device, "use another card", "the root that was written reads back as another one")
	}
	if _, err := a.New.WriteAt(b.Bytes(), root.TreeOffset); err != nil {
		return err
	}
	a.res.Made += size
	a.step(size)
	return nil
}
