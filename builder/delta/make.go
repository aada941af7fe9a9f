// Package delta makes deltas between slots, in the format of init/contract/delta: seeds of 16 bytes
// and the scoring of bsdiff on the uncompressed contents of what changed.
package delta

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"runtime/debug"
	"slices"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/codec"
	format "imgbuild/init/contract/delta"
	"imgbuild/init/contract/zstdblock"
)

// Slot is a slot with the index of its pieces.
type Slot struct {
	Data     io.ReaderAt
	Index    *bundle.Index
	Encoders []codec.Encoder // that made it
}

// Make writes the delta from one slot to another to w. The same slots give the same delta. It holds
// the contents of what changed in memory, once of each slot.
func Make(ctx context.Context, w io.Writer, old, new Slot) error {
	// Half of what Go would leave uncollected: contents are long, and few.
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	m := &maker{ctx: ctx, old: old, new: new}
	for _, do := range []func() error{m.pair, m.streams, m.blocks} {
		if err := do(); err != nil {
			return fmt.Errorf("making a delta: %w", err)
		}
	}
	return m.write(w)
}

type maker struct {
	ctx      context.Context
	old, new Slot
	units    []bundle.Unit // of the new slot that a delta can bring
	do       []action      // for each of them
	gone     []bundle.Unit // of the old slot: those that are in no place of the new one
	sources  []format.Source

	content [format.Streams][]byte
	quiet   uint64 // copied bytes since the last one that differed
	last    int64  // where a copy from the blocks would go on
}

// action is what is done with a unit, as in format.Step.
type action struct {
	do   int
	from int64
}

func key(x *bundle.Index, u bundle.Unit) string {
	b := binary.AppendVarint(nil, u.Size)
	for _, p := range x.Pieces[u.First : u.First+u.Count] {
		b = append(b, p.Sum[:]...)
	}
	return string(b)
}

// pair finds what both slots have.
func (m *maker) pair() error {
	have := map[string][]bundle.Unit{}
	for _, u := range m.old.Index.Units {
		if format.Sent(u) {
			k := key(m.old.Index, u)
			have[k] = append(have[k], u)
		}
	}
	used := map[string]bool{}
	end := int64(-1)
	for _, u := range m.new.Index.Units {
		if !format.Sent(u) {
			continue
		}
		m.units = append(m.units, u)
		k := key(m.new.Index, u)
		list := have[k]
		if len(list) == 0 {
			m.do, end = append(m.do, action{do: format.Whole}), -1
			continue
		}
		// Naming one after the last copy costs nothing.
		pick := max(slices.IndexFunc(list, func(o bundle.Unit) bool { return o.Off == end }), 0)
		m.do = append(m.do, action{do: format.Copy, from: list[pick].Off})
		end, used[k] = list[pick].Off+u.Size, true
	}
	for _, u := range m.old.Index.Units {
		if format.Sent(u) && !used[key(m.old.Index, u)] {
			m.gone = append(m.gone, u)
		}
	}
	return nil
}

// stream returns the content of a Gzip or Stream unit.
func (m *maker) stream(s Slot, u bundle.Unit) ([]byte, error) {
	r, err := codec.NewReader(u.Kind, io.NewSectionReader(s.Data, u.Off, u.Size))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := make([]byte, u.Raw)
	_, err = io.ReadFull(r, out)
	return out, err
}

// streams patches kernel and initramfs, each from its like in the old slot.
func (m *maker) streams() error {
	for i, u := range m.units {
		if m.do[i].do != format.Whole || u.Kind != codec.Gzip && u.Kind != codec.Stream || !codec.Has(m.new.Encoders, u.Kind) {
			continue
		}
		j := slices.IndexFunc(m.gone, func(o bundle.Unit) bool { return o.Kind == u.Kind })
		if j < 0 {
			continue
		}
		if err := m.ctx.Err(); err != nil {
			return err
		}
		o := m.gone[j]
		from, err := m.stream(m.old, o)
		if err != nil {
			return err
		}
		to, err := m.stream(m.new, u)
		if err != nil {
			return err
		}
		match := newMatcher(from, format.Reach-1<<16)
		m.sources = append(m.sources, format.Source{Kind: o.Kind, Off: o.Off, Size: o.Size, Raw: o.Raw})
		m.do[i] = action{do: format.Old, from: int64(len(m.sources) - 1)}
		at := int64(0)
		m.patch(match.old, to, match.parts(to, 0), &at)
	}
	return nil
}

// blocks patches all else from the blocks of the old slot that are gone.
func (m *maker) blocks() error {
	d, err := codec.NewDecoder()
	if err != nil {
		return err
	}
	read := func(dst []byte, s Slot, u bundle.Unit) ([]byte, error) {
		stored := make([]byte, u.Size)
		if _, err := s.Data.ReadAt(stored, u.Off); err != nil {
			return nil, err
		}
		if u.Kind == codec.Raw {
			return append(dst, stored...), nil
		}
		at := len(dst)
		dst = slices.Grow(dst, int(u.Raw))
		out, err := d.Decode(dst[at:at:at+int(u.Raw)], stored, u.Kind, u.Raw)
		return dst[:at+len(out)], err
	}
	var total int64
	for _, u := range m.gone {
		if u.Kind != codec.Gzip && u.Kind != codec.Stream {
			total += u.Raw
		}
	}
	from := make([]byte, 0, total)
	for _, u := range m.gone {
		if u.Kind == codec.Gzip || u.Kind == codec.Stream {
			continue
		}
		if from, err = read(from, m.old, u); err != nil {
			return fmt.Errorf("the old slot at %d: %w", u.Off, err)
		}
		m.sources = append(m.sources, format.Source{Kind: u.Kind, Off: u.Off, Size: u.Size, Raw: u.Raw})
	}
	match := newMatcher(from, 0)
	var to []byte
	for i, u := range m.units {
		if m.do[i].do != format.Whole || u.Kind == codec.Gzip || u.Kind == codec.Stream || !codec.Has(m.new.Encoders, u.Kind) {
			continue
		}
		if err := m.ctx.Err(); err != nil {
			return err
		}
		if to, err = read(to[:0], m.new, u); err != nil {
			return fmt.Errorf("the new slot at %d: %w", u.Off, err)
		}
		list := match.parts(to, int(m.last))
		if copied(list)*worth < len(to) {
			continue // as good as new: it is sent as it is, and costs the node nothing to make
		}
		m.do[i].do = format.Blocks
		m.patch(match.old, to, list, &m.last)
	}
	return nil
}

// worth is which part of a content must come from the old slot for it to be patched.
const worth = 16

func copied(list []part) (n int) {
	for _, p := range list {
		n += p.copied
	}
	return n
}

// patch appends the steps that make to. at is where a copy goes on if it does not move.
func (m *maker) patch(old, to []byte, list []part, at *int64) {
	for _, p := range list {
		m.put(format.Ops, uint64(p.literals))
		m.put(format.Ops, uint64(p.copied))
		m.content[format.Literals] = append(m.content[format.Literals], to[:p.literals]...)
		to = to[p.literals:]
		if p.copied == 0 {
			continue
		}
		m.content[format.Ops] = binary.AppendVarint(m.content[format.Ops], int64(p.pos)-*at)
		*at = int64(p.pos + p.copied)
		for i, b := range old[p.pos : p.pos+p.copied] {
			if to[i] == b {
				m.quiet++
				continue
			}
			m.put(format.Gaps, m.quiet)
			m.content[format.Values] = append(m.content[format.Values], to[i]-b)
			m.quiet = 0
		}
		to = to[p.copied:]
	}
}

func (m *maker) put(id int, v uint64) {
	m.content[id] = binary.AppendUvarint(m.content[id], v)
}

// write puts the delta together.
func (m *maker) write(w io.Writer) error {
	m.put(format.Gaps, 1<<40) // nothing differs any more
	m.plan()
	var parts [format.Streams][][]byte
	for id, content := range m.content {
		for part := range slices.Chunk(content, format.Part) {
			parts[id] = append(parts[id], part)
		}
	}
	order, err := format.Order(parts, m.units)
	if err != nil {
		return fmt.Errorf("making a delta: %w", err)
	}
	var e zstdblock.Encoder
	var out []byte
	for _, id := range order {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		out = format.AppendPart(out[:0], &e, id, parts[id][0])
		parts[id] = parts[id][1:]
		if _, err := w.Write(out); err != nil {
			return err
		}
	}
	return nil
}

// plan makes the description out of what is done with each unit.
func (m *maker) plan() {
	d := format.Description{Sources: m.sources}
	end := int64(0) // of the last copy
	for i, a := range m.do {
		last := len(d.Steps) - 1
		joins := last >= 0 && d.Steps[last].Do == a.do && a.do != format.Old && (a.do != format.Copy || a.from == end)
		if joins {
			d.Steps[last].Count++
		} else {
			d.Steps = append(d.Steps, format.Step{Do: a.do, Count: 1, From: a.from})
		}
		end = a.from + m.units[i].Size
	}
	m.content[format.Plan] = d.Marshal()
}
