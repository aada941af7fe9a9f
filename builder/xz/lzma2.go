package xz

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

const (
	maxChunk  = 1 << 16 // compressed bytes of a chunk
	maxPlain  = 1 << 21 // plain bytes of a chunk
	firstSize = 1 << 20 // of a window that has not grown yet
	maxMore   = 32 << 20
)

var (
	errControl = errors.New("a chunk has an unknown kind")
	errStart   = errors.New("its first chunk continues one that is not there")
)

// decoder decodes LZMA2: chunks that are LZMA or plain. Its window is one piece of memory, not a
// ring: a match is then a copy. When it is full, the dictionary moves to its front.
type decoder struct {
	model     model
	in        [maxChunk + slack]byte // the chunk that is decoded
	buf       []byte                 // the window, and slack bytes
	pos       int                    // bytes in the window; they are a valid history, from 0 on
	dict      int                    // bytes that a match may go back
	needDict  bool                   // the next chunk must begin a dictionary
	needProps bool                   // the next LZMA chunk must bring properties
	read      int64                  // compressed bytes of this block
}

// begin prepares for a block.
func (d *decoder) begin(dict int) {
	d.dict, d.pos, d.read, d.needDict, d.needProps = dict, 0, 0, true, true
}

// chunk decodes the next chunk and returns its bytes, which are valid until the next call, or
// io.EOF at the end of the block.
func (d *decoder) chunk(r *bufio.Reader) ([]byte, error) {
	control, err := r.ReadByte()
	if err != nil {
		return nil, noEOF(err)
	}
	d.read++
	if control == 0 {
		return nil, io.EOF
	}
	if control >= 0xe0 || control == 1 {
		d.pos, d.needDict, d.needProps = 0, false, true
	} else if d.needDict {
		return nil, damaged(errStart)
	}
	if control < 0x80 {
		if control > 2 {
			return nil, damaged(errControl)
		}
		return d.stored(r)
	}
	head, err := d.take(r, 4)
	if err != nil {
		return nil, err
	}
	n := int(control&0x1f)<<16 + int(head[0])<<8 + int(head[1]) + 1
	size := int(head[2])<<8 + int(head[3]) + 1
	switch {
	case control >= 0xc0:
		props, err := d.take(r, 1)
		if err != nil {
			return nil, err
		}
		if err := d.model.properties(props[0]); err != nil {
			return nil, damaged(err)
		}
		d.needProps = false
	case d.needProps:
		return nil, damaged(errStart)
	case control >= 0xa0:
		d.model.reset()
	}
	if _, err := d.take(r, size); err != nil {
		return nil, err
	}
	d.room(n)
	start := d.pos
	if err := d.lzma(n, size); err != nil {
		return nil, damaged(err)
	}
	return d.buf[start:d.pos], nil
}

// take reads n bytes of the block to d.in.
func (d *decoder) take(r *bufio.Reader, n int) ([]byte, error) {
	if _, err := io.ReadFull(r, d.in[:n]); err != nil {
		return nil, noEOF(err)
	}
	d.read += int64(n)
	return d.in[:n], nil
}

// stored copies a chunk that is not compressed.
func (d *decoder) stored(r *bufio.Reader) ([]byte, error) {
	head, err := d.take(r, 2)
	if err != nil {
		return nil, err
	}
	n := int(head[0])<<8 + int(head[1]) + 1
	d.room(n)
	to := d.buf[d.pos : d.pos+n]
	if _, err := io.ReadFull(r, to); err != nil {
		return nil, noEOF(err)
	}
	d.read += int64(n)
	d.pos += n
	return to, nil
}

// room makes place for n more bytes. A small package never gets the memory of its dictionary: the
// window grows with what is in it. At its largest it has so much more than the dictionary that what
// moves to the front is little next to what was decoded.
func (d *decoder) room(n int) {
	need := d.pos + n + slack
	if need <= len(d.buf) {
		return
	}
	most := d.dict + min(max(d.dict, 2*maxPlain), maxMore) + slack
	if len(d.buf) < most {
		bigger := make([]byte, min(most, max(need, 2*len(d.buf), firstSize)))
		copy(bigger, d.buf[:d.pos])
		if d.buf = bigger; need <= len(d.buf) {
			return
		}
	}
	// Positions count modulo 16 in the model, so the shift is a multiple of that.
	shift := max(0, d.pos-d.dict) &^ 15
	copy(d.buf, d.buf[shift:d.pos])
	d.pos -= shift
}

func damaged(err error) error { return fmt.Errorf("%w: %w", ErrDamaged, err) }

func noEOF(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}
