package squashfs

import (
	"bytes"
	"fmt"
	"io"
	"sort"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// image in memory: an io.WriterAt that grows.
type memory struct{ b []byte }

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if need := int(at) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[at:], p), nil
}

// reader is a second, independent understanding of the format: it decodes what the writer wrote
// from the kernel's structures, without any of the writer's code, and panics where something does
// not fit.
type reader struct {
	b     []byte
	at    map[string]int64
	block int
	ids   []uint32
	frags []byte
	attrs [][]Xattr
	refs  []byte
	seen  map[uint32]string
	cache map[int64][]byte // decoded blocks by position
	out   []Entry
}

func u16(b []byte, i int) int   { return int(le.Uint16(b[i:])) }
func u32(b []byte, i int) int64 { return int64(le.Uint32(b[i:])) }
func u64(b []byte, i int) int64 { return int64(le.Uint64(b[i:])) }

var decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))

// readImage returns the entries of an image in the order of its directories.
func readImage(t testing.TB, b []byte) (entries []Entry, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading back: %v", p)
		}
	}()
	r := &reader{b: b, at: map[string]int64{}, seen: map[uint32]string{}, cache: map[int64][]byte{}, block: int(u32(b, 12))}
	for i, name := range []string{"size", "id", "xattr", "inode", "dir", "frag", "export"} {
		r.at[name] = u64(b, 40+8*i)
	}
	if u32(b, 0) != 0x73717368 || u16(b, 20) != 6 || 1<<u16(b, 22) != r.block || len(b)%4096 != 0 || r.at["size"] > int64(len(b)) {
		return nil, fmt.Errorf("superblock is wrong: % x", b[:96])
	}
	for _, pad := range b[r.at["size"]:] {
		must(pad == 0, "padding is not zero")
	}
	inodes := int(u32(b, 4))
	ids := r.table(r.at["id"], int(u16(b, 26))*4)
	for i := 0; i < len(ids); i += 4 {
		r.ids = append(r.ids, le.Uint32(ids[i:]))
	}
	r.frags = r.table(r.at["frag"], int(u32(b, 16))*16)
	r.refs = r.table(r.at["export"], inodes*8)
	if x := r.at["xattr"]; x >= 0 {
		r.xattrs(x)
	} else {
		must(u16(b, 24)&0x200 != 0, "no xattrs, and no flag")
	}
	r.inode("", u64(b, 32), int64(inodes)+1)
	must(len(r.seen) == inodes, "superblock counts %d inodes, tree has %d", inodes, len(r.seen))
	return r.out, nil
}

func must(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Sprintf(format, args...))
	}
}

// meta returns the stream of metadata from a block on, at least n bytes of it.
func (r *reader) meta(at int64, offset, n int) []byte {
	var out []byte
	for len(out) < offset+n {
		head := u16(r.b, int(at))
		size := head & 0x7fff
		part := r.cache[at]
		if part == nil {
			part = r.b[at+2 : at+2+int64(size)]
			if head&0x8000 == 0 {
				part = r.decode(part, 8192)
			}
			r.cache[at] = part
		}
		must(len(part) <= 8192, "metadata block of %d bytes", len(part))
		out = append(out, part...)
		must(len(part) == 8192 || len(out) >= offset+n, "short metadata block inside a stream")
		at += 2 + int64(size)
	}
	return out[offset:]
}

func (r *reader) decode(b []byte, limit int) []byte {
	var h zstd.Header
	must(h.Decode(b) == nil, "bad zstd header")
	must(h.SingleSegment || h.WindowSize <= uint64(max(r.block, 8192)), "window of %d is beyond what the kernel allows", h.WindowSize)
	out, err := decoder.DecodeAll(b, nil)
	must(err == nil, "zstd: %v", err)
	must(len(out) <= limit && len(b) < len(out), "block of %d bytes became %d", len(b), len(out))
	return out
}

func (r *reader) table(list int64, size int) []byte {
	var out []byte
	for i := int64(0); len(out) < size; i++ {
		n := min(8192, size-len(out))
		out = append(out, r.meta(u64(r.b, int(list+8*i)), 0, n)[:n]...)
	}
	return out
}

func (r *reader) xattrs(at int64) {
	start, count := u64(r.b, int(at)), int(u32(r.b, int(at+8)))
	ids := r.table(at+16, count*16)
	for ; len(ids) > 0; ids = ids[16:] {
		ref, n, size := u64(ids, 0), int(u32(ids, 8)), int(u32(ids, 12))
		data := r.meta(start+ref>>16, int(ref&0xffff), size)[:size]
		var list []Xattr
		for range n {
			space, l := u16(data, 0), u16(data, 2)
			name := []string{"user.", "trusted.", "security."}[space] + string(data[4:4+l])
			data = data[4+l:]
			l = int(u32(data, 0))
			list = append(list, Xattr{name, append([]byte{}, data[4:4+l]...)})
			data = data[4+l:]
		}
		must(len(data) == 0, "xattr set is longer than its entries")
		r.attrs = append(r.attrs, list)
	}
}

func (r *reader) inode(path string, ref, parent int64) (basic int) {
	b := r.meta(r.at["inode"]+ref>>16, int(ref&0xffff), 20)
	kind, number := u16(b, 0), uint32(u32(b, 12))
	must(u64(r.refs, int(number-1)*8) == ref, "%q: export table disagrees", path)
	e := Entry{Path: path, Mode: uint16(u16(b, 2)), UID: r.ids[u16(b, 4)], GID: r.ids[u16(b, 6)], MTime: uint32(u32(b, 8))}
	basic = kind
	if kind > 7 {
		basic -= 7
	}
	e.Kind = map[int]Kind{1: Dir, 2: File, 3: Symlink, 4: Block, 5: Char, 6: Fifo, 7: Socket}[basic]
	if first, again := r.seen[number]; again {
		must(e.Kind != Dir, "directory %q has two names", path)
		r.out = append(r.out, Entry{Path: path, Kind: e.Kind, HardLink: first})
		return basic
	}
	r.seen[number] = path
	// Read exactly what each kind has, for the table may end after it.
	more := func(n int) []byte { return r.meta(r.at["inode"]+ref>>16, int(ref&0xffff), n) }
	xattr := int64(-1)
	switch basic {
	case 1:
		r.out = append(r.out, e)
		i := len(r.out) - 1
		xattr = r.dir(path, kind, more, number, parent)
		if xattr >= 0 && xattr != 0xffffffff {
			r.out[i].Xattrs = r.attrs[xattr]
		}
		return basic
	case 2:
		xattr = r.file(&e, kind, more)
	case 3:
		n := int(u32(more(24), 20))
		must(n < 4096, "symlink of %d bytes", n)
		e.Target = string(more(24 + n)[24 : 24+n])
		if kind > 7 {
			xattr = u32(more(28+n), 24+n)
		}
	case 4, 5:
		d := uint32(u32(more(24), 20))
		e.Major, e.Minor = d>>8&0xfff, d&0xff|d>>12&0xfff00
		if kind > 7 {
			xattr = u32(more(28), 24)
		}
	default:
		if kind > 7 {
			xattr = u32(more(24), 20)
		}
	}
	if xattr >= 0 && xattr != 0xffffffff {
		e.Xattrs = r.attrs[xattr]
	}
	r.out = append(r.out, e)
	return basic
}

func (r *reader) file(e *Entry, kind int, more func(int) []byte) (xattr int64) {
	b := more(32)
	start, size, frag, offset, list := u32(b, 16), u32(b, 28), u32(b, 20), u32(b, 24), 32
	xattr = -1
	if kind > 7 {
		b = more(56)
		start, size, frag, offset, xattr, list = u64(b, 16), u64(b, 24), u32(b, 44), u32(b, 48), u32(b, 52), 56
	}
	blocks := int((size + int64(r.block) - 1) / int64(r.block))
	if frag != 0xffffffff {
		blocks = int(size / int64(r.block))
	}
	b = more(list + 4*blocks)
	e.Size = size
	e.Open = func() (io.ReadCloser, error) {
		var out bytes.Buffer
		at := start
		for i := range blocks {
			word := u32(b, list+4*i)
			want := min(int64(r.block), size-int64(out.Len()))
			if word == 0 {
				out.Write(make([]byte, want))
				continue
			}
			data := r.data(at, word)
			must(int64(len(data)) == want, "%s: block of %d bytes, want %d", e.Path, len(data), want)
			out.Write(data)
			at += word &^ (1 << 24)
		}
		if frag != 0xffffffff {
			f := r.frags[frag*16:]
			out.Write(r.data(u64(f, 0), u32(f, 8))[offset:][:size-int64(out.Len())])
		}
		return io.NopCloser(&out), nil
	}
	return xattr
}

func (r *reader) data(at, word int64) []byte {
	n := word &^ (1 << 24)
	if word&(1<<24) != 0 {
		return r.b[at : at+n]
	}
	if r.cache[at] == nil {
		r.cache[at] = r.decode(r.b[at:at+n], r.block)
	}
	return r.cache[at]
}

func (r *reader) dir(path string, kind int, more func(int) []byte, number uint32, parent int64) (xattr int64) {
	b := more(32)
	block, links, size, offset, up := u32(b, 16), u32(b, 20), int64(u16(b, 24)), u16(b, 26), u32(b, 28)
	xattr, index := int64(-1), 0
	if kind > 7 {
		b = more(40)
		links, size, block, up, index, offset, xattr = u32(b, 16), u32(b, 20), u32(b, 24), u32(b, 28), u16(b, 32), u16(b, 34), u32(b, 36)
	}
	must(up == parent, "%q: parent is inode %d, not %d", path, up, parent)
	size -= 3
	stream := []byte{}
	if size > 0 {
		stream = r.meta(r.at["dir"]+block, offset, int(size))[:size]
	}
	headers := map[int64]string{}
	var names []string
	type child struct {
		name         string
		ref          int64
		kind, number int64
	}
	var children []child
	for pos := int64(0); pos < size; {
		count, start, base := u32(stream, int(pos))+1, u32(stream, int(pos)+4), u32(stream, int(pos)+8)
		must(count <= 256, "%d entries after one header", count)
		header := pos
		pos += 12
		for range count {
			n := int64(u16(stream, int(pos)+6)) + 1
			name := string(stream[pos+8 : pos+8+n])
			if _, ok := headers[header]; !ok {
				headers[header] = name
			}
			names = append(names, name)
			children = append(children, child{name, start<<16 | int64(u16(stream, int(pos))), int64(u16(stream, int(pos)+4)), base + int64(int16(u16(stream, int(pos)+2)))})
			pos += 8 + n
		}
	}
	must(sort.StringsAreSorted(names), "%q: names are not sorted", path)
	must(index > 0 || size <= 8192+8192, "%q: listing of %d bytes has no index", path, size)
	for at, i := 40, 0; i < index; i++ {
		b = more(at + 12)
		n := int(u32(b, at+8)) + 1
		b = more(at + 12 + n)
		position, name := u32(b, at), string(b[at+12:at+12+n])
		must(headers[position] == name, "%q: index entry %d has %q at %d", path, i, name, position)
		// The block that the index names must hold the header, which is the first thing that a
		// reader decodes.
		got := r.meta(r.at["dir"]+u32(b, at+4), (offset+int(position))%8192, 12)
		must(bytes.Equal(got[:12], stream[position:position+12]), "%q: index entry %d points to the wrong block", path, i)
		at += 12 + n
	}
	dirs := int64(2)
	for _, c := range children {
		sub := c.name
		if path != "" {
			sub = path + "/" + c.name
		}
		must(u64(r.refs, int(c.number-1)*8) == c.ref, "%q: inode number %d is not at its place", sub, c.number)
		k := r.inode(sub, c.ref, int64(number))
		must(int64(k) == c.kind, "%q: listed as kind %d, is %d", sub, c.kind, k)
		if k == 1 {
			dirs++
		}
	}
	must(dirs == links, "%q: %d links, want %d", path, links, dirs)
	return xattr
}
