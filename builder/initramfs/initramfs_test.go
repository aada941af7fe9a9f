package initramfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
	"github.com/klauspost/compress/zstd"

	"imgbuild/qemu/tool"
)

func sample() []Entry {
	text := strings.Repeat("kernel/fs/ext4/ext4.ko:\n", 100)
	return []Entry{
		{Path: "init", Mode: Regular | 0o755, Data: bytes.Repeat([]byte("program "), 3000)},
		{Path: "lib", Mode: Dir | 0o755},
		{Path: "lib/modules.dep", Mode: Regular | 0o644, Size: int64(len(text)), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		}},
		{Path: "empty", Mode: Regular | 0o600},
		{Path: "sbin", Mode: Symlink | 0o777, Target: "usr/sbin"},
		{Path: "tmp", Mode: Dir | 0o1777},
	}
}

func write(t testing.TB, entries []Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, entries); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read lists an archive: "mode path target data-length inode".
func read(data []byte) ([]string, map[string][]byte, error) {
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, nil, err
	}
	defer z.Close()
	var list []string
	files := map[string][]byte{}
	for r := cpio.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return list, files, nil
		}
		if err != nil {
			return nil, nil, err
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return nil, nil, err
		}
		files[h.Name] = body
		list = append(list, fmt.Sprintf("%o %s %s %d %d %d", h.Mode, h.Name, h.Linkname, len(body), h.Inode, h.ModTime.Unix()))
	}
}

func TestRoundTrip(t *testing.T) {
	list, files, err := read(write(t, sample()))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"100600 empty  0 1 0", "100755 init  24000 2 0", "40755 lib  0 3 0", "100644 lib/modules.dep  2400 4 0",
		"120777 sbin usr/sbin 0 5 0", "41777 tmp  0 6 0",
	}
	if !slices.Equal(list, want) {
		t.Fatalf("got  %q\nwant %q", list, want)
	}
	if !bytes.Equal(files["init"], sample()[0].Data) {
		t.Fatal("init came back altered")
	}
}

// The reference tools read it: zstd checks its checksum, cpio names every entry.
func TestReferenceTools(t *testing.T) {
	plain := pipe(t, write(t, sample()), "zstd", "-d", "-c")
	list := string(pipe(t, plain, "cpio", "-it", "--quiet"))
	if want := "empty\ninit\nlib\nlib/modules.dep\nsbin\ntmp\n"; list != want {
		t.Fatalf("cpio lists %q, want %v", list, want)
	}
	if len(plain)%4 != 0 {
		t.Fatalf("%d bytes are not whole words: got %v, want 0", len(plain), len(plain)%4)
	}
}

func pipe(t *testing.T, in []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(tool.Path(t, name), args...)
	var out, msg bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &msg
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, &msg)
	}
	return out.Bytes()
}

func TestDeterministic(t *testing.T) {
	want := write(t, sample())
	for range 20 {
		e := sample()
		rand.Shuffle(len(e), func(i, j int) { e[i], e[j] = e[j], e[i] })
		if !bytes.Equal(write(t, e), want) {
			t.Fatal("the order of the entries shows")
		}
	}
}

func TestRefuses(t *testing.T) {
	file := Entry{Path: "f", Mode: Regular | 0o644}
	for name, e := range map[string][]Entry{
		"absolute":      {{Path: "/f", Mode: Regular}},
		"dot":           {{Path: ".", Mode: Dir}},
		"up":            {{Path: "../f", Mode: Regular}},
		"unclean":       {{Path: "a//f", Mode: Regular}},
		"nul":           {{Path: "a\x00b", Mode: Regular}},
		"trailer":       {{Path: "TRAILER!!!", Mode: Regular}},
		"twice":         {file, file},
		"no parent":     {{Path: "d/f", Mode: Regular}},
		"in a file":     {file, {Path: "f/g", Mode: Regular}},
		"no type":       {{Path: "f", Mode: 0o644}},
		"device":        {{Path: "f", Mode: 0o020600}},
		"odd mode":      {{Path: "f", Mode: 1<<20 | Regular}},
		"no target":     {{Path: "f", Mode: Symlink | 0o777}},
		"large":         {{Path: "f", Mode: Regular, Size: 1 << 32}},
		"shorter":       {{Path: "f", Mode: Regular, Size: 5, Open: open("four")}},
		"longer":        {{Path: "f", Mode: Regular, Size: 3, Open: open("four")}},
		"does not open": {{Path: "f", Mode: Regular, Open: func() (io.ReadCloser, error) { return nil, errors.New("no") }}},
	} {
		if err := Write(io.Discard, e); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}

func open(s string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

func TestFullDisk(t *testing.T) {
	n := len(write(t, sample()))
	for _, left := range []int{0, 1, n / 2, n - 1} {
		if err := Write(&full{left}, sample()); err == nil {
			t.Errorf("%d bytes of %d were enough", left, n)
		}
	}
}

func FuzzWrite(f *testing.F) {
	f.Add("init", uint32(Regular|0o755), "data")
	f.Add("lib/x", uint32(Symlink|0o777), "t")
	f.Fuzz(func(t *testing.T, path string, mode uint32, data string) {
		e := Entry{Path: path, Mode: mode, Data: []byte(data), Target: data}
		var entries []Entry
		for dir := filepath.Dir(path); dir != "." && dir != "/"; dir = filepath.Dir(dir) {
			entries = append(entries, Entry{Path: dir, Mode: Dir | 0o755})
		}
		slices.Reverse(entries)
		entries = append(entries, e)
		var b bytes.Buffer
		if Write(&b, entries) != nil {
			return
		}
		list, files, err := read(b.Bytes())
		if err != nil || len(list) != len(entries) {
			t.Fatalf("%q: %v, want length %v", list, err, len(entries))
		}
		if mode&TypeMask == Regular && string(files[path]) != data {
			t.Fatalf("%q came back as %q", data, files[path])
		}
	})
}
