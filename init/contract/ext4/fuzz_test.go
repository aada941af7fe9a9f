package ext4

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// FuzzWrite makes a tree out of lines: "d PATH", "f PATH", "l PATH TARGET", anything else is a bare
// file; sizes grow by step. A tree that Write accepts must pass e2fsck and be read back.
func FuzzWrite(f *testing.F) {
	f.Add("d a\nd a/b\nf a/b/c\nl a/x b/c\nf z", uint32(5000), uint32(3000020), uint16(0), uint8(7))
	f.Add("d lost+found\nf lost+found/#12\nd d\nl d/l "+strings.Repeat("y", 300), uint32(0), uint32(1), uint16(600), uint8(0))
	f.Add("f a\nf a\n", uint32(1), uint32(1), uint16(1), uint8(1))
	f.Add("d \xff\nf \xff/ \nf \xff/\x01", uint32(4096), uint32(4096), uint16(33), uint8(200))
	f.Add("f big\nf bigger\nf biggest", uint32(140<<20), uint32(60<<20+50), uint16(5000), uint8(9))
	f.Fuzz(func(t *testing.T, tree string, size, step uint32, many uint16, odd uint8) {
		o := options(96<<20 + int64(step%64)<<24 + int64(odd)*BlockSize*51 + int64(odd))
		o.Journal = 4 << 20
		var entries []Entry
		for i, line := range strings.Split(tree, "\n") {
			if i == 30 {
				break
			}
			kind, rest, _ := strings.Cut(line, " ")
			switch kind {
			case "d":
				entries = append(entries, Entry{Path: rest, Kind: Dir, Mode: uint16(size) & 0o7777, UID: step, GID: size})
			case "l":
				path, target, _ := strings.Cut(rest, " ")
				entries = append(entries, link(path, target))
			default:
				n := (int64(size) + int64(i)*int64(step)) % (200 << 20)
				entries = append(entries, Entry{Path: rest, Kind: File, Mode: uint16(i), Size: n, Open: repeat(n, byte(i))})
			}
		}
		for i := range many % 8200 {
			entries = append(entries, Entry{Path: fmt.Sprintf("%s%d", strings.Repeat("m", int(odd)%200), i), Kind: File})
		}
		if _, err := plan(o, entries); err != nil {
			return
		}
		img := create(t, o, entries)
		fsck(t, img)
		listing := debugfs(t, img, "ls -p /")
		for _, e := range entries[:min(len(entries), 8)] {
			if e.Kind == File && !strings.Contains(e.Path, "/") && !bytes.ContainsAny([]byte(e.Path), "\\\x00") &&
				!strings.Contains(listing, "/"+e.Path+"/") {
				t.Fatalf("%q is not in\n%.2000s", e.Path, listing)
			}
		}
	})
}

// repeat opens a file of n bytes, all of them b.
func repeat(n int64, b byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(endless(b), n)), nil
	}
}

type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}
