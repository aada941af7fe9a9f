package pieces

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"

	"imgbuild/init/contract/codec"
)

// The parts of a squashfs 4.0 that are read: its superblock, its inodes and its fragment table.
// Source: the kernel's fs/squashfs/squashfs_fs.h.
const (
	superSize  = 96
	magic      = 0x73717368
	zstdFormat = 6
	metaSize   = 8 << 10
	metaRaw    = 1 << 15
	blockRaw   = 1 << 24
	noFragment = 1<<32 - 1
	maxBlock   = 1 << 20

	maxInodes    = 64 << 20 // bytes of the inode table that are read
	maxFragments = 1 << 20
)

var le = binary.LittleEndian

var errRoot = errors.New("no squashfs of ours")

// root cuts a squashfs.
type root struct {
	r          io.ReaderAt // of the squashfs alone
	size       int64
	decode     *codec.Decoder
	data       []Piece
	blockSize  int64
	fragments  int64
	inodes     int64 // positions of the tables
	dirs       int64
	used       int64
	lists      [4]int64 // fragments, exports, ids, xattrs: where their lists of blocks are; -1 for none
	listLength [4]int64
}

// cutRoot cuts a squashfs at its blocks; one that it cannot read into raw pieces of a MiB.
func cutRoot(r io.ReaderAt, off, size int64) []Piece {
	f := &root{r: io.NewSectionReader(r, off, size), size: size}
	list, err := f.cut()
	if err != nil {
		list = nil
		for at := int64(0); at < size; at += long {
			n := min(long, size-at)
			list = append(list, Piece{codec.Raw, at, n, n})
		}
	}
	for i := range list {
		list[i].Off += off
	}
	return list
}

func (f *root) cut() ([]Piece, error) {
	var err error
	if f.decode, err = codec.NewDecoder(); err != nil {
		return nil, err
	}
	b, err := f.read(0, superSize)
	if err != nil {
		return nil, err
	}
	pos := func(at int) int64 { return int64(le.Uint64(b[at:])) }
	f.blockSize, f.fragments = int64(le.Uint32(b[12:])), int64(le.Uint32(b[16:]))
	f.used, f.inodes, f.dirs = pos(40), pos(64), pos(72)
	count := int64(le.Uint32(b[4:]))
	ids := int64(le.Uint16(b[26:]))
	f.lists = [4]int64{pos(80), pos(88), pos(48), pos(56)}
	f.listLength = [4]int64{list(f.fragments * 16), list(count * 8), list(ids * 4), 0}
	if le.Uint32(b) != magic || le.Uint16(b[20:]) != zstdFormat || le.Uint16(b[28:]) != 4 || f.blockSize < block || f.blockSize > maxBlock ||
		f.used < superSize || f.used > f.size || f.inodes < superSize || f.inodes > f.dirs || f.dirs > f.used || f.fragments > maxFragments {
		return nil, errRoot
	}
	if f.fragments == 0 {
		f.lists[0] = -1
	}
	for i, at := range f.lists {
		if at != -1 && (at < f.dirs || at+f.listLength[i] > f.used) {
			return nil, errRoot
		}
	}
	if f.lists[3] != -1 {
		x, err := f.read(f.lists[3], 16)
		if err != nil {
			return nil, err
		}
		f.listLength[3] = 16 + list(int64(le.Uint32(x[8:]))*16)
	}
	if err := f.readInodes(); err != nil {
		return nil, err
	}
	if err := f.readFragments(); err != nil {
		return nil, err
	}
	return f.join()
}

// list is the length of a list of blocks of a table of n bytes.
func list(n int64) int64 { return (n + metaSize - 1) / metaSize * 8 }

func (f *root) read(at, n int64) ([]byte, error) {
	if at < 0 || n < 0 || n > maxInodes || at+n > f.size {
		return nil, errRoot
	}
	b := make([]byte, n)
	_, err := f.r.ReadAt(b, at)
	return b, err
}

// meta reads a metadata block: its content and the size of its stored form.
func (f *root) meta(at int64) (content []byte, size int64, err error) {
	h, err := f.read(at, 2)
	if err != nil {
		return nil, 0, err
	}
	n := int64(le.Uint16(h) &^ metaRaw)
	b, err := f.read(at, 2+n)
	if err != nil || n == 0 || n > metaSize {
		return nil, 0, errors.Join(errRoot, err)
	}
	if le.Uint16(h)&metaRaw != 0 {
		return b[2:], 2 + n, nil
	}
	content, err = f.decode.All(make([]byte, 0, metaSize), b[2:])
	return content, 2 + n, err
}

// addData enters a block of file content.
func (f *root) addData(at int64, word uint32, raw int64) error {
	size := int64(word &^ blockRaw)
	if size == 0 {
		return nil
	}
	if size > maxBlock || at < superSize || at+size > f.inodes || word&^(blockRaw<<1-1) != 0 {
		return errRoot
	}
	p := Piece{codec.Block, at, size, raw}
	if word&blockRaw != 0 {
		p.Kind, p.Raw = codec.Raw, size
	}
	f.data = append(f.data, p)
	return nil
}

// readInodes goes through the inode table and enters the blocks of all files.
func (f *root) readInodes() error {
	var t []byte
	for at := f.inodes; at < f.dirs; {
		content, size, err := f.meta(at)
		if err != nil {
			return err
		}
		if t = append(t, content...); len(t) > maxInodes {
			return errRoot
		}
		at += size
	}
	for len(t) > 0 {
		n, err := f.inode(t)
		if err != nil {
			return err
		}
		if n > len(t) {
			return errRoot
		}
		t = t[n:]
	}
	return nil
}

// inode enters the blocks of the inode at the beginning of t and returns its length.
func (f *root) inode(t []byte) (int, error) {
	if len(t) < 16 {
		return 0, errRoot
	}
	kind := le.Uint16(t)
	fixed := [...]int{1: 32, 2: 32, 3: 24, 4: 24, 5: 24, 6: 20, 7: 20, 8: 40, 9: 56, 10: 24, 11: 28, 12: 28, 13: 24, 14: 24}
	if int(kind) >= len(fixed) || fixed[kind] == 0 || len(t) < fixed[kind] {
		return 0, errRoot
	}
	n := fixed[kind]
	switch kind {
	case 3, 10: // symlinks: their target, then the xattr of the extended form
		target := le.Uint32(t[20:])
		if target > 1<<16 {
			return 0, errRoot
		}
		n += int(target)
		if kind == 10 {
			n += 4
		}
	case 8: // directory with an index
		for i := int(le.Uint16(t[32:])); i > 0; i-- {
			if len(t) < n+12 {
				return 0, errRoot
			}
			name := le.Uint32(t[n+8:])
			if name > 1<<16 {
				return 0, errRoot
			}
			n += 12 + int(name) + 1
		}
	case 2:
		return f.file(t, n, int64(le.Uint32(t[16:])), int64(le.Uint32(t[28:])), le.Uint32(t[20:]))
	case 9:
		return f.file(t, n, int64(le.Uint64(t[16:])), int64(le.Uint64(t[24:])), le.Uint32(t[44:]))
	}
	return n, nil
}

// file enters the blocks of a file whose size words begin at t[n].
func (f *root) file(t []byte, n int, start, size int64, fragment uint32) (int, error) {
	if size < 0 || start < 0 || size > 1<<50 {
		return 0, errRoot
	}
	blocks := size / f.blockSize
	if fragment == noFragment {
		blocks = (size + f.blockSize - 1) / f.blockSize
	}
	if blocks > int64(len(t)-n)/4 {
		return 0, errRoot
	}
	for i := range blocks {
		word := le.Uint32(t[n:])
		if err := f.addData(start, word, min(f.blockSize, size-i*f.blockSize)); err != nil {
			return 0, err
		}
		start += int64(word &^ blockRaw)
		n += 4
	}
	return n, nil
}

// readFragments enters the fragment blocks.
func (f *root) readFragments() error {
	if f.fragments == 0 {
		return nil
	}
	places, err := f.read(f.lists[0], f.listLength[0])
	if err != nil {
		return err
	}
	var t []byte
	for ; len(places) > 0; places = places[8:] {
		content, _, err := f.meta(int64(le.Uint64(places)))
		if err != nil {
			return err
		}
		t = append(t, content...)
	}
	if int64(len(t)) < f.fragments*16 {
		return errRoot
	}
	for ; f.fragments > 0; f.fragments-- {
		at, word := int64(le.Uint64(t)), le.Uint32(t[8:])
		raw, err := f.contentSize(at, int64(word&^blockRaw))
		if err != nil && word&blockRaw == 0 {
			return err
		}
		if err := f.addData(at, word, raw); err != nil {
			return err
		}
		t = t[16:]
	}
	return nil
}

// contentSize is the size in a frame's header, or the size that it has.
func (f *root) contentSize(at, size int64) (int64, error) {
	b, err := f.read(at, min(size, 32))
	if err != nil {
		return 0, err
	}
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return 0, err
	}
	if h.HasFCS && h.FrameContentSize <= maxBlock {
		return int64(h.FrameContentSize), nil
	}
	if b, err = f.read(at, size); err != nil {
		return 0, err
	}
	content, err := f.decode.All(make([]byte, 0, maxBlock), b)
	return int64(len(content)), err
}

// join puts everything in order: superblock, data, tables with their lists, padding. Bytes between
// known pieces are raw.
func (f *root) join() ([]Piece, error) {
	out := []Piece{{codec.Raw, 0, superSize, superSize}}
	at := int64(superSize)
	gap := func(end int64) {
		for at < end {
			n := min(long, end-at)
			out = append(out, Piece{codec.Raw, at, n, n})
			at += n
		}
	}
	slices.SortStableFunc(f.data, func(a, b Piece) int { return int(a.Off - b.Off) })
	for i, p := range f.data {
		if i > 0 && p == f.data[i-1] {
			continue // files with the same content share their blocks
		}
		if p.Off < at {
			return nil, errRoot
		}
		gap(p.Off)
		out = append(out, p)
		at += p.Size
	}
	gap(f.inodes)
	for at < f.used {
		if i := slices.Index(f.lists[:], at); i >= 0 && f.listLength[i] > 0 {
			gap(min(at+f.listLength[i], f.used))
			continue
		}
		content, size, err := f.meta(at)
		if err != nil {
			return nil, err
		}
		out = append(out, Piece{codec.Meta, at, size, int64(len(content))})
		at += size
	}
	gap(f.size)
	return out, nil
}
