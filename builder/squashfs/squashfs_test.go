package squashfs

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// text is an Entry for a file with the given content.
func text(path, content string) Entry { return data(path, []byte(content)) }

func data(path string, b []byte) Entry {
	return Entry{Path: path, Kind: File, Mode: 0o644, MTime: 1700000000, Size: int64(len(b)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

func dir(path string) Entry { return Entry{Path: path, Kind: Dir, Mode: 0o755, MTime: 1600000000} }

// noise is data that does not compress; words is data that does.
func noise(n int, seed byte) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func words(n int, seed byte) []byte {
	r := rand.New(rand.NewChaCha8([32]byte{seed}))
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, "word%d ", r.IntN(1000))
	}
	return b[:n]
}

// everything has all kinds of entries and the awkward cases of each.
func everything() []Entry {
	caps := []Xattr{{"security.capability", []byte("\x01\x00\x00\x02\x00\x20\x00\x00")}}
	list := []Entry{
		dir(""), dir("a"), dir("a/deep"), dir("a/deep/er"), dir("empty"),
		text("a/hello", "hello\n"), text("a/copy", "hello\n"), text("a/nothing", ""),
		data("a/block", words(256<<10, 1)), data("a/two", words(512<<10, 2)), data("a/large", words(900_001, 3)),
		data("a/large2", words(900_001, 3)), data("a/large3", words(900_001, 4)),
		data("a/random", noise(300_000, 5)), data("a/hole", make([]byte, 2<<20+77)),
		data("a/mixed", slices.Concat(make([]byte, 512<<10), words(256<<10, 6), make([]byte, 256<<10), []byte("end"))),
		{Path: "a/none", Kind: File, Mode: 0o600},
		{Path: "a/link", HardLink: "a/large"}, {Path: "z", HardLink: "a/link"},
		{Path: "null", Kind: Char, Mode: 0o666, Major: 1, Minor: 3}, {Path: "disk", Kind: Block, Mode: 0o660, Major: 4095, Minor: 1048575},
		{Path: "minor", Kind: Char, Mode: 0o600, Major: 5, Minor: 70000},
		{Path: "null2", HardLink: "null"},
		{Path: "fifo", Kind: Fifo, Mode: 0o600}, {Path: "socket", Kind: Socket, Mode: 0o777},
		{Path: "dangling", Kind: Symlink, Mode: 0o777, Target: "/no/such/file"}, {Path: "long", Kind: Symlink, Mode: 0o777, Target: strings.Repeat("x/", 2047) + "y"},
		{Path: "tmp", Kind: Dir, Mode: 0o1777, UID: 100000, GID: 2000000000},
		{Path: "grüße-日本語-🚀", Kind: File, Mode: 0o4755, UID: 4294967295, MTime: 4294967295},
		text(strings.Repeat("n", 255), "long name"),
	}
	owned := text("owned", "owned by somebody far away")
	owned.UID, owned.GID, owned.Mode = 100000, 2000000000, 0o6711
	ping := text("ping", "#!elf")
	ping.Xattrs = caps
	ping2 := text("ping2", "#!elf2")
	ping2.Xattrs = caps
	many := data("many", words(300_000, 7))
	many.Xattrs = []Xattr{{"user.b", words(65536, 8)}, {"user.a", nil}, {"trusted.overlay.opaque", []byte("y")}}
	list = append(list, owned, ping, ping2, many,
		Entry{Path: "xdir", Kind: Dir, Mode: 0o700, Xattrs: []Xattr{{"user.dir", []byte("1")}}},
		Entry{Path: "xlink", Kind: Symlink, Mode: 0o777, Target: "xdir", Xattrs: []Xattr{{"trusted.link", []byte("2")}}},
		Entry{Path: "xdev", Kind: Block, Mode: 0o600, Major: 8, Minor: 1, Xattrs: []Xattr{{"security.dev", []byte("3")}}},
		Entry{Path: "xfifo", Kind: Fifo, Mode: 0o600, Xattrs: []Xattr{{"security.fifo", []byte("4")}}},
	)
	return list
}

func write(t testing.TB, entries []Entry, o Options) ([]byte, Stats) {
	t.Helper()
	var m memory
	st, err := Write(&m, entries, o)
	if err != nil {
		t.Fatal(err)
	}
	if st.Size != int64(len(m.b)) {
		t.Fatalf("size %d is reported, %d was written, want %v", st.Size, len(m.b), int64(len(m.b)))
	}
	if sum := superblockSize + st.DataBytes + st.FragmentBytes + st.MetadataBytes; (sum+4095)/4096*4096 != st.Size {
		t.Fatalf("parts are %d bytes, image is %d", sum, st.Size)
	}
	return m.b, st
}

// same compares an image with the entries it was made of.
func same(t testing.TB, image []byte, want []Entry) {
	t.Helper()
	got, err := readImage(t, image)
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]*Entry{}
	for i := range want {
		wanted[want[i].Path] = &want[i]
	}
	found := map[string]*Entry{}
	for i := range got {
		found[got[i].Path] = &got[i]
	}
	if len(found) != len(wanted) || len(got) != len(wanted) {
		t.Fatalf("image has %d entries, %d paths; want %d", len(got), len(found), len(wanted))
	}
	// Any name of an inode may come first in the image; compare by the inodes of the names.
	resolve := func(m map[string]*Entry, e *Entry) *Entry {
		for e.HardLink != "" {
			e = m[e.HardLink]
		}
		return e
	}
	groups := map[string]string{}
	for path, w := range wanted {
		f := found[path]
		if f == nil {
			t.Fatalf("%q is missing", path)
		}
		w, f := resolve(wanted, w), resolve(found, f)
		if first, ok := groups[f.Path]; ok && first != w.Path {
			t.Fatalf("%q and %q share an inode", first, w.Path)
		}
		groups[f.Path] = w.Path
		if w.Kind != f.Kind || w.Mode != f.Mode || w.UID != f.UID || w.GID != f.GID || w.MTime != f.MTime || w.Target != f.Target ||
			w.Major != f.Major || w.Minor != f.Minor || w.Kind == File && w.Size != f.Size {
			t.Fatalf("%q: got %+v, want %+v", path, *f, *w)
		}
		sorted := slices.SortedFunc(slices.Values(w.Xattrs), func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
		if !slices.EqualFunc(sorted, f.Xattrs, func(a, b Xattr) bool { return a.Name == b.Name && bytes.Equal(a.Value, b.Value) }) {
			t.Fatalf("%q: xattrs %v, want %v", path, f.Xattrs, sorted)
		}
		if w.Kind == File && !bytes.Equal(contentOf(t, f), contentOf(t, w)) {
			t.Fatalf("%q: content differs", path)
		}
	}
}

func contentOf(t testing.TB, e *Entry) []byte {
	t.Helper()
	if e.Open == nil {
		return nil
	}
	r, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	list := everything()
	for _, block := range []int{4 << 10, 128 << 10, 256 << 10, 1 << 20} {
		image, _ := write(t, list, Options{BlockSize: block, ModTime: 1700000000})
		same(t, image, list)
	}
}

func TestStats(t *testing.T) {
	_, st := write(t, everything(), Options{})
	if st.Duplicates != 2 || st.SparseBlocks != 8+2+1 || st.Inodes != len(everything())-3 {
		t.Errorf("duplicates, sparse blocks or inodes are off: %+v", st)
	}
}

// TestSameBytes is the promise that workers, and the order of entries as far as it has no meaning,
// change nothing.
func TestSameBytes(t *testing.T) {
	list := everything()
	want, _ := write(t, list, Options{Workers: 1})
	for range 2 {
		if got, _ := write(t, list, Options{Workers: 4}); !bytes.Equal(got, want) {
			t.Fatal("four workers give other bytes than one")
		}
	}
	slices.SortStableFunc(list, func(a, b Entry) int { return strings.Compare(a.HardLink, b.HardLink) })
	if got, _ := write(t, list, Options{Workers: 2}); !bytes.Equal(got, want) {
		t.Fatal("another order of entries gives other bytes")
	}
}

func TestManyInodes(t *testing.T) {
	list := []Entry{dir(""), dir("small"), dir("wide")}
	for i := range 7000 {
		list = append(list, text(fmt.Sprintf("wide/%0200d", i), ""))
	}
	for d := range 63 {
		name := fmt.Sprintf("small/%02d", d)
		list = append(list, dir(name))
		for i := range 1000 {
			list = append(list, text(fmt.Sprintf("%s/file%d", name, i), fmt.Sprint(d, i)))
		}
	}
	// A link from far away: its inode number is further than a listing's 16 bits reach.
	list = append(list, Entry{Path: "wide/zz", HardLink: "small/00/file0"}, Entry{Path: "small/62/zz", HardLink: "small/00/file0"})
	image, st := write(t, list, Options{})
	if st.Inodes != len(list)-2 {
		t.Fatalf("%d inodes, want %d", st.Inodes, len(list)-2)
	}
	same(t, image, list)
}

func TestProgress(t *testing.T) {
	var last, calls, total int64
	for _, e := range everything() {
		if e.HardLink == "" {
			total += e.Size
		}
	}
	write(t, everything(), Options{Workers: 3, Progress: func(done int64) {
		if done < last {
			t.Errorf("progress goes back from %d to %d", last, done)
		}
		last = done
		calls++
	}})
	if last != total || calls < 5 {
		t.Errorf("progress ends at %d of %d after %d calls", last, total, calls)
	}
}

func BenchmarkWrite(b *testing.B) {
	list := []Entry{dir("")}
	var size int64
	for i := range 200 {
		content := words(i*i*10+1, byte(i))
		if i%5 == 0 {
			content = append(content, noise(i*1000, byte(i))...)
		}
		size += int64(len(content))
		list = append(list, data(fmt.Sprintf("file%d.txt", i), content))
	}
	b.SetBytes(size)
	for b.Loop() {
		var m memory
		st, err := Write(&m, list, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(st.Size)/float64(size), "ratio")
	}
}
