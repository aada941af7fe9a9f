package delta

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/pieces"
)

// fromOld makes what can be made with the old slot.
func (a *applier) fromOld() error {
	if a.Old == nil {
		return nil
	}
	if d := a.Bundle.Header.Delta(a.OldSum); d != nil {
		err := a.delta(d)
		if err == nil || !errors.Is(err, errDelta) {
			return err
		}
		a.res.Broken = err
	}
	return a.same()
}

// same copies the pieces that the old slot has too. Where it is not a slot, there are none.
func (a *applier) same() error {
	missing := map[bundle.Sum][]int{}
	for i, p := range a.x.Pieces {
		if !a.have[i] {
			missing[p.Sum] = append(missing[p.Sum], i)
		}
	}
	old, err := pieces.Cut(a.Old)
	if err != nil || len(missing) == 0 {
		return nil
	}
	for _, p := range old.Pieces {
		if p.Kind == codec.Zeros || p.Kind == codec.Tree {
			continue
		}
		for at := int64(0); at < p.Size; at += bundle.PieceSize {
			data := a.buf[:min(bundle.PieceSize, p.Size-at)]
			if _, err := a.Old.ReadAt(data, p.Off+at); err != nil {
				break
			}
			for _, i := range missing[bundle.SumOf(data)] {
				had := a.have[i]
				if ok, err := a.put(i, data); err != nil {
					return err
				} else if ok && !had {
					a.res.Copied += int64(len(data))
				}
			}
		}
	}
	return nil
}

// delta goes through a delta. An error is errDelta if it cannot be used, or one of the bundle's
// source or the new slot.
func (a *applier) delta(d *bundle.Delta) error {
	r, err := a.Bundle.Source.Range(a.ctx, d.Off, d.Size)
	if err != nil {
		return err
	}
	defer r.Close()
	decode, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return err
	}
	defer decode.Close()
	p := &parts{r: r, left: d.Size, decode: decode}
	u := &user{applier: a, patcher: patcher{s: &streams{next: p.next}}, arena: newArena()}
	err = u.run()
	if e := u.finish(); err == nil {
		err = e
	}
	a.res.Delta = d.Size - p.left
	switch {
	case p.failed != nil:
		return fault.Wrap(p.failed, fault.Network, "try again; the parts that arrived are kept", "reading the bundle")
	case u.failed != nil:
		return u.failed
	case a.ctx.Err() != nil:
		return a.ctx.Err()
	case err != nil && !errors.Is(err, errDelta):
		return fmt.Errorf("%w: %w", errDelta, err)
	}
	return err
}

// user carries a plan out.
type user struct {
	*applier
	patcher patcher
	arena   arena
	plan    *Description
	blocks  *blocks
	queue   *queue
	failed  error // of the new slot
}

func (u *user) run() error {
	var units []bundle.Unit
	for _, x := range u.x.Units {
		if Sent(x) {
			units = append(units, x)
		}
	}
	var err error
	if u.plan, err = parsePlan(u.patcher.s, len(units)); err != nil {
		return err
	}
	u.patcher.s.bufs[Plan] = nil
	return u.plan.each(units, func(do int, x bundle.Unit, from int64) error {
		if err := u.ctx.Err(); err != nil {
			return err
		}
		return u.unit(do, x, from)
	})
}

// unit makes one unit. Errors that are not of the delta are in u.failed too.
func (u *user) unit(do int, x bundle.Unit, from int64) error {
	switch do {
	case Whole:
		return nil
	case Copy:
		return u.copy(x, from)
	}
	wanted := u.lacks(x) && codec.Has(u.Bundle.Manifest.Encoders, x.Kind)
	if !wanted {
		return u.patcher.run(nil, nil, do == Old, x.Raw)
	}
	if do == Old {
		return u.stream(x, u.plan.Sources[from])
	}
	if u.blocks == nil { // only now the streams are done with the arena
		var err error
		if u.blocks, err = newBlocks(u.Old, u.plan.Sources, u.arena); err != nil {
			return err
		}
	}
	if x.Kind == codec.Block || x.Kind == codec.Meta {
		return u.block(x)
	}
	return u.encode(x, u.blocks, false)
}

func (u *user) copy(x bundle.Unit, from int64) error {
	for i := x.First; i < x.First+x.Count; i++ {
		p := u.x.Pieces[i]
		if u.have[i] {
			continue
		}
		data := u.buf[:p.Size]
		_, err := u.Old.ReadAt(data, from+p.Off-x.Off)
		if err != nil { // it is fetched whole
			u.res.Missed++
			continue
		}
		if err := u.place(i, data, &u.res.Copied); err != nil {
			return err
		}
	}
	return nil
}

// place puts a piece and counts it.
func (u *user) place(i int, data []byte, count *int64) error {
	if u.have[i] {
		return nil
	}
	ok, err := u.put(i, data)
	if err != nil {
		u.failed = err
		return err
	}
	if !ok {
		u.res.Missed++
		return nil
	}
	*count += int64(len(data))
	return nil
}

// stream makes a unit out of a stream of the old slot.
func (u *user) stream(x bundle.Unit, s Source) error {
	g, err := openRing(u.Old, s, u.arena)
	if err != nil {
		u.res.Missed += x.Count
		return u.patcher.run(nil, nil, true, x.Raw) // as if it were not wanted
	}
	defer g.close()
	return u.encode(x, g, true)
}

// encode patches a content and encodes it on the way.
func (u *user) encode(x bundle.Unit, from reader, stream bool) error {
	w := &pieceWriter{user: u, unit: x}
	var enc io.WriteCloser = w
	if x.Kind.Encoder() != "" {
		var err error
		if enc, err = codec.NewWriter(x.Kind, w); err != nil {
			return err
		}
	}
	err := u.patcher.run(enc, from, stream, x.Raw)
	if err != nil && !errors.Is(err, errSource) {
		return err
	}
	if err := enc.Close(); err != nil {
		return err
	}
	if enc != w {
		return w.Close()
	}
	return nil
}

// pieceWriter takes the stored form of a unit and puts its pieces.
type pieceWriter struct {
	*user
	unit bundle.Unit
	next int // piece of the unit
	part []byte
}

func (w *pieceWriter) Write(p []byte) (int, error) {
	n := len(p)
	if w.part == nil {
		w.part = w.buf[:0]
	}
	for len(p) > 0 && w.next < w.unit.Count { // what an encoder makes beyond the unit has no hash and no place
		k := min(len(p), bundle.PieceSize-len(w.part))
		w.part, p = append(w.part, p[:k]...), p[k:]
		if len(w.part) == bundle.PieceSize {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (w *pieceWriter) flush() error {
	err := w.place(w.unit.First+w.next, w.part, &w.res.Patched)
	w.next, w.part = w.next+1, w.part[:0]
	return err
}

// Close puts what is left.
func (w *pieceWriter) Close() error {
	if w.next < w.unit.Count {
		if err := w.flush(); err != nil {
			return err
		}
		w.res.Missed += w.unit.Count - w.next
		w.next = w.unit.Count
	}
	return nil
}

// block patches the content of a block and hands it to an encoder.
func (u *user) block(x bundle.Unit) error {
	if u.queue == nil {
		u.queue = newQueue(u.Workers, u.written)
	}
	j, err := u.queue.job()
	if err != nil {
		return err
	}
	j.unit = x
	j.content = slices.Grow(j.content[:0], int(x.Raw))
	b := bytes.NewBuffer(j.content[:0])
	err = u.patcher.run(b, u.blocks, false, x.Raw)
	j.content = b.Bytes()
	if err != nil && !errors.Is(err, errSource) {
		return err
	}
	u.queue.submit(j)
	return nil
}

// written puts an encoded block.
func (u *user) written(j *job) error {
	for i := range j.unit.Count {
		p := u.x.Pieces[j.unit.First+i]
		at := int64(i) * bundle.PieceSize
		data := j.out[min(at, int64(len(j.out))):min(at+p.Size, int64(len(j.out)))]
		if err := u.place(j.unit.First+i, data, &u.res.Patched); err != nil {
			return err
		}
	}
	return nil
}

// finish waits for the encoders.
func (u *user) finish() error {
	if u.queue == nil {
		return nil
	}
	return u.queue.close()
}
