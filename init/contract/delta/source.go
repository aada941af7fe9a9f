package delta

import (
	"bufio"
	"io"
	"slices"
	"sort"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/codec"
)

// window is the part of a stream's content that is kept: enough for Reach on both sides of the
// place of a step.
const window = 2*Reach + step

// step is how many bytes a patch makes at a time.
const step = 64 << 10

// arena is the memory that sources use, one kind of source after the other.
type arena []byte

func newArena() arena { return make([]byte, window) }

// ring returns the content of a stream of the old slot, which is decoded once from beginning to
// end.
type ring struct {
	buf []byte
	r   io.ReadCloser
	end int64 // of what was decoded
	raw int64 // of the whole content
}

func openRing(old io.ReaderAt, s Source, a arena) (*ring, error) {
	r, err := codec.NewReader(s.Kind, bufio.NewReaderSize(io.NewSectionReader(old, s.Off, s.Size), step))
	if err != nil {
		return nil, err
	}
	return &ring{buf: a, r: r, raw: s.Raw}, nil
}

// read fills p with the content at pos.
func (g *ring) read(p []byte, pos int64) error {
	end := pos + int64(len(p))
	if pos < 0 || end > g.raw || pos < g.end-int64(len(g.buf)) {
		return errDelta
	}
	for g.end < end {
		at := g.end % int64(len(g.buf))
		n := min(end-g.end, int64(len(g.buf))-at)
		k, err := io.ReadFull(g.r, g.buf[at:at+n])
		g.end += int64(k)
		if err != nil {
			return err
		}
	}
	if pos < g.end-int64(len(g.buf)) {
		return errDelta
	}
	for len(p) > 0 {
		n := copy(p, g.buf[pos%int64(len(g.buf)):])
		p, pos = p[n:], pos+int64(n)
	}
	return nil
}

func (g *ring) close() { g.r.Close() }

// blocks returns the contents of blocks and raw parts of the old slot, as one address space.
// Decoded blocks are kept, the least recently used one gives way.
type blocks struct {
	old    io.ReaderAt
	list   []Source
	starts []int64 // of each in the address space
	end    int64
	decode *codec.Decoder
	packed []byte
	cached []*cached // most recently used first
	free   [][]byte
}

type cached struct {
	source int
	space  []byte // of the arena
	data   []byte // in space
	err    error
}

// fewest is how many blocks are kept at least, where they are too long for the arena.
const fewest = 4

func newBlocks(old io.ReaderAt, all []Source, a arena) (*blocks, error) {
	b := &blocks{old: old}
	longest := int64(1)
	for _, s := range all {
		if s.Stream() {
			continue
		}
		b.list, b.starts = append(b.list, s), append(b.starts, b.end)
		b.end += s.Raw
		if s.Kind != codec.Raw {
			longest = max(longest, s.Raw)
		}
	}
	if longest*fewest > int64(len(a)) {
		a = make([]byte, longest*fewest)
	}
	for n := int64(0); n+longest <= int64(len(a)) && len(b.free) < 256; n += longest {
		b.free = append(b.free, a[n:n+longest:n+longest])
	}
	b.packed = make([]byte, 0, bundle.PieceSize)
	var err error
	b.decode, err = codec.NewDecoder()
	return b, err
}

// read fills p with the content at pos.
func (b *blocks) read(p []byte, pos int64) error {
	if pos < 0 || pos+int64(len(p)) > b.end {
		return errDelta
	}
	i := sort.Search(len(b.starts), func(i int) bool { return b.starts[i] > pos }) - 1
	for ; len(p) > 0; i++ {
		s, at := b.list[i], pos-b.starts[i]
		n := min(int64(len(p)), s.Raw-at)
		if s.Kind == codec.Raw {
			if _, err := b.old.ReadAt(p[:n], s.Off+at); err != nil {
				return err
			}
		} else {
			c := b.get(i)
			if c.err != nil {
				return c.err
			}
			copy(p[:n], c.data[at:])
		}
		p, pos = p[n:], pos+n
	}
	return nil
}

func (b *blocks) get(i int) *cached {
	for j, c := range b.cached {
		if c.source == i {
			copy(b.cached[1:j+1], b.cached[:j])
			b.cached[0] = c
			return c
		}
	}
	var space []byte
	if n := len(b.free); n > 0 {
		space, b.free = b.free[n-1], b.free[:n-1]
	} else {
		last := b.cached[len(b.cached)-1]
		space, b.cached = last.space, b.cached[:len(b.cached)-1]
	}
	s := b.list[i]
	c := &cached{source: i, space: space}
	b.packed = slices.Grow(b.packed[:0], int(s.Size))[:s.Size]
	if _, c.err = b.old.ReadAt(b.packed, s.Off); c.err == nil {
		var out []byte
		if out, c.err = b.decode.Decode(space[:0], b.packed, s.Kind, s.Raw); c.err == nil {
			c.data = out
		}
	}
	b.cached = slices.Insert(b.cached, 0, c)
	return c
}
