package slot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

// memory is a disk of 8 MiB whose cache reaches the medium with a flush.
type memory struct {
	cache, medium []byte
	writes        int
	lost          int64             // the sector at this offset never reaches the medium; -1 = none
	fail          func(n int) error // of the write with number n, from 1
}

func newMemory() *memory {
	m := &memory{medium: bytes.Repeat([]byte{0xaa}, 8<<20), lost: -1}
	m.cache = bytes.Clone(m.medium)
	return m
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) { return copy(p, m.cache[off:]), nil }

func (m *memory) Direct() io.ReaderAt { return bytes.NewReader(m.medium) }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if m.writes++; m.fail != nil {
		if err := m.fail(m.writes); err != nil {
			return 0, err
		}
	}
	return copy(m.cache[off:], p), nil
}

func (m *memory) Flush() error {
	for at := int64(0); at < int64(len(m.cache)); at += Sector {
		if at != m.lost {
			copy(m.medium[at:at+Sector], m.cache[at:])
		}
	}
	return nil
}

var area = Area{Start: 1 << 20, Size: 4 << 20}

func (m *memory) holds(data []byte) bool { return bytes.Equal(m.medium[area.Start:][:len(data)], data) }

// loads reports whether U-Boot could find a file system in the slot.
func (m *memory) loads() bool {
	return !bytes.Equal(m.medium[area.Start:][:Sector], make([]byte, Sector))
}

// system returns bytes, and a system that fills a slot with them in runs of any length; resumed
// counts the bytes it kept.
func system(seed uint64, size int) (data []byte, s System, resumed *int) {
	rng := rand.New(rand.NewPCG(seed, 0))
	data = make([]byte, size)
	for i := range data {
		data[i] = byte(rng.Uint32() | 1) // a first sector is never all zeros
	}
	resumed = new(int)
	return data, System{Size: int64(size), SHA256: sha256.Sum256(data), Fill: func(ctx context.Context, p Partition, resume bool) (first [Sector]byte, err error) {
		for at := Sector; at < size; {
			if ctx.Err() != nil {
				return first, context.Cause(ctx)
			}
			n := min(1+rng.IntN(200_000), size-at)
			there := make([]byte, n)
			if _, err := p.ReadAt(there, int64(at)); err == nil && resume && bytes.Equal(there, data[at:at+n]) {
				*resumed += n
			} else if _, err := p.WriteAt(data[at:at+n], int64(at)); err != nil {
				return first, err
			}
			at += n
		}
		copy(first[:], data)
		return first, nil
	}}, resumed
}

func TestWrite(t *testing.T) {
	for _, size := range []int{Sector, Sector + 1, 5000, 1 << 20, 1<<20 + 77, 3<<20 + 512, 4 << 20} {
		m := newMemory()
		data, s, _ := system(uint64(size), size)
		last := int64(0)
		err := Write(t.Context(), m, area, s, func(done, total int64) {
			if done <= last || done > total {
				t.Errorf("%d bytes: progress went from %d to %d of %d", size, last, done, total)
			}
			last = done
		})
		if err != nil || !m.holds(data) {
			t.Errorf("%d bytes: %v; the slot holds the system: %v", size, err, m.holds(data))
		}
		if outside := bytes.Count(m.medium[:area.Start], []byte{0xaa}) + bytes.Count(m.medium[area.Start+area.Size:], []byte{0xaa}); outside != 4<<20 {
			t.Errorf("%d bytes: got %d untouched bytes outside of the slot, want all", size, outside)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, size := range []int{0, 1, Sector - 1, 4<<20 + 1} {
		m := newMemory()
		_, s, _ := system(1, size)
		if err := Write(t.Context(), m, area, s, nil); fault.Code(err) != fault.Code(fault.New(fault.Input, "", "")) || m.writes != 0 {
			t.Errorf("%d bytes: got %v after %d writes, want a refusal before any", size, err, m.writes)
		}
	}
	_, s, _ := system(1, 1<<20)
	if err := Write(t.Context(), newMemory(), Area{Start: 7, Size: 1 << 20}, s, nil); err == nil || !strings.Contains(err.Error(), "whole sectors") {
		t.Errorf("got %v", err)
	}
	for _, off := range []int64{-1, 0, Sector - 1, area.Size - 3, area.Size} {
		m := newMemory()
		if _, err := (&partition{m, area}).WriteAt(make([]byte, 4), off); err == nil || m.writes != 0 {
			t.Errorf("a write at %d: got %v, want a refusal", off, err)
		}
	}
}

// TestResume: whatever ends a write, the slot does not load, and the next one goes on where it
// stopped.
func TestResume(t *testing.T) {
	broken := errors.New("no more power")
	for stop := 1; ; stop++ {
		m := newMemory()
		data, s, resumed := system(3, 3<<20+100)
		m.fail = func(n int) error {
			if n >= stop {
				return broken
			}
			return nil
		}
		err := Write(t.Context(), m, area, s, nil)
		if err == nil {
			if stop < 5 {
				t.Errorf("got %d writes in all, want more", stop-1)
			}
			break
		}
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		_ = m.Flush()
		if stop > 1 && m.loads() {
			t.Errorf("stopped at write %d: the slot loads", stop)
		}
		m.fail = nil
		if err := Write(t.Context(), m, area, s, nil); err != nil || !m.holds(data) {
			t.Fatalf("stopped at write %d: %v", stop, err)
		}
		if stop > 10 && *resumed == 0 {
			t.Errorf("stopped at write %d: nothing was kept", stop)
		}
	}
}

// TestSteps: each safety step is there because something is missed without it.
func TestSteps(t *testing.T) {
	inside := area.Start + 2<<20
	for _, c := range []struct {
		name string
		lost int64
		omit omit
		want error
	}{
		{"nothing is lost", -1, 0, nil},
		{"a sector is lost", inside, 0, ErrReadBack},
		{"a sector is lost and nothing read back", inside, omitVerify, nil},
		{"the first sector is lost", area.Start, 0, ErrReadBack},
		{"no flush before the read-back", -1, omitFlush, ErrReadBack},
		{"no flush after the first sector", -1, omitLastFlush, ErrReadBack},
	} {
		m := newMemory()
		data, s, _ := system(5, 3<<20)
		m.lost = c.lost
		err := write(t.Context(), m, area, s, nil, c.omit)
		if !errors.Is(err, c.want) || c.want == nil && c.omit == 0 && !m.holds(data) || c.want == nil && c.omit != 0 && m.holds(data) {
			t.Errorf("%s: got %v, want %v; the slot is right: %v", c.name, err, c.want, m.holds(data))
		}
	}
	// An old system that is still to be seen while the new one is written: with the step it does
	// not load.
	for o, want := range map[omit]bool{0: false, omitInvalidate: true} {
		m := newMemory()
		_, s, _ := system(6, 3<<20)
		fill := s.Fill
		s.Fill = func(ctx context.Context, p Partition, resume bool) (first [Sector]byte, err error) {
			if m.loads() != want {
				t.Errorf("steps left out %d: the slot loads while it is filled: %v", o, m.loads())
			}
			return fill(ctx, p, resume)
		}
		if err := write(t.Context(), m, area, s, nil, o); err != nil {
			t.Error(err)
		}
	}
}

func TestCancel(t *testing.T) {
	stop := errors.New("the user stops it")
	ctx, cancel := context.WithCancelCause(t.Context())
	m := newMemory()
	_, s, _ := system(7, 3<<20)
	err := Write(ctx, m, area, s, func(done, _ int64) {
		if done > 1<<20 {
			cancel(stop)
		}
	})
	if !errors.Is(err, stop) || m.loads() {
		t.Errorf("got %v, the slot loads: %v", err, m.loads())
	}
}
