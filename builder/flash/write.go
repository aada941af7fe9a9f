package flash

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"imgbuild/builder/bmap"
	"imgbuild/init/contract/fault"
)

// Target is a card. Offsets and lengths are multiples of 512 bytes.
type Target interface {
	io.WriterAt
	// Reread reads from the medium itself, not from a cache of this machine.
	Reread(p []byte, off int64) error
	Sync() error
	Size() int64
}

// Report is how writing is shown.
type Report struct {
	Progress func(step string, done, total int64) // bytes; the steps are probe, write, compare
	Stalled  func(since time.Duration)            // a single step takes unusually long
}

const (
	chunk = 4 << 20 // bytes; what a card erases at once
	first = bmap.Block
	probe = 4096 // bytes of one probe
	stall = 10 * time.Second
)

// spread is how many of the places that are tried before a card is written are at even distances.
const spread = 48

// places are where a card of so many bytes is tried, in ascending order and never in the first
// block. A card that has less memory than it reports mostly begins at its start again after a power
// of two, or after a simple part of its size: each such distance is there between two places.
func places(size int64) (list []int64) {
	const base = 3 * probe
	add := func(at int64) {
		if at = at / probe * probe; at >= base && at <= size-probe {
			list = append(list, at)
		}
	}
	add(base)
	for i := range int64(spread) {
		add((size - probe) / (spread - 1) * i)
	}
	for far := int64(128 << 20); far < size; far *= 2 {
		add(base + far)
	}
	for i := range int64(8) {
		add(base + size*i/8)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// piece is a part of what is written, and its sum.
type piece struct {
	start, end int64
	sum        [sha256.Size]byte
}

// Write writes an image to a card and compares what the card then holds. The partition table comes
// last: until then, and after any error, the card does not boot. Errors of the card are of kind
// Device, damage of the image is of kind Verify.
func Write(ctx context.Context, t Target, s *Source, r Report) error {
	w := &writer{ctx: ctx, t: t, s: s, r: r, buf: aligned(chunk)}
	table := aligned(first)
	if err := w.put(table, 0); err != nil { // whatever booted here before does not any more
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	if err := w.probe(); err != nil {
		return err
	}
	pieces, err := w.write()
	if err != nil {
		return err
	}
	if err := w.compare(pieces); err != nil {
		return err
	}
	if err := s.read(table, 0); err != nil {
		return err
	}
	if err := s.table(table, t.Size()); err != nil {
		return err
	}
	if err := w.put(table, 0); err != nil {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	got := w.buf[:first]
	if err := w.get(got, 0); err != nil {
		return err
	}
	if !bytes.Equal(got, table) {
		return lost(0)
	}
	return nil
}

type writer struct {
	ctx context.Context
	t   Target
	s   *Source
	r   Report
	buf []byte
}

// probe writes random blocks all over the card and reads them back. A card that has less memory
// than it reports puts the last ones in the place of others, or nowhere.
func (w *writer) probe() error {
	size := w.t.Size()
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return err
	}
	block := w.buf[:probe]
	fill := func(i int) {
		for at := 0; at < probe; at += sha256.Size {
			sum := sha256.Sum256(append(seed[:], byte(i), byte(at/sha256.Size)))
			copy(block[at:], sum[:])
		}
	}
	all := places(size)
	for i, at := range all {
		fill(i)
		if err := w.put(block, at); err != nil {
			return err
		}
		w.progress("probe", int64(i+1)*probe, int64(2*len(all))*probe)
	}
	if err := w.sync(); err != nil {
		return err
	}
	got := aligned(probe)
	for i, at := range all {
		if err := w.get(got, at); err != nil {
			return err
		}
		if fill(i); !bytes.Equal(got, block) {
			return fault.New(fault.Device, "take another card: this one lies about its size or loses what is written", "what was written at %d MB of %d MB is not there", at/1e6, size/1e6)
		}
		w.progress("probe", int64(len(all)+i+1)*probe, int64(2*len(all))*probe)
	}
	return nil
}

// write writes everything but the first block, and checks the image by the sums of its map.
func (w *writer) write() (pieces []piece, err error) {
	done, total := int64(0), w.s.Map.Mapped()
	for i, r := range w.s.Map.Ranges {
		sum := sha256.New()
		for start := r.Start; start < r.End; {
			end := min(r.End, (start/chunk+1)*chunk)
			p := w.buf[:end-start]
			if n, err := w.s.File.ReadAt(p, start); n < len(p) {
				return nil, fault.Wrap(orShort(err), fault.Input, "build or copy it again", "reading the image at %d", start)
			}
			sum.Write(p)
			w.s.patch(p, start)
			from := start
			if start == 0 {
				p, from = p[first:], first
			}
			if err := w.put(p, from); err != nil {
				return nil, err
			}
			pieces = append(pieces, piece{from, end, sha256.Sum256(p)})
			done += end - start
			start = end
			w.progress("write", done, total)
		}
		if w.s.Map.Sums != nil && !bytes.Equal(sum.Sum(nil), w.s.Map.Sums[i][:]) {
			return nil, fault.New(fault.Verify, "build or copy it again", "the image is damaged between %d and %d: it does not match its block map", r.Start, r.End)
		}
	}
	return pieces, w.sync()
}

// compare reads back what was written.
func (w *writer) compare(pieces []piece) error {
	done, total := int64(0), w.s.Map.Mapped()
	for _, p := range pieces {
		got := w.buf[:p.end-p.start]
		if err := w.get(got, p.start); err != nil {
			return err
		}
		if sha256.Sum256(got) != p.sum {
			return lost(p.start)
		}
		done += p.end - p.start
		w.progress("compare", done, total)
	}
	return nil
}

func lost(at int64) error {
	return fault.New(fault.Device, "take another card, or another reader", "the card does not hold what was written at %d MB; it does not boot", at/1e6)
}

func orShort(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}

// put, get and sync end with ctx, name what a card does wrong, and report one that hangs.
func (w *writer) put(p []byte, off int64) error {
	return w.step("writing", off, func() error {
		n, err := w.t.WriteAt(p, off)
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		return err
	})
}

func (w *writer) get(p []byte, off int64) error {
	return w.step("reading back", off, func() error { return w.t.Reread(p, off) })
}

func (w *writer) sync() error { return w.step("flushing", 0, w.t.Sync) }

func (w *writer) step(what string, off int64, do func() error) error {
	if w.ctx.Err() != nil {
		return fault.New(fault.Interrupted, "run it again", "stopped; the card does not boot: %w", context.Canceled)
	}
	if w.r.Stalled != nil {
		watch := time.AfterFunc(stall, func() { w.r.Stalled(stall) })
		defer watch.Stop()
	}
	err := do()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOMEDIUM):
		return fault.New(fault.Device, "put it in again and run it again", "the card is gone: %s at %d MB: %w", what, off/1e6, err)
	}
	return fault.Wrap(err, fault.Device, "take another card, or another reader", "%s the card at %d MB; it does not boot", what, off/1e6)
}

func (w *writer) progress(step string, done, total int64) {
	if w.r.Progress != nil {
		w.r.Progress(step, done, total)
	}
}
