package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"imgbuild/builder/initramfs"
	"imgbuild/builder/squashfs"
	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/fat"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/contract/verity"
)

// disk is a device in memory. Reads after its end give zeros.
type disk struct {
	data []byte
	fail int // writes until they fail; negative for never
	hits int // writes so far
}

var errDisk = errors.New("the disk is broken")

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(d.data)) {
		copy(p, d.data[off:])
	}
	return len(p), nil
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	if d.fail == 0 {
		return 0, errDisk
	}
	d.fail--
	d.hits++
	if end := int(off) + len(p); end > len(d.data) {
		d.data = append(d.data, make([]byte, end-len(d.data))...)
	}
	return copy(d.data[off:], p), nil
}

// program is what compilers make: words that come again and again, and among them distances that
// change everywhere when something is inserted.
func program(seed uint64, size, insert int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	words := make([]uint32, 3000)
	for i := range words {
		words[i] = r.Uint32()
	}
	var out []byte
	for len(out) < size {
		if len(out) == size/2/4*4 {
			more := rand.New(rand.NewPCG(seed, 2))
			for range insert {
				out = binary.LittleEndian.AppendUint32(out, more.Uint32())
			}
			size += 4 * insert
		}
		w := words[int(r.ExpFloat64()*200)%len(words)]
		if r.IntN(10) == 0 {
			w = 0x94000000 | uint32(len(out)/2+r.IntN(1000))
		}
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}

// text is the content of a configuration file, or the like.
func text(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 3))
	var out []byte
	for len(out) < size {
		out = fmt.Appendf(out, "setting%d = value%d\n", r.IntN(500), r.IntN(3000))
	}
	return out[:size]
}

// version of a slot: how much of each part differs from the first one.
type version struct {
	kernel, init, lib int // inserted words
	extra             bool
	encoders          []codec.Encoder
}

var made = map[string]*disk{}

// makeSlot makes a slot of all formats, as the image builder does. It is made once; nobody may
// write to it.
func makeSlot(t testing.TB, v version) *disk {
	t.Helper()
	key := fmt.Sprint(v)
	if made[key] == nil {
		made[key] = newSlot(t, v)
	}
	return made[key]
}

func newSlot(t testing.TB, v version) *disk {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var kernel, initrd bytes.Buffer
	z, err := codec.NewWriter(codec.Gzip, &kernel)
	check(err)
	z.Write(program(1, 1<<20, v.kernel))
	check(z.Close())
	init := program(2, 300_000, v.init)
	check(initramfs.Write(&initrd, []initramfs.Entry{{Path: "init", Mode: initramfs.Regular | 0o755, Data: init}, {Path: "ext4.ko", Mode: initramfs.Regular | 0o644, Data: program(3, 100_000, v.kernel)}}))
	files := map[string][]byte{"lib/libcrypto.so": program(4, 600_000, v.lib), "bin/init": init, "share/random": {}, "share/zeros": make([]byte, 600<<10)}
	for i := range 30 {
		files[fmt.Sprintf("share/doc%02d", i)] = text(uint64(i), 10000+i*100)
	}
	noise := make([]byte, 260<<10)
	rand.NewChaCha8([32]byte{9}).Read(noise)
	files["share/random"] = noise
	if v.extra {
		files["share/doc05a"] = text(99, 50000)
		delete(files, "share/doc20")
	}
	entries := []squashfs.Entry{{Kind: squashfs.Dir, Mode: 0o755}}
	for _, d := range []string{"bin", "lib", "share"} {
		entries = append(entries, squashfs.Entry{Path: d, Kind: squashfs.Dir, Mode: 0o755})
	}
	for name, data := range files {
		entries = append(entries, squashfs.Entry{Path: name, Kind: squashfs.File, Mode: 0o644, Size: int64(len(data)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
	}
	for i := range 300 {
		entries = append(entries, squashfs.Entry{Path: fmt.Sprintf("share/link%03d", i), Kind: squashfs.Symlink, Mode: 0o777, Target: strings.Repeat("x", i%50+1)})
	}
	entries = append(entries, squashfs.Entry{Path: "bin/dev", Kind: squashfs.Char, Mode: 0o600, Major: 1, Minor: 3},
		squashfs.Entry{Path: "bin/ping", Kind: squashfs.File, Mode: 0o755, Xattrs: []squashfs.Xattr{{Name: "security.capability", Value: []byte("cap")}}})
	root := &disk{fail: -1}
	stats, err := squashfs.Write(root, entries, squashfs.Options{BlockSize: 256 << 10, Workers: 1})
	check(err)
	m := &manifest.Manifest{Format: manifest.Format, Family: "rpi64", Arch: "arm64", Roles: []string{"worker"}, Version: fmt.Sprint("v", v.kernel, v.init, v.lib), Compatible: []string{"x"}, Kernel: "6.12",
		InitSHA256: strings.Repeat("0", 64), Encoders: v.encoders}
	if m.Encoders == nil {
		m.Encoders = codec.Encoders()
	}
	var tree bytes.Buffer
	hash, _, err := verity.Build(root, stats.Size, []byte("salt"), &tree)
	check(err)
	m.Root = manifest.Root{Size: stats.Size, TreeSize: int64(tree.Len()), Hash: hex.EncodeToString(hash[:]), Salt: hex.EncodeToString([]byte("salt"))}
	rootData := root.data[:stats.Size]
	vol := fat.Volume{Label: "SLOT", ID: uint32(v.kernel), Start: 8, Size: 640 << 20, ClusterSize: 4096}
	add := func(name string, data []byte) {
		vol.Files = append(vol.Files, fat.File{Path: name, Size: int64(len(data)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
	}
	add(manifest.KernelName, kernel.Bytes())
	add(manifest.InitrdName, initrd.Bytes())
	add("dtb/board.dtb", text(50, 30000))
	add(manifest.RootName, rootData)
	add(manifest.TreeName, tree.Bytes())
	plan, err := vol.Plan()
	check(err)
	for _, f := range vol.Files {
		r, _ := f.Open()
		data, _ := io.ReadAll(r)
		sum := sha256.Sum256(data)
		m.Files = append(m.Files, manifest.File{Path: f.Path, Offset: plan[f.Path].Offset, Size: f.Size, SHA256: hex.EncodeToString(sum[:])})
	}
	slices.SortFunc(m.Files, func(a, b manifest.File) int { return strings.Compare(a.Path, b.Path) })
	m.Root.Offset, m.Root.TreeOffset = plan[manifest.RootName].Offset, plan[manifest.TreeName].Offset
	data, sum, err := m.Marshal()
	check(err)
	check(m.Check())
	add(manifest.Name, data)
	add(manifest.SumName, sum)
	out := &disk{fail: -1}
	check(vol.Write(out))
	return out
}
