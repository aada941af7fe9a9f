package xz

import (
	"bufio"
	"bytes"
	"io"
)

// maxAhead is the most plain bytes of a block that is decoded ahead. dpkg-deb makes blocks of 24
// MiB.
const maxAhead = 64 << 20

// Parallel has up to n blocks decoded at the same time, each on a goroutine and in memory of its
// own, where their headers have their sizes. It is for data that is large: a single block is not
// faster. Call it before the first Read.
func (z *Reader) Parallel(n int) { z.workers = n }

// sized reports whether a block can be taken out of its stream without decoding it.
func (b *block) sized() bool {
	return b.packed >= 0 && b.plain >= 0 && b.packed <= maxAhead && b.plain <= maxAhead
}

// job is a block that is decoded ahead.
type job struct {
	body
	plain []byte
	size  int64 // as an index has it
	err   error
	done  chan struct{}
}

// start takes a block out of the stream. If it is the only one it is decoded as any other.
func (z *Reader) start(b *body) error {
	size := (b.head.packed+3)&^3 + int64(len(b.check.sum()))
	raw, err := io.ReadAll(io.LimitReader(z.in, size)) // as much memory as there is data
	if err != nil {
		return err
	}
	if int64(len(raw)) < size {
		return io.ErrUnexpectedEOF
	}
	b.in = bufio.NewReader(bytes.NewReader(raw))
	if next, err := z.in.Peek(1); len(z.ahead) == 0 && err == nil && next[0] == 0 {
		b.d.begin(int(b.head.dict))
		z.body = b
		return nil
	}
	j := &job{body: *b, done: make(chan struct{})}
	z.ahead = append(z.ahead, j)
	go j.run()
	return nil
}

func (j *job) run() {
	defer close(j.done)
	p := pool.Get().(*parts)
	defer pool.Put(p)
	j.d = &p.d
	j.d.begin(int(j.head.dict))
	for {
		plain, err := j.next()
		if err != nil {
			j.size, j.err = j.unpadded(), err
			return
		}
		if j.plain == nil {
			j.plain = make([]byte, 0, j.head.plain)
		}
		j.plain = append(j.plain, plain...)
	}
}

// oldest waits for the block that comes next.
func (z *Reader) oldest() ([]byte, error) {
	j := z.ahead[0]
	<-j.done
	z.ahead = z.ahead[1:]
	if j.err != io.EOF {
		return nil, j.err
	}
	z.blocks.add(j.size, j.written)
	return j.plain, nil
}
