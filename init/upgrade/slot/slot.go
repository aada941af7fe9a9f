// Package slot brings a system into the slot that is not running.
//
// At every moment the slot either holds a whole system or none that loads: its first sector,
// without which U-Boot finds no file system, is zeroed and flushed before anything else changes,
// and written after everything else was flushed and read back.
package slot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"imgbuild/init/contract/fault"
)

// Device is a disk. Flush returns when everything written before is on the medium; what Direct
// reads afterwards comes from the medium, not from a cache. Offsets and lengths of Direct are
// multiples of Sector; those of ReadAt and WriteAt are not.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Direct() io.ReaderAt
	Flush() error
}

// Sector is the unit of the medium, chunk how much is read back in one piece, in bytes.
const (
	Sector = 512
	chunk  = 1 << 20
)

// Area is the place of a slot, in bytes from the start of the disk.
type Area struct{ Start, Size int64 }

// System is what is brought into a slot.
type System struct {
	Size   int64 // bytes from the start of the slot
	SHA256 [sha256.Size]byte
	// Fill writes everything but the first sector, which it returns. With resume it may keep what
	// is there already. It must have checked each byte that it writes.
	Fill func(ctx context.Context, p Partition, resume bool) (first [Sector]byte, err error)
}

// Partition is a slot as it is filled; offsets are from its start.
type Partition interface {
	io.ReaderAt
	io.WriterAt
}

// ErrReadBack means that the medium does not return what was written to it.
var ErrReadBack = errors.New("the disk does not return what was written")

// omit names a safety step that a test leaves out, to see that it would be missed.
type omit uint

const (
	omitInvalidate omit = 1 << iota // the first sector stays while the rest changes
	omitFlush                       // no flush before the read-back
	omitVerify                      // nothing is read back
	omitLastFlush                   // no flush after the first sector
)

// Write brings a system into a slot. When it returns nil the slot is whole, flushed and read back.
// After an error, or a power cut, the slot does not load, and another Write of the same system goes
// on where this one stopped. report is called with how many bytes were read back; it may be nil.
func Write(ctx context.Context, d Device, a Area, s System, report func(done, total int64)) error {
	return write(ctx, d, a, s, report, 0)
}

func write(ctx context.Context, d Device, a Area, s System, report func(done, total int64), o omit) error {
	if a.Start%Sector != 0 || a.Size%Sector != 0 {
		return fmt.Errorf("slot at byte %d with %d bytes: not whole sectors", a.Start, a.Size)
	}
	if s.Size < Sector || s.Size > a.Size {
		return fault.New(fault.Input, "build an image for this disk", "the system has %d bytes, the slot has %d", s.Size, a.Size)
	}
	resume := false
	if o&omitInvalidate == 0 {
		var err error
		if resume, err = invalidate(d, a); err != nil {
			return fmt.Errorf("slot at byte %d: %w", a.Start, err)
		}
	}
	first, err := s.Fill(ctx, &partition{d, a}, resume)
	if err != nil {
		return err
	}
	if o&omitFlush == 0 {
		if err := d.Flush(); err != nil {
			return fmt.Errorf("slot at byte %d: flush: %w", a.Start, err)
		}
	}
	if o&omitVerify == 0 {
		if err := verify(ctx, d.Direct(), a, s, first, report); err != nil {
			return fmt.Errorf("slot at byte %d: %w", a.Start, err)
		}
	}
	if err := finish(d, a, first, o); err != nil {
		return fmt.Errorf("slot at byte %d: %w", a.Start, err)
	}
	return nil
}

// invalidate zeroes the first sector. begun reports that it was zero already, as an interrupted
// write leaves it.
func invalidate(d Device, a Area) (begun bool, err error) {
	zero, sector := make([]byte, Sector), make([]byte, Sector)
	// A sector that cannot be read may be written all the same.
	if _, err := d.Direct().ReadAt(sector, a.Start); err == nil && bytes.Equal(sector, zero) {
		return true, nil
	}
	if _, err := d.WriteAt(zero, a.Start); err != nil {
		return false, err
	}
	if err := d.Flush(); err != nil {
		return false, fmt.Errorf("flush: %w", err)
	}
	return false, nil
}

// verify reads everything back but the first sector, which is not written yet.
func verify(ctx context.Context, medium io.ReaderAt, a Area, s System, first [Sector]byte, report func(done, total int64)) error {
	h := sha256.New()
	h.Write(first[:])
	buf := make([]byte, chunk)
	for at := int64(Sector); at < s.Size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(chunk-at%chunk, (s.Size-at+Sector-1)/Sector*Sector)
		if _, err := medium.ReadAt(buf[:n], a.Start+at); err != nil {
			return err
		}
		h.Write(buf[:min(n, s.Size-at)])
		at += n
		if report != nil {
			report(min(at, s.Size), s.Size)
		}
	}
	if !sums(h, s.SHA256) {
		return fault.Wrap(ErrReadBack, fault.Device, "replace the card", "reading the slot back")
	}
	return nil
}

func sums(h hash.Hash, want [sha256.Size]byte) bool { return bytes.Equal(h.Sum(nil), want[:]) }

// finish writes the first sector, after which the slot loads.
func finish(d Device, a Area, first [Sector]byte, o omit) error {
	if _, err := d.WriteAt(first[:], a.Start); err != nil {
		return err
	}
	if o&omitLastFlush == 0 {
		if err := d.Flush(); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
	}
	on := make([]byte, Sector)
	if o&omitVerify != 0 {
		return nil
	}
	if _, err := d.Direct().ReadAt(on, a.Start); err != nil {
		return err
	}
	if !bytes.Equal(on, first[:]) {
		return fault.Wrap(ErrReadBack, fault.Device, "replace the card", "reading the slot's first sector back")
	}
	return nil
}

// partition keeps Fill inside the slot, and off its first sector.
type partition struct {
	d Device
	a Area
}

func (p *partition) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off > p.a.Size {
		return 0, fmt.Errorf("%d bytes at %d are outside of the slot", len(b), off)
	}
	n := min(int64(len(b)), p.a.Size-off)
	m, err := p.d.ReadAt(b[:n], p.a.Start+off)
	if err == nil && m < len(b) {
		err = io.EOF
	}
	return m, err
}

func (p *partition) WriteAt(b []byte, off int64) (int, error) {
	if off < Sector || off+int64(len(b)) > p.a.Size {
		return 0, fmt.Errorf("%d bytes at %d are outside of the slot, or on its first sector", len(b), off)
	}
	return p.d.WriteAt(b, p.a.Start+off)
}
