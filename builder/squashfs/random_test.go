package squashfs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomTree makes a tree from a seed: any kinds, sizes around the block size, duplicates, holes,
// links.
func randomTree(r *rand.Rand, block int) []Entry {
	list := []Entry{dir("")}
	dirs := []string{""}
	for i := range 1 + r.IntN(60) {
		parent := dirs[r.IntN(len(dirs))]
		path := fmt.Sprintf("%x%d", r.Uint64()>>r.IntN(64), i)
		if parent != "" {
			path = parent + "/" + path
		}
		e := Entry{Path: path, Kind: Kind(1 + r.IntN(7)), Mode: uint16(r.IntN(010000)), UID: r.Uint32() >> r.IntN(32), GID: uint32(r.IntN(3)), MTime: r.Uint32()}
		if r.IntN(2) == 0 {
			e.Kind = File
		}
		switch e.Kind {
		case Dir:
			dirs = append(dirs, path)
		case File:
			d := data(path, randomContent(r, block))
			e.Size, e.Open = d.Size, d.Open
		case Symlink:
			e.Target = fmt.Sprint("t", r.Uint64())
		case Block, Char:
			e.Major, e.Minor = uint32(r.IntN(4096)), uint32(r.IntN(1<<20))
		}
		for x := range r.IntN(3) {
			e.Xattrs = append(e.Xattrs, Xattr{fmt.Sprintf("%s%d", xattrSpaces[r.IntN(3)], x), words(r.IntN(300), byte(r.IntN(4)))})
		}
		if n := r.IntN(len(list)); e.Kind != Dir && r.IntN(8) == 0 && list[n].Kind != Dir {
			e = Entry{Path: path, HardLink: list[n].Path}
		}
		list = append(list, e)
	}
	return list
}

func randomContent(r *rand.Rand, block int) []byte {
	size := []int{0, 1, block - 1, block, block + 1, 3 * block, r.IntN(5 * block), r.IntN(100)}[r.IntN(8)]
	switch r.IntN(4) {
	case 0:
		return noise(size, byte(r.IntN(3)))
	case 1:
		return make([]byte, size)
	case 2:
		b := words(size, byte(r.IntN(3)))
		if size > 0 {
			clear(b[r.IntN(size):])
		}
		return b
	}
	return words(size, byte(r.IntN(3)))
}

func TestRandomTrees(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		list := randomTree(r, 4096)
		one, _ := write(t, list, Options{BlockSize: 4096, Workers: 1})
		same(t, one, list)
		if two, _ := write(t, list, Options{BlockSize: 4096, Workers: 2}); !bytes.Equal(one, two) {
			t.Fatalf("seed %d: two workers give other bytes", seed)
		}
	}
}

// FuzzWrite builds small trees of fuzzed names, contents and attributes: what is accepted must read
// back the same.
func FuzzWrite(f *testing.F) {
	f.Add("a", "a/b", "target", []byte("content"), "user.x", uint16(0o644), uint8(2), uint32(7), int64(7))
	f.Add("d", "d/..", "", []byte{}, "security.", uint16(0o7777), uint8(3), uint32(1<<31), int64(0))
	f.Add("\x00", "/", "x", make([]byte, 5000), "trusted.overlay", uint16(0xffff), uint8(5), uint32(4096), int64(5001))
	f.Fuzz(func(t *testing.T, first, second, target string, content []byte, xattr string, mode uint16, kind uint8, number uint32, size int64) {
		a := dir(first)
		b := data(second, content)
		b.Size, b.Mode, b.Kind, b.Target, b.UID, b.Major, b.Minor = size, mode, Kind(kind), target, number, number, number
		b.Xattrs = []Xattr{{xattr, content[:min(len(content), 100)]}}
		list := []Entry{dir(""), a, b, {Path: "link", HardLink: second}}
		var m memory
		if _, err := Write(&m, list, Options{BlockSize: 4096, Workers: 1}); err != nil {
			return
		}
		if b.Kind != Block && b.Kind != Char {
			list[2].Major, list[2].Minor = 0, 0
		}
		if b.Kind != Symlink {
			list[2].Target = ""
		}
		same(t, m.b, slices.Clone(list))
	})
}
