package delta

import (
	"errors"
	"io"
)

// reader is a source.
type reader interface {
	read(p []byte, pos int64) error
}

// patcher makes contents out of the streams. Differences go on from one content to the next.
type patcher struct {
	s     *streams
	gap   uint64   // copied bytes before the next one that differs
	known bool     // gap was read
	pos   [2]int64 // where the next copy begins if it does not move: of blocks, of the stream
	buf   [step]byte
}

// run makes a content of raw bytes and writes it to w. from is the source; nil goes through the
// streams only, as far as they have this content. w gets something for each byte even if the
// source fails: the error comes at the end, wrapped in errSource. Any other error but that of w
// means that the streams are of no use any more.
func (p *patcher) run(w io.Writer, from reader, stream bool, raw int64) error {
	var bad error
	pos := &p.pos[0]
	if stream {
		pos = &p.pos[1]
		*pos = 0
	}
	write := func(b []byte) error {
		if w == nil {
			return nil
		}
		_, err := w.Write(b)
		return err
	}
	for done := int64(0); done < raw; {
		literals, err := p.s.uvarint(Ops)
		if err != nil {
			return err
		}
		copied, err := p.s.uvarint(Ops)
		if err != nil {
			return err
		}
		if literals > uint64(raw-done) || copied > uint64(raw-done)-literals || literals+copied == 0 {
			return errDelta
		}
		for n := int64(literals); n > 0; {
			b := p.buf[:min(n, step)]
			if err := p.s.read(Literals, b); err != nil {
				return err
			}
			if err := write(b); err != nil {
				return err
			}
			n -= int64(len(b))
		}
		done += int64(literals)
		if copied == 0 {
			continue
		}
		move, err := p.s.varint(Ops)
		if err != nil {
			return err
		}
		*pos += move
		for n := int64(copied); n > 0; {
			b := p.buf[:min(n, step)]
			if from != nil && bad == nil {
				if err := from.read(b, *pos); err != nil {
					bad = errors.Join(errSource, err)
				}
			}
			if err := p.differ(b); err != nil {
				return err
			}
			if err := write(b); err != nil {
				return err
			}
			n, *pos = n-int64(len(b)), *pos+int64(len(b))
		}
		done += int64(copied)
	}
	return bad
}

// errSource means that the old slot does not have what the delta was made from.
var errSource = errors.New("the old slot cannot be read as the delta needs it")

// differ changes the copied bytes that differ.
func (p *patcher) differ(b []byte) error {
	for at := uint64(0); ; {
		if !p.known {
			var err error
			if p.gap, err = p.s.uvarint(Gaps); err != nil {
				return err
			}
			p.known = true
		}
		if p.gap >= uint64(len(b))-at {
			p.gap -= uint64(len(b)) - at
			return nil
		}
		at += p.gap
		v, err := p.s.byte(Values)
		if err != nil {
			return err
		}
		b[at] += v
		at++
		p.known = false
		if at == uint64(len(b)) {
			return nil
		}
	}
}
