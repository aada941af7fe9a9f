package slot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

// memory is a disk of 8 MiB.
type memory struct {
	data   []byte
	writes int
	bytes  int
	lost   int64             // writes to the sector at this offset do not arrive; -1 = none
	fail   func(n int) error // of the write with number n, from 1
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) { return copy(p, m.data[off:]), nil }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if m.writes++; m.fail != nil {
		if err := m.fail(m.writes); err != nil {
			return 0, err
		}
	}
	if len(p)%Sector != 0 || off%Sector != 0 {
		return 0, errors.New("not whole sectors")
	}
	m.bytes += len(p)
	for i := 0; i < len(p); i += Sector {
		if off+int64(i) != m.lost {
			copy(m.data[off+int64(i):], p[i:i+Sector])
		}
	}
	return len(p), nil
}

func (m *memory) Flush() error { return nil }

// parts is a system in pieces; alter changes what a piece gives.
type parts struct {
	data   []byte
	pieces []Piece
	asked  []int
	alter  func(i int, data []byte) []byte
}

func newParts(seed uint64, size int) *parts {
	rng := rand.New(rand.NewPCG(seed, 0))
	s := &parts{data: make([]byte, size)}
	for i := range s.data {
		s.data[i] = byte(rng.Uint32() | 1) // a first sector is never all zeros
	}
	for rest := s.data; len(rest) > 0; {
		n := min(1+rng.IntN(200_000), len(rest))
		if len(s.pieces) < 3 {
			n = min(200, len(rest)) // the first sector lies in several
		}
		s.pieces = append(s.pieces, Piece{int64(n), sha256.Sum256(rest[:n])})
		rest = rest[n:]
	}
	return s
}

func (s *parts) Pieces() []Piece { return s.pieces }

func (s *parts) Piece(_ context.Context, i int) ([]byte, error) {
	s.asked = append(s.asked, i)
	at := int64(0)
	for _, p := range s.pieces[:i] {
		at += p.Size
	}
	data := bytes.Clone(s.data[at : at+s.pieces[i].Size])
	if s.alter != nil {
		data = s.alter(i, data)
	}
	return data, nil
}

var area = Area{Start: 1 << 20, Size: 4 << 20}

func newMemory() *memory {
	m := &memory{data: bytes.Repeat([]byte{0xaa}, 8<<20), lost: -1}
	return m
}

func (m *memory) holds(s *parts) bool { return bytes.Equal(m.data[area.Start:][:len(s.data)], s.data) }

// loads reports whether U-Boot could find a file system in the slot.
func (m *memory) loads() bool { return m.data[area.Start] != 0 }

func TestWrite(t *testing.T) {
	for _, size := range []int{Sector, Sector + 1, 5000, 1 << 20, 1<<20 + 77, 3<<20 + 512, 4 << 20} {
		m, s := newMemory(), newParts(uint64(size), size)
		var steps []string
		last := int64(0)
		err := Write(t.Context(), m, area, s, func(step string, done, total int64) {
			if len(steps) == 0 || steps[len(steps)-1] != step {
				steps, last = append(steps, step), 0
			}
			if done < last || done > total+Sector {
				t.Errorf("%d bytes: %s went from %d to %d of %d", size, step, last, done, total)
			}
			last = done
		})
		if err != nil || !m.holds(s) {
			t.Errorf("%d bytes: %v; the slot holds the system: %v", size, err, m.holds(s))
		}
		outside := bytes.Count(m.data[:area.Start], []byte{0xaa}) + bytes.Count(m.data[area.Start+area.Size:], []byte{0xaa})
		if outside != 4<<20 {
			t.Errorf("%d bytes: got %d untouched bytes outside of the slot, want all", size, outside)
		}
	}
}

func TestSize(t *testing.T) {
	for _, size := range []int{0, 1, Sector - 1, 4<<20 + 1} {
		m, s := newMemory(), newParts(1, size)
		if err := Write(t.Context(), m, area, s, nil); fault.Code(err) != fault.Code(fault.New(fault.Input, "", "")) || m.writes != 0 {
			t.Errorf("%d bytes: got %v after %d writes, want a refusal before any", size, err, m.writes)
		}
	}
}

// TestResume: whatever ends a write, the slot does not load, and the next one goes on where it stopped.
func TestResume(t *testing.T) {
	s := newParts(3, 3<<20+100)
	broken := errors.New("no more power")
	for stop := 1; ; stop++ {
		m := newMemory()
		m.fail = func(n int) error {
			if n >= stop {
				return broken
			}
			return nil
		}
		err := Write(t.Context(), m, area, s, nil)
		if err == nil {
			if stop < 5 {
				t.Errorf("got %d writes in all, want a few", stop-1)
			}
			break
		}
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if stop > 1 && m.loads() {
			t.Errorf("stopped at write %d: the slot loads", stop)
		}
		before := m.bytes
		m.fail, s.asked = nil, nil
		if err := Write(t.Context(), m, area, s, nil); err != nil || !m.holds(s) {
			t.Fatalf("stopped at write %d: %v", stop, err)
		}
		if again := m.bytes - before; stop > 3 && again > len(s.data)-(stop-3)*Chunk+2*Chunk {
			t.Errorf("stopped at write %d: %d of %d bytes were written again", stop, again, len(s.data))
		}
	}
	// Another system than the one that was begun is written whole.
	m := newMemory()
	m.fail = func(n int) error {
		if n > 3 {
			return broken
		}
		return nil
	}
	_ = Write(t.Context(), m, area, newParts(4, 3<<20), nil)
	m.fail = nil
	if err := Write(t.Context(), m, area, s, nil); err != nil || !m.holds(s) {
		t.Errorf("after another system: %v", err)
	}
}

// TestChecks: each check is there because something would be missed without it.
func TestChecks(t *testing.T) {
	flip := func(i int, data []byte) []byte {
		if i == 4 {
			data[10] ^= 1
		}
		return data
	}
	short := func(i int, data []byte) []byte {
		if i == 4 {
			return data[:len(data)-1]
		}
		return data
	}
	for _, c := range []struct {
		name  string
		alter func(int, []byte) []byte
		lost  int64
		skip  check
		want  error
	}{
		{"a piece with another bit", flip, -1, 0, ErrPiece},
		{"a short piece", short, -1, 0, ErrPiece},
		{"a piece with another bit, pieces unchecked", flip, -1, noHash, ErrReadBack},
		{"a piece with another bit, nothing checked", flip, -1, noHash | noVerify, nil},
		{"a sector that is lost", nil, area.Start + 2<<20, 0, ErrReadBack},
		{"a sector of the first piece that is lost", nil, area.Start + Sector, 0, ErrReadBack},
		{"a sector that is lost, nothing read back", nil, area.Start + 2<<20, noVerify, nil},
	} {
		m, s := newMemory(), newParts(5, 3<<20)
		s.alter, m.lost = c.alter, c.lost
		err := write(t.Context(), m, area, s, nil, c.skip)
		if !errors.Is(err, c.want) || c.want != nil && m.loads() || c.want == nil && m.holds(s) {
			t.Errorf("%s: got %v, want %v; the slot loads: %v", c.name, err, c.want, m.loads())
		}
	}
	// The first sector itself is lost: it stays as it was.
	m, s := newMemory(), newParts(6, 1<<20)
	m.lost = area.Start
	if err := Write(t.Context(), m, area, s, nil); !errors.Is(err, ErrReadBack) {
		t.Errorf("the first sector is lost: got %v", err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the user stops it")
	m, s := newMemory(), newParts(7, 3<<20)
	s.alter = func(i int, data []byte) []byte {
		if i == 6 {
			cancel(stop)
		}
		return data
	}
	if err := Write(ctx, m, area, s, nil); !errors.Is(err, stop) || m.loads() {
		t.Errorf("got %v, the slot loads: %v", err, m.loads())
	}
	if err := Write(t.Context(), m, Area{Start: 7, Size: 1 << 20}, s, nil); err == nil || !strings.Contains(err.Error(), "whole sectors") {
		t.Errorf("got %v", err)
	}
}
