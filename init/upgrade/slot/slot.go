// Package slot writes a system into the slot that is not running.
//
// At every moment the slot either holds a whole system or none: its first sector, without which U-Boot finds no file system, is
// zeroed and flushed before anything else changes, and written after everything else has been flushed and read back. An interrupted
// write goes on where the medium stops matching; it needs no notes of its own.
package slot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"imgbuild/init/contract/fault"
)

// Device is a disk. ReadAt must return what is on the medium, not what a cache remembers; Flush returns when everything written
// before is on the medium. Offsets and lengths are multiples of Sector.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Flush() error
}

// Sector is the unit of the device, in bytes; Chunk is how much is written at once.
const (
	Sector = 512
	Chunk  = 1 << 20
)

// Area is where a slot lies, in bytes from the start of the disk.
type Area struct{ Start, Size int64 }

// Piece is a run of bytes of the new slot. Pieces follow each other without gaps from offset 0.
type Piece struct {
	Size   int64
	SHA256 [sha256.Size]byte
}

// Source gives the pieces of a system. Piece i is written only if it has the size and the hash of Pieces()[i].
type Source interface {
	Pieces() []Piece
	Piece(ctx context.Context, i int) ([]byte, error)
}

// Progress is called with the bytes that are done, of all of one step.
type Progress func(step string, done, total int64)

// The steps that Progress hears of.
const (
	StepCompare = "compare" // what an interrupted write left is compared
	StepWrite   = "write"
	StepVerify  = "verify" // everything is read back
)

var (
	// ErrReadBack says that the medium does not return what was written to it.
	ErrReadBack = errors.New("the disk does not return what was written")
	// ErrPiece says that a source gave other bytes than the signed index promises.
	ErrPiece = errors.New("the content does not have its hash")
)

// check names a safety step that a test leaves out, to see that it would be missed.
type check uint

const (
	noInvalidate check = 1 << iota // the first sector stays while the rest changes
	noFlush                        // no flush before the read-back
	noHash                         // pieces are written unchecked
	noVerify                       // nothing is read back
	noLastFlush                    // no flush behind the first sector
)

type writer struct {
	Device
	area   Area
	source Source
	pieces []Piece
	total  int64  // of all pieces, bytes
	head   []byte // the leading pieces, up to the one that ends the first sector
	report Progress
	skip   check // none in the product
}

// Write puts the system of s into the area. When it returns nil the slot is whole, flushed and read back. After an error, or a
// power cut, the slot does not load, and another Write of the same system goes on where this one stopped.
func Write(ctx context.Context, d Device, a Area, s Source, report Progress) error {
	return write(ctx, d, a, s, report, 0)
}

func write(ctx context.Context, d Device, a Area, s Source, report Progress, skip check) error {
	w := &writer{Device: d, area: a, source: s, pieces: s.Pieces(), report: report, skip: skip}
	if w.report == nil {
		w.report = func(string, int64, int64) {}
	}
	for _, p := range w.pieces {
		w.total += p.Size
	}
	if a.Start%Sector != 0 || a.Size%Sector != 0 {
		return fmt.Errorf("slot at byte %d with %d bytes: not whole sectors", a.Start, a.Size)
	}
	if w.total < Sector || w.total > a.Size {
		return fault.New(fault.Input, "build an image for this disk", "the system has %d bytes, the slot has %d", w.total, a.Size)
	}
	if err := w.run(ctx); err != nil {
		return fmt.Errorf("slot at byte %d: %w", a.Start, err)
	}
	return nil
}

func (w *writer) run(ctx context.Context) error {
	begun, err := w.invalidate()
	if err != nil {
		return err
	}
	next, err := w.readHead(ctx)
	if err != nil {
		return err
	}
	at := int64(0)
	if begun {
		if next, at, err = w.resume(ctx, next); err != nil {
			return err
		}
	}
	if err := w.body(ctx, next, at); err != nil {
		return err
	}
	if w.skip&noFlush == 0 {
		if err := w.Flush(); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
	}
	if w.skip&noVerify == 0 {
		if err := w.verify(ctx); err != nil {
			return err
		}
	}
	return w.finish()
}

// invalidate zeroes the first sector. begun reports that it was zero already, as an interrupted write leaves it.
func (w *writer) invalidate() (begun bool, err error) {
	zero, sector := make([]byte, Sector), make([]byte, Sector)
	if w.skip&noInvalidate != 0 {
		return false, nil
	}
	// A sector that cannot be read may be written all the same.
	if _, err := w.ReadAt(sector, w.area.Start); err == nil && bytes.Equal(sector, zero) {
		return true, nil
	}
	if _, err := w.WriteAt(zero, w.area.Start); err != nil {
		return false, err
	}
	if err := w.Flush(); err != nil {
		return false, fmt.Errorf("flush: %w", err)
	}
	return false, nil
}

// readHead takes the pieces that hold the first sector and gives the number of the first one behind them.
func (w *writer) readHead(ctx context.Context) (next int, err error) {
	for ; len(w.head) < Sector; next++ {
		data, err := w.piece(ctx, next)
		if err != nil {
			return 0, err
		}
		w.head = append(w.head, data...)
	}
	return next, nil
}

// piece gives one piece, checked.
func (w *writer) piece(ctx context.Context, i int) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	data, err := w.source.Piece(ctx, i)
	if err != nil {
		return nil, fmt.Errorf("piece %d: %w", i, err)
	}
	if p := w.pieces[i]; w.skip&noHash == 0 && (int64(len(data)) != p.Size || sha256.Sum256(data) != p.SHA256) {
		return nil, fmt.Errorf("piece %d: %w", i, ErrPiece)
	}
	return data, nil
}

// resume finds the first piece behind the head that is not on the medium, and its offset in the slot; 0 and 0 if the head is not.
func (w *writer) resume(ctx context.Context, next int) (int, int64, error) {
	r := &reader{device: w.Device, base: w.area.Start, end: w.area.Size}
	r.skip(Sector)
	on := make([]byte, len(w.head)-Sector)
	if _, err := io.ReadFull(r, on); err != nil || !bytes.Equal(on, w.head[Sector:]) {
		return next, 0, nil // what cannot be read is written
	}
	at := int64(len(w.head))
	for ; next < len(w.pieces); next++ {
		if ctx.Err() != nil {
			return 0, 0, context.Cause(ctx)
		}
		sum, err := r.sum(w.pieces[next].Size)
		if err != nil || sum != w.pieces[next].SHA256 {
			break
		}
		at += w.pieces[next].Size
		w.report(StepCompare, at, w.total)
	}
	return next, at, nil
}

// body writes everything from offset at on, the first sector excepted; piece next is the first one that is not in the head.
func (w *writer) body(ctx context.Context, next int, at int64) error {
	var buf []byte            // not yet written
	pos := at &^ (Sector - 1) // where buf begins
	switch {
	case at == 0:
		buf, pos = append(buf, w.head[Sector:]...), Sector
	case pos < at: // the sector's other bytes belong to a piece that is there
		buf = make([]byte, Sector)
		if pos < int64(len(w.head)) {
			buf = append(buf[:0], w.head[pos:at]...)
		} else if _, err := w.ReadAt(buf, w.area.Start+pos); err != nil {
			return err
		} else {
			buf = buf[:at-pos]
		}
	}
	put := func(n int) error {
		if _, err := w.WriteAt(buf[:n], w.area.Start+pos); err != nil {
			return err
		}
		pos += int64(n)
		buf = buf[:copy(buf, buf[n:])]
		w.report(StepWrite, pos, w.total)
		return nil
	}
	for ; next < len(w.pieces); next++ {
		data, err := w.piece(ctx, next)
		if err != nil {
			return err
		}
		buf = append(buf, data...)
		for len(buf) >= Chunk {
			// Chunks end on multiples of Chunk, so that the disk sees whole erase blocks.
			if err := put(int(Chunk - pos%Chunk)); err != nil {
				return err
			}
		}
	}
	if odd := len(buf) % Sector; odd != 0 {
		buf = append(buf, make([]byte, Sector-odd)...)
	}
	for len(buf) > 0 {
		if err := put(min(len(buf), int(Chunk-pos%Chunk))); err != nil {
			return err
		}
	}
	return nil
}

// verify reads everything back but the first sector, which is not written yet.
func (w *writer) verify(ctx context.Context) error {
	r := &reader{device: w.Device, base: w.area.Start, end: w.area.Size}
	r.skip(Sector)
	on := make([]byte, len(w.head)-Sector)
	if _, err := io.ReadFull(r, on); err != nil {
		return err
	}
	if !bytes.Equal(on, w.head[Sector:]) {
		return fmt.Errorf("%w: piece 0", ErrReadBack)
	}
	at, next := int64(0), 0
	for ; at < int64(len(w.head)); next++ {
		at += w.pieces[next].Size
	}
	for ; next < len(w.pieces); next++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		sum, err := r.sum(w.pieces[next].Size)
		if err != nil {
			return err
		}
		if sum != w.pieces[next].SHA256 {
			return fmt.Errorf("%w: piece %d at byte %d of the slot", ErrReadBack, next, at)
		}
		at += w.pieces[next].Size
		w.report(StepVerify, at, w.total)
	}
	return nil
}

// finish writes the first sector, after which the slot loads.
func (w *writer) finish() error {
	if _, err := w.WriteAt(w.head[:Sector], w.area.Start); err != nil {
		return err
	}
	if w.skip&noLastFlush == 0 {
		if err := w.Flush(); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
	}
	on := make([]byte, Sector)
	if _, err := w.ReadAt(on, w.area.Start); err != nil {
		return err
	}
	if w.skip&noVerify == 0 && !bytes.Equal(on, w.head[:Sector]) {
		return fmt.Errorf("%w: the first sector", ErrReadBack)
	}
	return nil
}
