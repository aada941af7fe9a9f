package main

import (
	"crypto/sha256"
	"errors"
	"io"

	"imgbuild/builder/bundle"
	"imgbuild/init/contract/codec"
)

// contents writes what is in a slot, uncompressed, in its order: kernel, initramfs, the blocks of
// the root.
func contents(w io.Writer, s *bundle.Slot) error {
	d, err := codec.NewDecoder()
	if err != nil {
		return err
	}
	var stored, raw []byte
	for _, u := range s.Index.Units {
		section := io.NewSectionReader(s.Data, u.Off, u.Size)
		switch u.Kind {
		case codec.Zeros, codec.Tree:
			continue
		case codec.Gzip, codec.Stream:
			r, err := codec.NewReader(u.Kind, section)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, r)
			if err := errors.Join(err, r.Close()); err != nil {
				return err
			}
			continue
		}
		if int64(cap(stored)) < u.Size {
			stored = make([]byte, u.Size)
		}
		stored = stored[:u.Size]
		if _, err := io.ReadFull(section, stored); err != nil {
			return err
		}
		data := stored
		if u.Kind == codec.Block || u.Kind == codec.Meta {
			if int64(cap(raw)) < u.Raw {
				raw = make([]byte, u.Raw)
			}
			if data, err = d.Decode(raw, stored, u.Kind, u.Raw); err != nil {
				return err
			}
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// chunks returns how many bytes of a slot are in content-defined chunks of 16 KiB on average that
// another slot does not have.
func chunks(old, fresh *bundle.Slot) (int64, error) {
	have := map[[32]byte]bool{}
	if err := cut(io.NewSectionReader(old.Data, 0, old.Size), func(c []byte) { have[sha256.Sum256(c)] = true }); err != nil {
		return 0, err
	}
	var n int64
	err := cut(io.NewSectionReader(fresh.Data, 0, fresh.Size), func(c []byte) {
		if sum := sha256.Sum256(c); !have[sum] {
			have[sum] = true
			n += int64(len(c))
		}
	})
	return n, err
}

// Bounds of a chunk, and the masks of FastCDC (Xia et al., 2016) with normalized chunking around
// 16 KiB: a stricter one before it, a laxer one after.
const (
	chunkMin, chunkMean, chunkMax = 4 << 10, 16 << 10, 64 << 10
	maskBefore, maskAfter         = uint64(0xffff) << 48, uint64(0xfff) << 52
)

// gear is a number for each byte.
var gear = func() (t [256]uint64) {
	x := uint64(0x9e3779b97f4a7c15)
	for i := range t {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		t[i] = x
	}
	return t
}()

// cut cuts a stream into chunks.
func cut(r io.Reader, each func([]byte)) error {
	buf, n := make([]byte, chunkMax), 0
	for {
		k, err := io.ReadFull(r, buf[n:])
		n += k
		if n == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		size := boundary(buf[:n])
		each(buf[:size])
		n = copy(buf, buf[size:n])
	}
}

// boundary returns the length of the first chunk of b.
func boundary(b []byte) int {
	var h uint64
	for i := min(chunkMin, len(b)); i < len(b); i++ {
		h = h<<1 + gear[b[i]]
		mask := maskBefore
		if i >= chunkMean {
			mask = maskAfter
		}
		if h&mask == 0 {
			return i + 1
		}
	}
	return len(b)
}
