package fat

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"unicode/utf16"
)

// FuzzWrite takes a list of names, one a line, and sizes; what Plan accepts must please fsck.vfat
// and be read back.
func FuzzWrite(f *testing.F) {
	f.Add("config.txt\noverlays/README\nbcm2711-rpi-4-b.dtb\n", uint32(5000), uint32(3), uint8(9))
	f.Add("a\nA\n", uint32(0), uint32(1), uint8(9))
	f.Add(strings.Repeat("long name ", 20)+"x\n~1\n~1.~1\nX~1\n...a\n b\n", uint32(4096), uint32(1), uint8(10))
	f.Add("a/b/c/d\na/b/f\na/b/e\né/ß\n%\n", uint32(513), uint32(77), uint8(9))
	f.Add("KELVIN \u212a\nkelvin k\nI\nı\n😀😀😀😀😀😀😀\n", uint32(1), uint32(1), uint8(9))
	f.Fuzz(func(t *testing.T, names string, size, step uint32, shift uint8) {
		v := &Volume{ID: size, Label: "FUZZ", ClusterSize: 1 << (9 + shift%3)}
		v.Size = int64(v.ClusterSize) * (MinClusters + 2000)
		for i, name := range strings.Split(strings.TrimRight(names, "\n"), "\n") {
			if i == 40 {
				break
			}
			n := int(size+uint32(i)*step) % 100000
			v.Files = append(v.Files, data(name, bytes.Repeat([]byte{byte(i + 1)}, n)))
		}
		if _, err := v.Plan(); err != nil {
			return
		}
		img := create(t, v)
		fsck(t, img)
		disk, err := os.Open(img)
		if err != nil {
			t.Fatal(err)
		}
		defer disk.Close()
		r := reader{t: t, disk: disk, found: map[string][]byte{}}
		r.open()
		r.walk(2, "")
		for _, f := range v.Files {
			if got, ok := r.found[f.Path]; !ok || !bytes.Equal(got, content(t, f)) {
				t.Fatalf("%q: %v, %d bytes of %d", f.Path, ok, len(got), f.Size)
			}
		}
		if len(r.found) != len(v.Files) {
			t.Fatalf("%d files of %d", len(r.found), len(v.Files))
		}
	})
}

// reader reads a sound volume back, by the specification and not by the writer's code.
type reader struct {
	t         *testing.T
	disk      *os.File
	fat, data int64
	cluster   int64
	found     map[string][]byte
}

func (r *reader) at(off, n int64) []byte {
	b := make([]byte, n)
	if _, err := r.disk.ReadAt(b, off); err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *reader) open() {
	b, le := r.at(0, 512), binary.LittleEndian
	r.fat = int64(le.Uint16(b[14:])) * 512
	r.data = r.fat + int64(b[16])*int64(le.Uint32(b[36:]))*512
	r.cluster = int64(b[13]) * 512
	if r.data%Align != 0 {
		r.t.Fatalf("the data area begins at %d", r.data)
	}
}

func (r *reader) chain(c uint32) (b []byte) {
	for c >= 2 && c < 0x0FFFFFF8 {
		b = append(b, r.at(r.data+int64(c-2)*r.cluster, r.cluster)...)
		c = binary.LittleEndian.Uint32(r.at(r.fat+4*int64(c), 4)) & 0x0FFFFFFF
	}
	return b
}

func (r *reader) walk(first uint32, dir string) {
	var long []uint16
	shorts := map[string]bool{}
	for e := r.chain(first); len(e) > 0 && e[0] != 0; e = e[32:] {
		le := binary.LittleEndian
		if e[11] == 0x0F {
			var part []uint16
			for _, at := range [][2]int{{1, 11}, {14, 26}, {28, 32}} {
				for i := at[0]; i < at[1]; i += 2 {
					part = append(part, le.Uint16(e[i:]))
				}
			}
			long = append(part, long...)
			continue
		}
		if e[11]&0x08 != 0 || e[0] == '.' && long == nil {
			continue
		}
		if shorts[string(e[:11])] {
			r.t.Fatalf("short name %q twice in %q", e[:11], dir)
		}
		shorts[string(e[:11])] = true
		name := strings.TrimRight(string(e[:8]), " ")
		if ext := strings.TrimRight(string(e[8:11]), " "); ext != "" {
			name += "." + ext
		}
		if long != nil {
			for i, u := range long {
				if u == 0 {
					long = long[:i]
					break
				}
			}
			name, long = string(utf16.Decode(long)), nil
		}
		start := uint32(le.Uint16(e[20:]))<<16 | uint32(le.Uint16(e[26:]))
		if e[11]&0x10 != 0 {
			r.walk(start, dir+name+"/")
		} else {
			r.found[dir+name] = r.chain(start)[:le.Uint32(e[28:])]
		}
	}
}
