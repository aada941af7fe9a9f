package xz

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

var (
	errMagic     = errors.New("it does not begin like an xz stream")
	errSum       = errors.New("a header has another CRC32")
	errReserved  = errors.New("reserved bits of a header are set")
	errBlockSize = errors.New("a block has another size than its header")
	errPadding   = errors.New("padding is not zero")
	errCheck     = errors.New("the check of a block does not match its data")
	errIndex     = errors.New("the index does not match the blocks")
	errFooter    = errors.New("the footer does not match the stream")
	errNumber    = errors.New("a number is too long")
)

// nextStream reads the header of a stream, or io.EOF after one.
func (z *Reader) nextStream() error {
	for z.streams > 0 {
		four, err := z.in.Peek(4)
		if len(four) == 0 && err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return noEOF(err)
		}
		if binary.LittleEndian.Uint32(four) != 0 {
			break
		}
		z.in.Discard(4)
	}
	var head [12]byte
	if _, err := io.ReadFull(z.in, head[:]); err != nil {
		return noEOF(err)
	}
	if string(head[:6]) != Magic {
		return damaged(errMagic)
	}
	if crc32.ChecksumIEEE(head[6:8]) != binary.LittleEndian.Uint32(head[8:]) {
		return damaged(errSum)
	}
	z.flags = [2]byte(head[6:8])
	if z.flags[0] != 0 || z.flags[1] > 0xf {
		return unsupported("stream flags %x", z.flags)
	}
	z.open, z.blocks = true, records{sum: sha256.New()}
	return new(checksum).begin(z.flags[1])
}

// nextBlock begins a block, or reads the index and the footer. It returns plain bytes if they were
// decoded ahead.
func (z *Reader) nextBlock() ([]byte, error) {
	if len(z.ahead) > 0 && len(z.ahead) == z.workers {
		return z.oldest()
	}
	first, err := z.in.Peek(1)
	if err != nil {
		return nil, noEOF(err)
	}
	if first[0] == 0 && len(z.ahead) > 0 {
		return z.oldest()
	}
	if first[0] == 0 {
		z.open = false
		z.streams++
		return nil, z.endStream()
	}
	raw := make([]byte, (int(first[0])+1)*4)
	if _, err := io.ReadFull(z.in, raw); err != nil {
		return nil, noEOF(err)
	}
	head, err := parseBlock(raw)
	if err != nil {
		return nil, err
	}
	if head.dict > int64(z.limit) {
		return nil, unsupported("a dictionary of %d bytes, more than %d", head.dict, z.limit)
	}
	b := &body{in: z.in, d: &z.d, head: head}
	if err := b.check.begin(z.flags[1]); err != nil {
		return nil, err
	}
	if z.workers > 1 && head.sized() {
		return nil, z.start(b)
	}
	b.d.begin(int(head.dict))
	z.body = b
	return nil, nil
}

// block is the header of a block.
type block struct {
	size          int64 // of the header
	packed, plain int64 // -1: the header does not have it
	dict          int64
}

// parseBlock reads a header of a block; raw is all of it.
func parseBlock(raw []byte) (b block, err error) {
	b = block{size: int64(len(raw)), packed: -1, plain: -1}
	body, sum := raw[:len(raw)-4], raw[len(raw)-4:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(sum) {
		return b, damaged(errSum)
	}
	flags := body[1]
	r := bytes.NewReader(body[2:])
	if flags&0x3c != 0 {
		return b, damaged(errReserved)
	}
	for _, f := range []struct {
		bit byte
		to  *int64
	}{{0x40, &b.packed}, {0x80, &b.plain}} {
		if flags&f.bit == 0 {
			continue
		}
		n, err := number(r)
		if err != nil {
			return b, damaged(noEOF(err))
		}
		*f.to = int64(n)
	}
	if flags&3 != 0 {
		return b, unsupported("a filter before LZMA2")
	}
	var filter [3]byte
	if _, err := io.ReadFull(r, filter[:]); err != nil {
		return b, damaged(noEOF(err))
	}
	if filter[0] != 0x21 || filter[1] != 1 {
		return b, unsupported("filter %#x", filter[0])
	}
	switch bits := filter[2]; {
	case bits > 40:
		return b, unsupported("dictionary size %d", bits)
	case bits == 40:
		b.dict = 1<<32 - 1
	default:
		b.dict = int64(2|bits&1) << (bits/2 + 11)
	}
	for c, err := r.ReadByte(); err == nil; c, err = r.ReadByte() {
		if c != 0 {
			return b, damaged(errPadding)
		}
	}
	return b, nil
}

// end reads what follows the data of a block, and compares.
func (b *body) end() error {
	if b.head.packed >= 0 && b.head.packed != b.d.read || b.head.plain >= 0 && b.head.plain != b.written {
		return damaged(errBlockSize)
	}
	if err := padding(b.in, b.d.read); err != nil {
		return err
	}
	want := b.check.sum()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(b.in, got); err != nil {
		return noEOF(err)
	}
	if !bytes.Equal(got, want) {
		return damaged(errCheck)
	}
	return nil
}

func (r *records) add(unpadded, plain int64) {
	r.count++
	var two [16]byte
	binary.LittleEndian.PutUint64(two[:], uint64(unpadded))
	binary.LittleEndian.PutUint64(two[8:], uint64(plain))
	r.sum.Write(two[:])
}

// summed counts and sums the bytes of an index.
type summed struct {
	r   io.ByteReader
	n   int64
	crc uint32
}

func (s *summed) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err != nil {
		return 0, noEOF(err)
	}
	s.n++
	s.crc = crc32.Update(s.crc, crc32.IEEETable, []byte{b})
	return b, nil
}

// endStream reads the index and the footer.
func (z *Reader) endStream() error {
	in := &summed{r: z.in}
	if _, err := in.ReadByte(); err != nil { // zero: no block has such a header
		return err
	}
	count, err := number(in)
	if err != nil {
		return err
	}
	if count != z.blocks.count {
		return damaged(errIndex)
	}
	listed := records{sum: sha256.New()}
	for range count {
		unpadded, err := number(in)
		if err != nil {
			return err
		}
		plain, err := number(in)
		if err != nil {
			return err
		}
		listed.add(int64(unpadded), int64(plain))
	}
	if !bytes.Equal(listed.sum.Sum(nil), z.blocks.sum.Sum(nil)) {
		return damaged(errIndex)
	}
	if err := padding(in, in.n); err != nil {
		return err
	}
	var tail [16]byte // the CRC32 of the index, and the footer
	if _, err := io.ReadFull(z.in, tail[:]); err != nil {
		return noEOF(err)
	}
	if binary.LittleEndian.Uint32(tail[:]) != in.crc {
		return damaged(errSum)
	}
	footer := tail[4:]
	if binary.LittleEndian.Uint32(footer) != crc32.ChecksumIEEE(footer[4:10]) {
		return damaged(errSum)
	}
	if back := (int64(binary.LittleEndian.Uint32(footer[4:])) + 1) * 4; back != in.n+4 || [2]byte(footer[8:]) != z.flags || string(footer[10:]) != "YZ" {
		return damaged(errFooter)
	}
	return nil
}

// padding reads the zeros that fill n bytes up to a multiple of four.
func padding(r io.ByteReader, n int64) error {
	for ; n%4 != 0; n++ {
		b, err := r.ReadByte()
		if err != nil {
			return noEOF(err)
		}
		if b != 0 {
			return damaged(errPadding)
		}
	}
	return nil
}

// number reads a number of up to 63 bits, seven at a time.
func number(r io.ByteReader) (n uint64, err error) {
	for shift := 0; ; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		if shift == 63 || b == 0 && shift > 0 {
			return 0, damaged(errNumber)
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n, nil
		}
	}
}
