// Package xz reads the .xz format (tukaani.org/xz/xz-file-format.txt, 1.2.1): any number of streams
// with padding between them, blocks of LZMA2, checked by CRC32, CRC64 or SHA-256.
//
// It exists for its speed: unpacking Debian packages is half of the work of a build. Filters before
// LZMA2 (delta, those for machine code) and other checks are refused; no Debian package has them.
package xz

import (
	"bufio"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
)

var (
	// ErrDamaged is that the data is not what an encoder wrote.
	ErrDamaged = errors.New("the xz data is damaged")
	// ErrUnsupported is that the data needs what this package has not.
	ErrUnsupported = errors.New("the xz data needs what this reader does not have")
)

// Magic begins every stream.
const Magic = "\xfd7zXZ\x00"

// bufferSize is that of the input: larger than a chunk.
const bufferSize = 128 << 10

// parts are what a reader needs of memory. They are used again: there are a hundred packages and
// a thousand modules.
type parts struct {
	in *bufio.Reader
	d  decoder
}

var pool = sync.Pool{New: func() any { return &parts{in: bufio.NewReaderSize(nil, bufferSize)} }}

// Reader reads the plain bytes of xz data. It is not safe for use by many goroutines.
type Reader struct {
	*parts
	limit int    // of a dictionary
	plain []byte // decoded, and not read yet
	err   error  // sticky

	streams int // that were finished
	open    bool
	flags   [2]byte // of the stream
	blocks  records // of the stream
	body    *body   // the block that is decoded; nil between blocks

	workers int    // blocks in work ahead, at most
	ahead   []*job // blocks in work, oldest first
}

// records sums what is known of the blocks of a stream, for the comparison with its index. A list
// of them could be as long as the input.
type records struct {
	count uint64
	sum   hash.Hash
}

// NewReader returns a reader of r. A dictionary of more than limit bytes is refused. The reader
// takes as much memory as its data needs, at most its dictionary, once more as much of up to 32
// MiB, and a few MiB. Close it.
func NewReader(r io.Reader, limit int) *Reader {
	p := pool.Get().(*parts)
	p.in.Reset(r)
	return &Reader{parts: p, limit: limit}
}

// Close returns the memory of the reader, for the next one. It does not close what it reads from.
func (z *Reader) Close() {
	for _, j := range z.ahead {
		<-j.done
	}
	if z.parts != nil {
		z.in.Reset(nil)
		pool.Put(z.parts)
	}
	z.parts, z.plain, z.ahead, z.err = nil, nil, nil, os.ErrClosed
}

// Read reads plain bytes. What is returned before the end may come from a block whose check does
// not match: only io.EOF shows that all of it is right.
func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := z.fill(); err != nil {
		return 0, err
	}
	n := copy(p, z.plain)
	z.plain = z.plain[n:]
	return n, nil
}

// WriteTo writes all plain bytes that are left, without a copy between.
func (z *Reader) WriteTo(w io.Writer) (all int64, err error) {
	for {
		if err := z.fill(); err == io.EOF {
			return all, nil
		} else if err != nil {
			return all, err
		}
		n, err := w.Write(z.plain)
		all += int64(n)
		z.plain = z.plain[n:]
		if err != nil {
			return all, err
		}
	}
}

// fill decodes until there are plain bytes.
func (z *Reader) fill() error {
	for len(z.plain) == 0 && z.err == nil {
		z.plain, z.err = z.next()
	}
	if len(z.plain) > 0 {
		return nil
	}
	return z.err
}

// next decodes a little: a chunk, or a header, or a trailer, which have no plain bytes.
func (z *Reader) next() ([]byte, error) {
	switch {
	case z.body != nil && len(z.ahead) > 0: // what was begun before comes first
		return z.oldest()
	case z.body != nil:
		plain, err := z.body.next()
		if err == io.EOF {
			z.blocks.add(z.body.unpadded(), z.body.written)
			z.body, err = nil, nil
		}
		return plain, err
	case z.open:
		return z.nextBlock()
	}
	return nil, z.nextStream()
}

// body decodes one block.
type body struct {
	in      *bufio.Reader
	d       *decoder
	head    block
	check   checksum
	written int64
}

// next returns the next plain bytes, which are valid until the next call, or io.EOF when the block
// has ended and is what its header and its check say.
func (b *body) next() ([]byte, error) {
	plain, err := b.d.chunk(b.in)
	if err == io.EOF {
		if err := b.end(); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	b.written += int64(len(plain))
	if b.head.plain >= 0 && b.written > b.head.plain || b.head.packed >= 0 && b.d.read > b.head.packed {
		return nil, damaged(errBlockSize)
	}
	b.check.update(plain)
	return plain, nil
}

// unpadded is the size of the block as an index has it.
func (b *body) unpadded() int64 { return b.head.size + b.d.read + int64(len(b.check.sum())) }

// unsupported makes an error of ErrUnsupported.
func unsupported(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, a...))
}
