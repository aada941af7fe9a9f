package ext4

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"imgbuild/qemu/tool"
)

func options(size int64) Options {
	return Options{Size: size, Label: "K3OS_STATE", Time: 1760000000,
		UUID:     [16]byte([]byte("0123456789abcdef")),
		HashSeed: [16]byte([]byte("fedcba9876543210"))}
}

func dir(path string) Entry { return Entry{Path: path, Kind: Dir, Mode: 0o755} }

func file(path string, b []byte) Entry {
	return Entry{Path: path, Kind: File, Mode: 0o644, Size: int64(len(b)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

func link(path, target string) Entry { return Entry{Path: path, Kind: Symlink, Target: target} }

// state is what a flashed data partition begins with, and more.
func state() []Entry {
	noise := make([]byte, 9<<20)
	for i := range noise {
		noise[i] = byte(i>>3 ^ i*i>>9)
	}
	holes := make([]byte, 300000)
	copy(holes[100000:], "in the middle")
	list := []Entry{
		{Path: "", Kind: Dir, Mode: 0o750, UID: 7, GID: 8},
		dir("k3os"), dir("k3os/data"), dir("k3os/config"),
		{Path: "k3os/config/secret", Kind: File, Mode: 0o600, UID: 1000, GID: 100000, Size: 6, Open: file("", []byte("secret")).Open},
		{Path: "k3os/data/sticky", Kind: Dir, Mode: 0o1777, UID: 4000000000, GID: 70000},
		{Path: "empty", Kind: File, Mode: 0o4755},
		link("short", "k3os/data"), link("k3os/l59", strings.Repeat("t", 59)), link("k3os/l60", strings.Repeat("t", 60)),
		link("longest", strings.Repeat("/x", 2047)+"y"),
		file("one", []byte{1}), file("block", noise[:4096]), file("blocks", noise[:8193]), file("noise", noise),
		file("zeros", make([]byte, 1<<20)), file("holes", holes),
		file(strings.Repeat("n", 255), []byte("long name")), file("ünï\ncode\xff", []byte("bytes are bytes")),
		dir("many"),
	}
	for i := range 3000 {
		list = append(list, file(fmt.Sprintf("many/file-%04d", i), []byte(fmt.Sprint(i))))
	}
	return list
}

func create(t testing.TB, o Options, entries []Entry) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "ext4.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(o.Size); err != nil {
		t.Fatal(err)
	}
	if err := Write(f, o, entries); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// fsck fails if e2fsck prints anything but the passes and the summary.
func fsck(t testing.TB, img string) {
	t.Helper()
	cmd := exec.Command(tool.Path(t, "e2fsck"), "-f", "-n", img)
	cmd.Env = append(os.Environ(), "E2FSCK_TIME=3000000001") // some images are from the future
	out, err := cmd.CombinedOutput()
	if err != nil || !clean.Match(out) {
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
}

var clean = regexp.MustCompile(`(?s)^e2fsck [^\n]*\n(Pass \d[^\n]*\n){5}[^\n]* blocks\n$`)

func TestSizes(t *testing.T) {
	const mib, group = 1 << 20, int64(blocksPerGroup * BlockSize)
	sizes := []int64{
		128 * mib, 96 * mib, 129 * mib, 130*mib + 4096*57, 131*mib + 511, 255 * mib, 256 * mib, 3*group + 700*4096, 3*group + 819*4096,
		3*group + 820*4096, 3*group + 821*4096, 4*group + 563*4096, 4*group + 564*4096, 1000*mib + 12345, 15*group - 4096,
		16*group + 600*4096, 16*group + 4096, 17 * group, 33*group + 4096*1000, 4 << 30, 8 << 30, 8<<30 + 4096, 29 << 30,
	}
	for _, size := range sizes {
		fsck(t, create(t, options(size), []Entry{dir("k3os"), dir("k3os/data"), dir("k3os/config")}))
	}
}

func TestOptionsThatMatter(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no growth":      func(o *Options) { o.MaxSize = o.Size },
		"8 TiB":          func(o *Options) { o.MaxSize = 8 << 40 },
		"least journal":  func(o *Options) { o.Journal = 4 << 20 },
		"great journal":  func(o *Options) { o.Journal = 1 << 30 },
		"time 0":         func(o *Options) { o.Time = 0 },
		"after 2038":     func(o *Options) { o.Time = 3000000000 },
		"no label":       func(o *Options) { o.Label = "" },
		"label":          func(o *Options) { o.Label = "sixteen-bytes-ok" },
		"journal splits": func(o *Options) { o.Journal = 200 << 20 },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(2 << 30)
			change(&o)
			fsck(t, create(t, o, state()[:15]))
		})
	}
}

func TestDumpe2fs(t *testing.T) {
	img := create(t, options(512<<20), state())
	out, err := exec.Command(tool.Path(t, "dumpe2fs"), "-h", img).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, line := range strings.Split(string(out), "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok {
			got[key] = strings.TrimSpace(value)
		}
	}
	for key, want := range map[string]string{
		"Filesystem volume name": "K3OS_STATE",
		"Filesystem UUID":        "30313233-3435-3637-3839-616263646566",
		"Filesystem features": "has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super " +
			"large_file huge_file dir_nlink extra_isize metadata_csum",
		"Filesystem flags":       "signed_directory_hash",
		"Default mount options":  "user_xattr acl",
		"Filesystem state":       "clean",
		"Errors behavior":        "Remount read-only",
		"Inode count":            "32768",
		"Block count":            "131072",
		"Reserved block count":   "1966",
		"Block size":             "4096",
		"Group descriptor size":  "64",
		"Reserved GDT blocks":    "255",
		"Inodes per group":       "8192",
		"Flex block group size":  "16",
		"Maximum mount count":    "-1",
		"First inode":            "11",
		"Inode size":             "256",
		"Required extra isize":   "32",
		"Journal inode":          "8",
		"Default directory hash": "half_md4",
		"Directory Hash Seed":    "66656463-6261-3938-3736-353433323130",
		"Journal backup":         "inode blocks",
		"Checksum type":          "crc32c",
		"Total journal size":     "64M",
		"Journal start":          "0",
	} {
		if got[key] != want {
			t.Errorf("%s: %q, want %q", key, got[key], want)
		}
	}
}

// TestLikeMke2fs compares the fields of the superblock with those that mke2fs writes for the same
// size.
func TestLikeMke2fs(t *testing.T) {
	fields := func(img string) map[string]string {
		out, err := exec.Command(tool.Path(t, "dumpe2fs"), "-h", img).Output()
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]string{}
		for _, line := range strings.Split(string(out), "\n") {
			key, value, _ := strings.Cut(line, ":")
			m[key] = strings.TrimSpace(value)
		}
		for _, ours := range []string{"Filesystem created", "Last write time", "Last checked", "Lifetime writes", "Checksum"} {
			delete(m, ours)
		}
		return m
	}
	img := filepath.Join(t.TempDir(), "mke2fs.img")
	out, err := exec.Command(tool.Path(t, "mke2fs"), "-q", "-t", "ext4", "-b", "4096", "-m", "1.5", "-e", "remount-ro", "-L", "K3OS_STATE",
		"-U", "30313233-3435-3637-3839-616263646566", "-J", "size=64", "-O", "^metadata_csum_seed,^orphan_file", "-E",
		"resize=536870912,hash_seed=66656463-6261-3938-3736-353433323130", img, "3200M").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, got := fields(img), fields(create(t, options(3200<<20), nil))
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s: %q, mke2fs has %q", key, got[key], value)
		}
	}
}

func TestContents(t *testing.T) {
	for _, o := range []Options{options(160 << 20), options(600 << 20)} {
		entries := state()
		img := create(t, o, entries)
		fsck(t, img)
		readBack(t, img, entries)
	}
}

// readBack fails if debugfs does not see every entry as it was given.
func readBack(t *testing.T, img string, entries []Entry) {
	t.Helper()
	out := t.TempDir()
	debugfs(t, img, "rdump / "+out)
	for _, e := range entries {
		name := filepath.Join(out, e.Path)
		switch e.Kind {
		case File:
			got, err := os.ReadFile(name)
			if err != nil || !bytes.Equal(got, content(t, e)) {
				t.Errorf("%q: %d bytes of %d, %v", e.Path, len(got), e.Size, err)
			}
		case Symlink:
			got, err := os.Readlink(name)
			if err != nil || got != e.Target {
				t.Errorf("%q points to %q, %v", e.Path, got, err)
			}
		case Dir:
			if info, err := os.Stat(name); err != nil || !info.IsDir() {
				t.Errorf("%q: %v", e.Path, err)
			}
		}
	}
	for _, e := range entries[:min(len(entries), 10)] {
		stat := debugfs(t, img, "stat /"+e.Path)
		mode, user := fmt.Sprintf("Mode:  0%03o", e.Mode), fmt.Sprintf(`User:\s+%d\s+Group:\s+%d\s`, int32(e.UID), e.GID)
		if e.Kind == Symlink {
			mode = "Mode:  0777"
		}
		if !strings.Contains(stat, mode) || !regexp.MustCompile(user).MatchString(stat) || !strings.Contains(stat, "0x68e77800:0000000") {
			t.Errorf("%q: want %s, %s and the time, have\n%s", e.Path, mode, user, stat)
		}
	}
}

func content(t *testing.T, e Entry) []byte {
	t.Helper()
	if e.Size == 0 {
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

func debugfs(t *testing.T, img, request string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(tool.Path(t, "debugfs"), "-R", request, img)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("debugfs %s: %v\n%s", request, err, stderr.String())
	}
	return string(out)
}

// TestGrow grows the file system as the kernel would, by the same on-disk rules: the reserved
// descriptor blocks.
func TestGrow(t *testing.T) {
	for _, c := range []struct {
		from int64
		to   string
	}{{256 << 20, "9G"}, {200<<20 + 4096*77, "300M"}, {2 << 30, "17G"}} {
		entries := state()[:18]
		img := create(t, options(c.from), entries)
		if out, err := exec.Command(tool.Path(t, "resize2fs"), img, c.to).CombinedOutput(); err != nil {
			t.Fatalf("resize2fs: %v\n%s", err, out)
		}
		fsck(t, img)
		readBack(t, img, entries)
	}
}

func TestDeterministic(t *testing.T) {
	sum := func() string {
		r := record{sha256.New()}
		if err := Write(r, options(300<<20), state()); err != nil {
			t.Fatal(err)
		}
		return string(r.Sum(nil))
	}
	if first, second := sum(), sum(); first != second {
		t.Error("two runs differ")
	}
}

// record is a WriterAt that hashes what is written where.
type record struct{ hash.Hash }

func (r record) WriteAt(b []byte, off int64) (int, error) {
	fmt.Fprintf(r, "%d %d\n", off, len(b))
	return r.Write(b)
}

// count is a WriterAt that counts.
type count int64

func (c *count) WriteAt(b []byte, _ int64) (int, error) { *c += count(len(b)); return len(b), nil }

func TestSparse(t *testing.T) {
	var c count
	if err := Write(&c, options(8<<30), state()[1:4]); err != nil {
		t.Fatal(err)
	}
	if c > 2<<20 {
		t.Errorf("an empty file system of 8 GiB writes %d bytes", c)
	}
}

// TestMapped fills everything outside Mapped with rubbish, as a card that is not blank would have
// it.
func TestMapped(t *testing.T) {
	o, entries := options(400<<20), state()[:18]
	img := create(t, o, entries)
	mapped, err := Mapped(o, entries)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(img, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	rubbish := bytes.Repeat([]byte("\xde\xad\xbe\xef"), 1<<18)
	at := int64(0)
	for _, e := range append(mapped, Extent{o.Size, 0}) {
		if e.Offset < at || e.Offset%BlockSize != 0 || e.Size%BlockSize != 0 {
			t.Fatalf("%+v after %d", e, at)
		}
		for at < e.Offset {
			n, err := f.WriteAt(rubbish[:min(int64(len(rubbish)), e.Offset-at)], at)
			if err != nil {
				t.Fatal(err)
			}
			at += int64(n)
		}
		at += e.Size
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	fsck(t, img)
	readBack(t, img, entries)
}

func TestRefused(t *testing.T) {
	with := func(size int64, change func(*Options)) Options {
		o := options(size)
		change(&o)
		return o
	}
	short, more, broken := file("short", make([]byte, 100)), file("more", make([]byte, 100)), file("broken", []byte{1})
	short.Size, more.Size = 101, 99
	broken.Open = func() (io.ReadCloser, error) { return nil, errFull }
	crowd := make([]Entry, 8200)
	for i := range crowd {
		crowd[i] = Entry{Path: fmt.Sprint(i), Kind: File}
	}
	ok := options(128 << 20)
	for _, c := range []struct {
		want    string
		o       Options
		entries []Entry
	}{
		{"too small", options(0), nil},
		{"too small", options(-5 << 40), nil},
		{"too small", options(3 << 20), nil},
		{"does not fit", options(60 << 20), nil},
		{"must not be zero", with(1<<30, func(o *Options) { o.UUID = [16]byte{} }), nil},
		{"must not be zero", with(1<<30, func(o *Options) { o.HashSeed = [16]byte{} }), nil},
		{"longer than 16", with(1<<30, func(o *Options) { o.Label = "seventeen bytes!!" }), nil},
		{"8 TiB", with(1<<30, func(o *Options) { o.MaxSize = 9 << 40 }), nil},
		{"8 TiB", with(1<<30, func(o *Options) { o.MaxSize = 1 << 29 }), nil},
		{"journal of", with(1<<30, func(o *Options) { o.Journal = 1 << 20 }), nil},
		{"journal of", with(1<<30, func(o *Options) { o.Journal = 5<<20 + 1 }), nil},
		{"the journal (", with(1<<30, func(o *Options) { o.Journal = 2 << 30 }), nil},
		{`full: big (`, ok, []Entry{{Path: "big", Kind: File, Size: 1 << 30, Open: broken.Open}}},
		{"has no inode", ok, crowd},
		{"not among the entries before", ok, []Entry{file("a/b", nil)}},
		{"not among the entries before", ok, []Entry{file("a", nil), file("a/b", nil)}},
		{"there already", ok, []Entry{file("a", nil), link("a", "b")}},
		{"there already", ok, []Entry{dir("a"), dir("a")}},
		{"there already", ok, []Entry{file("lost+found", nil)}},
		{"without a slash", ok, []Entry{file("/a", nil)}},
		{"is not a name", ok, []Entry{dir("a"), file("a/", nil)}},
		{"is not a name", ok, []Entry{file("..", nil)}},
		{"longer than 255", ok, []Entry{file(strings.Repeat("n", 256), nil)}},
		{"NUL in it", ok, []Entry{file("a\x00b", nil)}},
		{"root is a directory", ok, []Entry{file("", nil)}},
		{"is not one", ok, []Entry{{Path: "a"}}},
		{"more than permissions", ok, []Entry{{Path: "a", Kind: Dir, Mode: 0o40755}}},
		{"without content", ok, []Entry{{Path: "a", Kind: File, Size: 1}}},
		{"without content", ok, []Entry{{Path: "a", Kind: File, Size: -1}}},
		{"1 to 4095", ok, []Entry{link("a", "")}},
		{"1 to 4095", ok, []Entry{link("a", strings.Repeat("x", 4096))}},
	} {
		if err := Write(nil, c.o, c.entries); err == nil || !strings.Contains(err.Error(), c.want) { // nothing may be written
			t.Errorf("%s: got %v", c.want, err)
		}
	}
	for want, e := range map[string]Entry{
		"short: content ends after 100 of 101": short, "more: content goes on after its 99": more, "broken: no space": broken,
	} {
		if err := Write(new(count), ok, []Entry{e}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if err := Write(fullDisk{}, ok, nil); !errors.Is(err, errFull) {
		t.Errorf("full disk: %v", err)
	}
}

type fullDisk struct{}

var errFull = errors.New("no space")

func (fullDisk) WriteAt([]byte, int64) (int, error) { return 0, errFull }
