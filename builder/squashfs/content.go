package squashfs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// content is where the bytes of a file are. Files with the same bytes share one.
type content struct {
	start    uint64   // of the first data block
	sizes    []uint32 // size words of the data blocks; 0 is a block of zeros
	sparse   uint64   // bytes in blocks of zeros
	fragment *fragment
	offset   uint32 // in the fragment
}

// source reads the files in order and feeds the pipeline.
type source struct {
	options  Options
	pipeline *pipeline
	packer   *packer
	stats    *Stats
	sizes    map[int64]int         // how many files have this size
	known    map[[32]byte]*content // by the hash of the content
	tail     []byte
	zeros    []byte
	read     int64
}

// writeData writes the contents of all files and sets the inodes' content. It returns the end of
// the data and the fragments.
func writeData(w io.WriterAt, inodes []*inode, enc *encoder, o Options, st *Stats) (int64, []*fragment, error) {
	files := orderFiles(inodes)
	p := newPipeline(w, enc, o, superblockSize)
	s := &source{
		options: o, pipeline: p, packer: &packer{pipeline: p}, stats: st,
		sizes: make(map[int64]int), known: make(map[[32]byte]*content),
		tail: make([]byte, o.BlockSize), zeros: make([]byte, o.BlockSize),
	}
	for _, in := range files {
		s.sizes[in.entry.Size]++
	}
	for _, in := range files {
		c, err := s.file(in.entry)
		if err != nil {
			p.fail(errEntry(in.entry.Path, err))
			break
		}
		in.content = c
	}
	s.packer.flush(s.read)
	end, err := p.finish()
	if err != nil {
		return 0, nil, err
	}
	if o.Progress != nil {
		o.Progress(s.read)
	}
	st.InputBytes = s.read
	st.EncodedBytes, st.CacheHits = p.encoded.Load(), int(p.hits.Load())
	st.FragmentBytes = s.packer.bytes
	st.DataBytes = end - superblockSize - st.FragmentBytes
	st.Fragments = len(s.packer.fragments)
	return end, s.packer.fragments, nil
}

func (s *source) file(e *Entry) (*content, error) {
	if e.Size == 0 && e.Open == nil {
		return &content{}, nil
	}
	// A long file is written while it is read, so a duplicate must be known before. Only where
	// another file has the same size it is worth reading twice.
	var sum [32]byte
	hashed := s.sizes[e.Size] > 1 && e.Size > int64(s.options.BlockSize)
	if hashed {
		var err error
		if sum, err = hash(e); err != nil {
			return nil, err
		}
		if c := s.known[sum]; c != nil {
			s.stats.Duplicates++
			s.read += e.Size
			return c, nil
		}
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var c *content
	if e.Size <= int64(s.options.BlockSize) {
		c, err = s.small(r, e.Size)
	} else {
		c, err = s.large(r, e.Size)
	}
	if err != nil {
		return nil, err
	}
	if err := atEnd(r, e.Size); err != nil {
		return nil, err
	}
	if hashed {
		s.known[sum] = c
	}
	return c, nil
}

// small reads a file of at most one block. Only a full block goes by itself; all else is a
// fragment.
func (s *source) small(r io.Reader, size int64) (*content, error) {
	data := s.tail[:size]
	if err := readFull(r, data, 0, size); err != nil {
		return nil, err
	}
	s.read += size
	if size == 0 {
		return &content{}, nil
	}
	c := &content{}
	if s.sizes[size] > 1 {
		sum := sha256.Sum256(data)
		if same := s.known[sum]; same != nil {
			s.stats.Duplicates++
			return same, nil
		}
		s.known[sum] = c
	}
	if len(data) == s.options.BlockSize {
		c.sizes = make([]uint32, 1)
		return c, s.block(c, 0, data)
	}
	var err error
	c.fragment, c.offset, err = s.packer.add(data, s.read)
	return c, err
}

func (s *source) large(r io.Reader, size int64) (*content, error) {
	blockSize := int64(s.options.BlockSize)
	c := &content{sizes: make([]uint32, size/blockSize)}
	for i := range c.sizes {
		if err := readFull(r, s.tail, int64(i)*blockSize, size); err != nil {
			return nil, err
		}
		s.read += blockSize
		if err := s.block(c, i, s.tail); err != nil {
			return nil, err
		}
	}
	data := s.tail[:size%blockSize]
	if len(data) == 0 {
		return c, nil
	}
	if err := readFull(r, data, size-int64(len(data)), size); err != nil {
		return nil, err
	}
	s.read += int64(len(data))
	var err error
	c.fragment, c.offset, err = s.packer.add(data, s.read)
	return c, err
}

// block sends block i of c on its way. The pipeline fills in where it went.
func (s *source) block(c *content, i int, data []byte) error {
	if bytes.Equal(data, s.zeros) {
		c.sparse += uint64(len(data))
		s.stats.SparseBlocks++
		return nil
	}
	j, err := s.pipeline.buffer()
	if err != nil {
		return err
	}
	s.stats.Blocks++
	j.data = append(j.data, data...)
	j.read = s.read
	first := c.sparse == uint64(i)*uint64(len(data))
	j.placed = func(at int64, size uint32) {
		if first {
			c.start = uint64(at)
		}
		c.sizes[i] = size
	}
	s.pipeline.submit(j)
	return nil
}

func hash(e *Entry) (sum [32]byte, err error) {
	r, err := e.Open()
	if err != nil {
		return sum, err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, e.Size))
	if err != nil {
		return sum, err
	}
	if n < e.Size {
		return sum, shortError(n, e.Size)
	}
	if err := atEnd(r, e.Size); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}

func readFull(r io.Reader, p []byte, at, size int64) error {
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return shortError(at+int64(n), size)
	}
	return err
}

func shortError(got, size int64) error {
	return fmt.Errorf("content ends after %d of %d bytes: %w", got, size, io.ErrUnexpectedEOF)
}

func atEnd(r io.Reader, size int64) error {
	var one [1]byte
	n, err := io.ReadFull(r, one[:])
	if n > 0 {
		return fmt.Errorf("content is longer than its size of %d bytes", size)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
