// Package delta makes a slot out of another one: a delta describes how the uncompressed contents of
// the new slot follow from those of the old one, and the contents are compressed again by the
// encoders that the builder used. The node's result is compared with the signed index of the
// bundle, piece by piece; a piece that is not right is fetched whole.
//
// A delta is not signed and need not be: nothing that it makes is written unchecked, and nothing
// that it asks for exceeds the sizes in the signed index and the limits here.
//
// Format: parts of up to 1 MiB, each after a header of 7 bytes (stream, length of its content,
// length as it is stored; 1 + 3 + 3 bytes, little-endian), compressed by zstdblock or, where both
// lengths are the same, as they are. The parts of the five streams are mixed in the order in which
// an applier needs them, so that it reads forward only.
package delta

import (
	"encoding/binary"
	"errors"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/codec"
)

// Version is that of the format. A delta of another version is not used.
const Version = 1

// Part is the longest content of a part in bytes.
const Part = 1 << 20

// The streams.
const (
	Plan     = iota // what is done with each unit, once, at the beginning
	Ops             // for each step of a patch: literals, copied bytes, and by how much the position in the source moves
	Gaps            // distances between copied bytes that differ
	Values          // by how much those differ
	Literals        // bytes that no source has
	Streams
)

// PartHeader is the length of the header before each part.
const PartHeader = 7

// Reach is how far a copy may be from its own place where the source is a stream that is decoded
// once, in bytes. It is what bounds the memory of an applier.
const Reach = 3 << 20

// What is done with a unit.
const (
	Whole  = 0 // the delta does not bring it
	Copy   = 1 // the old slot has the same bytes
	Blocks = 2 // patched from the blocks of the old slot
	Old    = 3 // patched from one stream of the old slot
)

// Source is a part of the old slot whose content is used.
type Source struct {
	Kind codec.Kind // Raw, Gzip, Stream, Block or Meta
	Off  int64      // in the old slot
	Size int64      // as it is stored
	Raw  int64      // of its content
}

// Stream reports whether a source can only be read from its beginning.
func (s Source) Stream() bool { return s.Kind == codec.Gzip || s.Kind == codec.Stream }

// Step is what is done with the next Count units of the index that are sent at all.
type Step struct {
	Do    int
	Count int
	From  int64 // Copy: offset in the old slot of the first unit, the others follow it. Old: number of the source
}

// Description is the plan of a delta: what is in its Plan stream. Sources that are not streams make
// up one address space, in their order.
type Description struct {
	Sources []Source
	Steps   []Step
}

// Sent reports whether a unit is subject to a delta: zeros and the verity tree are made without
// one.
func Sent(u bundle.Unit) bool { return u.Kind != codec.Zeros && u.Kind != codec.Tree }

// each calls do for all units of the plan, first for those that are patched from streams, then for
// the others: a stream and the blocks never need memory at the same time. That is the order of the
// streams, too.
func (d *Description) each(units []bundle.Unit, do func(do int, u bundle.Unit, from int64) error) error {
	for _, streams := range []bool{true, false} {
		rest := units
		for _, s := range d.Steps {
			from := s.From
			for _, u := range rest[:s.Count] {
				if (s.Do == Old) == streams {
					if err := do(s.Do, u, from); err != nil {
						return err
					}
				}
				if s.Do == Copy {
					from += u.Size
				}
			}
			rest = rest[s.Count:]
		}
	}
	return nil
}

// Marshal returns the plan as it is in its stream.
func (d *Description) Marshal() []byte {
	b := binary.AppendUvarint([]byte{Version}, uint64(len(d.Sources)))
	end := int64(0)
	for _, s := range d.Sources {
		b = binary.AppendVarint(append(b, byte(s.Kind)), s.Off-end)
		b = binary.AppendUvarint(b, uint64(s.Size))
		if s.Kind != codec.Raw {
			b = binary.AppendUvarint(b, uint64(s.Raw))
		}
		end = s.Off + s.Size
	}
	b = binary.AppendUvarint(b, uint64(len(d.Steps)))
	last := int64(0)
	for _, s := range d.Steps {
		b = binary.AppendUvarint(append(b, byte(s.Do)), uint64(s.Count))
		if s.Do == Copy || s.Do == Old {
			b = binary.AppendVarint(b, s.From-last)
			last = s.From
		}
	}
	return b
}

// errDelta means that a delta cannot be used. It is no reason to give up the upgrade.
var errDelta = errors.New("the delta is damaged or not made for this slot")

// limits of a plan.
const (
	maxSources = 1 << 16
	maxSteps   = 1 << 16
	maxPlan    = 4 << 20
)

// parsePlan reads a plan from its stream.
func parsePlan(s *streams, units int) (*Description, error) {
	if v, err := s.byte(Plan); err != nil || v != Version {
		return nil, errors.Join(errDelta, err)
	}
	d := &Description{}
	var err error
	number := func(most int64) int64 {
		var v uint64
		if err == nil {
			v, err = s.uvarint(Plan)
		}
		if v > uint64(most) {
			err = errors.Join(errDelta, err)
		}
		if err != nil {
			return 0
		}
		return int64(v)
	}
	signed := func() int64 {
		v := number(1<<42 - 1)
		return v>>1 ^ -(v & 1)
	}
	kind := func() byte {
		var v byte
		if err == nil {
			v, err = s.byte(Plan)
		}
		return v
	}
	end := int64(0)
	for n := number(maxSources); n > 0 && err == nil; n-- {
		x := Source{Kind: codec.Kind(kind())}
		x.Off = end + signed()
		x.Size = number(bundle.MaxSlot)
		x.Raw = x.Size
		most := int64(bundle.MaxSlot)
		switch x.Kind {
		case codec.Raw:
		case codec.Block:
			most = bundle.MaxBlock
		case codec.Meta:
			most = bundle.MaxMeta
		case codec.Gzip, codec.Stream:
			most = bundle.MaxRaw
		default:
			return nil, errDelta
		}
		if x.Kind != codec.Raw {
			x.Raw = number(most)
		}
		if x.Kind == codec.Block && x.Size > bundle.MaxBlock || x.Kind == codec.Meta && x.Size > bundle.MaxMeta+2 {
			return nil, errDelta
		}
		if end = x.Off + x.Size; x.Off < 0 || end > bundle.MaxSlot {
			return nil, errDelta
		}
		d.Sources = append(d.Sources, x)
	}
	last, covered := int64(0), 0
	for n := number(maxSteps); n > 0 && err == nil; n-- {
		x := Step{Do: int(kind())}
		x.Count = int(number(int64(units - covered)))
		covered += x.Count
		switch x.Do {
		case Whole, Blocks:
		case Copy, Old:
			x.From = last + signed()
			last = x.From
		default:
			return nil, errDelta
		}
		if x.From < 0 || x.From > bundle.MaxSlot || x.Do == Old && (x.From >= int64(len(d.Sources)) || !d.Sources[x.From].Stream()) {
			return nil, errDelta
		}
		d.Steps = append(d.Steps, x)
	}
	return d, err
}
