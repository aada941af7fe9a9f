package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
)

var head = Header{Kind: Migrate, Created: time.Date(2026, 11, 22, 20, 0, 0, 5, time.UTC), Hostname: "node1", Role: "server", K3s: "v1.22.2+k3s1",
	From: "picl card", Contents: []string{Identity, Config}}

// sample fills an archive with one of each.
func sample(a *Writer) error {
	m := Meta{Mode: 0o1755, UID: 1000, GID: 2000000000, Time: time.Unix(1600000000, 7)}
	return errors.Join(a.Dir("k3os/data", m),
		a.File("k3os/data/long"+strings.Repeat("/name", 100), m, 3, strings.NewReader("abcdef")),
		a.File("k3os/data/empty", Meta{Mode: 0o600}, 0, nil),
		a.File("k3os/data/\xff\xfe bytes", Meta{Mode: 0o4711}, 1, strings.NewReader("x")),
		a.Symlink("k3os/data/link", "/etc/../../passwd", m),
		a.Link("k3os/data/hard", "k3os/data/empty"),
		a.Dir("k3os", Meta{Mode: 0o700}))
}

func pack(t testing.TB, fill func(*Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	a, err := NewWriter(&b, head)
	if err == nil {
		err = errors.Join(fill(a), a.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// list reads an archive into lines.
func list(r io.Reader) (h Header, lines []string, err error) {
	err = Read(r, func(got Header) error { h = got; return nil }, func(th *tar.Header, r io.Reader) error {
		data, err := io.ReadAll(r)
		lines = append(lines, fmt.Sprintf("%c %q %o %d:%d %d %q %q", th.Typeflag, th.Name, th.Mode, th.Uid, th.Gid, th.ModTime.Unix(), th.Linkname, data))
		return err
	})
	return h, lines, err
}

func TestRoundTrip(t *testing.T) {
	data := pack(t, sample)
	h, lines, err := list(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if h.Hostname != "node1" || h.Format != 1 || !h.Has(Config) || h.Has(Volumes) || h.Created.Nanosecond() != 0 {
		t.Errorf("header %+v", h)
	}
	want := []string{
		`5 "k3os/data" 1755 1000:2000000000 1600000000 "" ""`,
		`0 "k3os/data/long` + strings.Repeat("/name", 100) + `" 1755 1000:2000000000 1600000000 "" "abc"`,
		`0 "k3os/data/empty" 600 0:0 0 "" ""`,
		`0 "k3os/data/\xff\xfe bytes" 4711 0:0 0 "" "x"`,
		`2 "k3os/data/link" 777 1000:2000000000 1600000000 "/etc/../../passwd" ""`,
		`1 "k3os/data/hard" 0 0:0 0 "k3os/data/empty" ""`,
		`5 "k3os" 700 0:0 0 "" ""`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if !bytes.Equal(data, pack(t, sample)) {
		t.Error("twice the same is not the same bytes")
	}
}

func TestWriterRefuses(t *testing.T) {
	ok := Meta{Mode: 0o644}
	for name, fill := range map[string]func(*Writer) error{
		"absolute":       func(a *Writer) error { return a.Dir("/etc", ok) },
		"dots":           func(a *Writer) error { return a.Dir("a/../b", ok) },
		"dot":            func(a *Writer) error { return a.Dir("./a", ok) },
		"slash":          func(a *Writer) error { return a.Dir("a/", ok) },
		"empty":          func(a *Writer) error { return a.Dir("", ok) },
		"NUL":            func(a *Writer) error { return a.Dir("a\x00b", ok) },
		"long":           func(a *Writer) error { return a.Dir(strings.Repeat("a", 256), ok) },
		"own":            func(a *Writer) error { return a.Dir("shelf-node.json", ok) },
		"mode":           func(a *Writer) error { return a.Dir("a", Meta{Mode: 0o10000}) },
		"twice":          func(a *Writer) error { return errors.Join(a.Dir("a", ok), a.Dir("a", ok)) },
		"below a file":   func(a *Writer) error { return errors.Join(a.File("a", ok, 0, nil), a.Dir("a/b", ok)) },
		"below a link":   func(a *Writer) error { return errors.Join(a.Symlink("a", "/etc", ok), a.File("a/b/c", ok, 0, nil)) },
		"file over dir":  func(a *Writer) error { return errors.Join(a.Dir("a/b", ok), a.File("a", ok, 0, nil)) },
		"hard to later":  func(a *Writer) error { return a.Link("a", "b") },
		"hard to dir":    func(a *Writer) error { return errors.Join(a.Dir("a", ok), a.Link("b", "a")) },
		"no target":      func(a *Writer) error { return a.Symlink("a", "", ok) },
		"short":          func(a *Writer) error { return a.File("a", ok, 5, strings.NewReader("abc")) },
		"after an error": func(a *Writer) error { a.Dir("/", ok); return a.Dir("a", ok) },
	} {
		a, err := NewWriter(io.Discard, head)
		if err != nil {
			t.Fatal(err)
		}
		if fill(a) == nil || a.Close() == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for _, h := range []Header{{}, {Kind: "x"}, {Kind: Backup, Hostname: "a\nb"}, {Kind: Backup, Contents: []string{"\x1b[2J"}}} {
		if _, err := NewWriter(io.Discard, h); fault.Code(err) != int(fault.Input) {
			t.Errorf("%+v: %v, want code %v", h, err, int(fault.Input))
		}
	}
}

// hostile builds a tar with a good header and one member that our Writer would not write.
func hostile(t testing.TB, members ...*tar.Header) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range append([]*tar.Header{{Name: headName, Typeflag: tar.TypeReg, Size: int64(len(marshal(Header{Format: 1, Kind: Migrate})))}}, members...) {
		if err := w.WriteHeader(m); err != nil {
			t.Fatal(err)
		}
		if m.Name == headName {
			w.Write(marshal(Header{Format: 1, Kind: Migrate}))
			continue
		}
		w.Write(make([]byte, m.Size))
	}
	w.Close()
	return b.Bytes()
}

func TestReadRefuses(t *testing.T) {
	good := pack(t, sample)
	flipped := bytes.Clone(good)
	flipped[bytes.Index(flipped, []byte("abc"))] ^= 1
	for name, data := range map[string][]byte{
		"nothing":     nil,
		"a text":      []byte("hostname: x\n"),
		"another tar": hostile(t)[1024:],
		"no end":      hostile(t),
		"cut":         good[:len(good)/2],
		"cut at end":  good[:len(good)-3*1024],
		"changed":     flipped,
		"dots":        hostile(t, &tar.Header{Name: "k3os/../../etc/passwd", Typeflag: tar.TypeReg}),
		"absolute":    hostile(t, &tar.Header{Name: "/etc/passwd", Typeflag: tar.TypeReg}),
		"device":      hostile(t, &tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}),
		"fifo":        hostile(t, &tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}),
		"below link":  hostile(t, &tar.Header{Name: "a", Linkname: "/etc", Typeflag: tar.TypeSymlink}, &tar.Header{Name: "a/passwd", Typeflag: tar.TypeReg}),
		"twice":       hostile(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg}, &tar.Header{Name: "a", Typeflag: tar.TypeReg}),
		"hard link":   hostile(t, &tar.Header{Name: "a", Linkname: "../b", Typeflag: tar.TypeLink}),
		"xattr":       hostile(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "x"}}),
		"huge end":    hostile(t, &tar.Header{Name: endName, Typeflag: tar.TypeReg, Size: 1 << 20}),
	} {
		_, lines, err := list(bytes.NewReader(data))
		if fault.Code(err) != int(fault.Input) {
			t.Errorf("%s: %v, %q, want code %v", name, err, lines, int(fault.Input))
		}
	}
	mine := errors.New("mine")
	if err := Read(bytes.NewReader(good), nil, func(*tar.Header, io.Reader) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("an error of the caller's comes back as %v", err)
	}
	if err := Read(bytes.NewReader(good), nil, nil); err != nil {
		t.Errorf("unread content: %v", err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.tar", "a.tar.zst"} {
		path := filepath.Join(dir, name)
		if err := Create(path, head, sample); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v %v, want 0o600", name, info.Mode(), err)
		}
		n := 0
		if err := ReadFile(path, nil, func(*tar.Header, io.Reader) error { n++; return nil }); err != nil || n != 7 {
			t.Errorf("%s: %d members, %v, want 7", name, n, err)
		}
		data, _ := os.ReadFile(path)
		if err := os.WriteFile(path+"-cut", data[:len(data)-100], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ReadFile(path+"-cut", nil, nil); strings.HasSuffix(name, "zst") && fault.Code(err) != int(fault.Input) {
			t.Errorf("%s cut: %v", name, err)
		}
		before, _ := os.ReadFile(path)
		if err := Create(path, head, func(a *Writer) error { return errors.Join(a.Dir("a", Meta{}), fs.ErrInvalid) }); !errors.Is(err, fs.ErrInvalid) {
			t.Error(err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s was overwritten by a failure", name)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".archive-*")); left != nil {
		t.Errorf("left behind: %v, want nil", left)
	}
	if err := Create(filepath.Join(dir, "no", "a.tar"), head, sample); fault.Code(err) != int(fault.Device) {
		t.Errorf("got code %v, %v, want %v", fault.Code(err), err, int(fault.Device))
	}
	if err := ReadFile(filepath.Join(dir, "no"), nil, nil); fault.Code(err) != int(fault.Input) {
		t.Errorf("got code %v, %v, want %v", fault.Code(err), err, int(fault.Input))
	}
}

func TestAddTree(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "server")
	for _, d := range []string{"db", "cache/deep"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(root, "db/state.db"), []byte("rows"), 0o600))
	must(os.Chmod(filepath.Join(root, "db/state.db"), 0o640|fs.ModeSetgid))
	must(os.Link(filepath.Join(root, "db/state.db"), filepath.Join(root, "db/zweiter")))
	must(os.WriteFile(filepath.Join(root, "cache/x"), nil, 0o600))
	must(os.Symlink("/etc/passwd", filepath.Join(root, "link")))
	l, err := net.Listen("unix", filepath.Join(root, "kine.sock"))
	must(err)
	defer l.Close()
	var left []string
	data := pack(t, func(a *Writer) (err error) {
		left, err = a.AddTree(root, "k3os/data/s", func(name string, _ fs.FileInfo) bool { return name != "cache" })
		return err
	})
	_, lines, err := list(bytes.NewReader(data))
	must(err)
	var got []string
	for _, l := range lines {
		f := strings.Fields(l)
		got = append(got, f[0]+f[1]+f[2]+f[5]+f[6])
	}
	want := []string{`5"k3os/data/s"755""""`, `5"k3os/data/s/db"750""""`, `0"k3os/data/s/db/state.db"2640"""rows"`,
		`1"k3os/data/s/db/zweiter"0"k3os/data/s/db/state.db"""`, `2"k3os/data/s/link"777"/etc/passwd"""`}
	got[0] = strings.Replace(got[0], "750", "755", 1) // as the umask has it
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if !slices.Equal(left, []string{filepath.Join(root, "kine.sock")}) {
		t.Errorf("left %q", left)
	}
	one := pack(t, func(a *Writer) (err error) {
		_, err = a.AddTree(filepath.Join(root, "db/state.db"), "one", nil)
		return err
	})
	if _, lines, err := list(bytes.NewReader(one)); err != nil || len(lines) != 1 || !strings.HasPrefix(lines[0], `0 "one" 2640`) {
		t.Errorf("a single file: %v %v", lines, err)
	}
	a, err := NewWriter(io.Discard, head)
	must(err)
	if _, err := a.AddTree(filepath.Join(root, "none"), "x", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a tree that is not there: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(pack(f, sample))
	f.Add(hostile(f, &tar.Header{Name: "a", Linkname: "/etc", Typeflag: tar.TypeSymlink}))
	f.Fuzz(func(t *testing.T, data []byte) {
		kinds := map[string]byte{}
		err := Read(bytes.NewReader(data), nil, func(h *tar.Header, r io.Reader) error {
			if _, twice := kinds[h.Name]; twice || CheckName(h.Name) != nil || filepath.IsAbs(h.Name) || !filepath.IsLocal(h.Name) {
				t.Fatalf("%q is given", h.Name)
			}
			for d := filepath.Dir(h.Name); d != "."; d = filepath.Dir(d) {
				if k, ok := kinds[d]; ok && k != tar.TypeDir {
					t.Fatalf("%q is below %q", h.Name, d)
				}
			}
			if !strings.ContainsRune("0125", rune(h.Typeflag)) {
				t.Fatalf("type %c", h.Typeflag)
			}
			kinds[h.Name] = h.Typeflag
			return nil
		})
		if err != nil && fault.Code(err) != int(fault.Input) {
			t.Fatal(err)
		}
	})
}
