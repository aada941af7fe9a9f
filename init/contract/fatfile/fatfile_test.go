package fatfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"imgbuild/qemu/tool"
)

// disk is a volume in memory that insists on what O_DIRECT insists on and notes what is written.
type disk struct {
	t       testing.TB
	b       []byte
	written []Extent
	fail    error
}

func (d *disk) check(p []byte, off int64) {
	if off%sector != 0 || len(p)%sector != 0 || len(p) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(p)))%sector != 0 {
		d.t.Fatalf("%d bytes at %d, buffer at %p: not whole sectors", len(p), off, p)
	}
}

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	d.check(p, off)
	return bytes.NewReader(d.b).ReadAt(p, off)
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	d.check(p, off)
	if d.fail != nil {
		return 0, d.fail
	}
	d.written = append(d.written, Extent{off, int64(len(p))})
	return copy(d.b[off:], p), nil
}

// formats are what laptops and other tools make of a card.
var formats = map[string][]string{
	"fat12":           {"-F", "12", "-s", "2"},
	"fat12 one":       {"-F", "12", "-s", "8", "-f", "1"},
	"fat16":           {"-F", "16", "-s", "4"},
	"fat16 4 KiB":     {"-F", "16", "-s", "1", "-S", "4096"},
	"fat32":           {"-F", "32", "-s", "1"},
	"fat16 odd start": {"-F", "16", "-s", "1", "-R", "3", "-r", "64"},
}

var sizes = map[string]int64{
	"fat12": 4 << 20, "fat12 one": 4 << 20, "fat16": 20 << 20, "fat16 4 KiB": 20 << 20, "fat32": 36 << 20, "fat16 odd start": 10<<20 + 512*3,
}

func run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(tool.Path(t, name), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MTOOLS_SKIP_CHECK=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

func pattern(seed byte, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = seed + byte(i>>9)*31 + byte(i)
	}
	return b
}

// card makes a volume with the reference tools: full to the brim with small files, every other one
// emptied, and a large file copied into the holes. It returns the image and what is in it.
func card(t testing.TB, format string) (img string, files map[string][]byte) {
	dir := t.TempDir()
	img = filepath.Join(dir, "card.img")
	f, err := os.Create(img)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(sizes[format]), f.Close()); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.vfat", append(formats[format], "-n", "BOOT", img)...)
	files = map[string][]byte{}
	put := func(name string, b []byte) {
		host := filepath.Join(dir, "content")
		if err := os.WriteFile(host, b, 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, "mcopy", "-o", "-i", img, host, "::/"+name)
		files[name] = b
	}
	run(t, "mmd", "-i", img, "::/config.d", "::/a directory with a long name", "::/a directory with a long name/deeper")
	put("config.yaml", pattern(1, 700))
	put("config.d/00-image.yaml", pattern(2, 61))
	put("a directory with a long name/deeper/Ünï côde.txt", pattern(3, 5000))
	put("UPPER.TXT", pattern(4, 512))
	put("empty.txt", nil)
	many := filepath.Join(dir, "many")
	if err := os.Mkdir(many, 0o755); err != nil {
		t.Fatal(err)
	}
	const count, small = 24, 33000
	copyAll := func(step, size int) {
		var names []string
		for i := 0; i < count; i += step {
			name := fmt.Sprintf("filler number %02d.bin", i)
			files["config.d/"+name] = pattern(byte(i), size)
			names = append(names, filepath.Join(many, name))
			if err := os.WriteFile(names[len(names)-1], files["config.d/"+name], 0o644); err != nil {
				t.Fatal(err)
			}
		}
		run(t, "mcopy", append(append([]string{"-o", "-i", img}, names...), "::/config.d")...)
	}
	copyAll(1, small)
	put("brim.bin", pattern(9, int(sizes[format])-count*small-brim[format]))
	copyAll(2, 0)
	put("report.txt", pattern(7, 300001))
	return img, files
}

// brim is what must remain so that the large file has to use the holes.
var brim = map[string]int{
	"fat12": 300000, "fat12 one": 350000, "fat16": 500000, "fat16 4 KiB": 300000, "fat32": 800000, "fat16 odd start": 500000,
}

func TestAgainstReferenceTools(t *testing.T) {
	for format := range formats {
		t.Run(format, func(t *testing.T) {
			img, files := card(t, format)
			b, err := os.ReadFile(img)
			if err != nil {
				t.Fatal(err)
			}
			d := &disk{t: t, b: b}
			if label, err := Label(d); err != nil || label != "BOOT" {
				t.Errorf("label %q, %v, want %q", label, err, "BOOT")
			}
			for name, want := range files {
				if len(want) > maxRead {
					if _, err := ReadFile(d, name); err == nil {
						t.Errorf("%s: %d bytes read", name, len(want))
					}
					continue
				}
				for _, spelled := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
					got, err := ReadFile(d, spelled)
					if err != nil || !bytes.Equal(got, want) {
						t.Fatalf("%s: %d bytes of %d, %v", spelled, len(got), len(want), err)
					}
				}
			}
			list, size, err := Locate(d, "report.txt")
			if err != nil || size != 300001 || len(list) < 3 {
				t.Fatalf("report.txt: %d bytes in %d pieces, wanted more of them: %v", size, len(list), err)
			}
			before := bytes.Clone(b)
			text := []byte(strings.Repeat("What went wrong: nothing.\n", 9000))
			if err := Overwrite(d, "Report.TXT", text, ' '); err != nil {
				t.Fatal(err)
			}
			if err := Overwrite(d, "config.yaml", nil, '\n'); err != nil {
				t.Fatal(err)
			}
			files["report.txt"] = append(text, bytes.Repeat([]byte(" "), int(size)-len(text))...)
			files["config.yaml"] = bytes.Repeat([]byte("\n"), 700)
			more, _, err := Locate(d, "config.yaml")
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range append(list, more...) {
				copy(before[e.Offset:e.Offset+e.Size], b[e.Offset:])
			}
			if !bytes.Equal(before, b) {
				t.Error("bytes outside the files have changed")
			}
			if err := os.WriteFile(img, b, 0o644); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"report.txt", "config.yaml", "UPPER.TXT", "config.d/filler number 01.bin"} {
				if got := run(t, "mtype", "-i", img, "::/"+name); !bytes.Equal(got, files[name]) {
					t.Errorf("mtype %s: %d bytes of %d", name, len(got), len(files[name]))
				}
			}
			run(t, "fsck.vfat", "-n", img)
		})
	}
}

func TestUnchangedIsNotWritten(t *testing.T) {
	img, files := card(t, "fat16")
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{t: t, b: b}
	if err := Overwrite(d, "report.txt", files["report.txt"], 0); err != nil || len(d.written) != 0 {
		t.Errorf("%v, %v", d.written, err)
	}
	d.fail = errors.New("write-protected")
	if err := Overwrite(d, "report.txt", []byte("x"), ' '); !errors.Is(err, d.fail) {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	img, _ := card(t, "fat16")
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{t: t, b: b}
	for path, want := range map[string]error{
		"nothing.txt": fs.ErrNotExist, "config.d/nothing": fs.ErrNotExist, "config.yaml/x": fs.ErrNotExist, "BOOT": fs.ErrNotExist,
		"": nil, "/config.yaml": nil, "config.d": nil, "config.d/../config.yaml": nil, "config.d/": nil,
	} {
		_, _, err := Locate(d, path)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if err := Overwrite(d, "config.yaml", make([]byte, 701), 0); err == nil || !strings.Contains(err.Error(), "do not fit") || d.written != nil {
		t.Errorf("too long: %v", err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"no signature": func(b []byte) []byte { b[510] = 0; return b },
		"exFAT":        func(b []byte) []byte { copy(b[3:], "EXFAT   "); return b },
		"sector size":  func(b []byte) []byte { b[11] = 1; return b },
		"cluster size": func(b []byte) []byte { b[13] = 3; return b },
		"no FAT":       func(b []byte) []byte { b[16] = 0; return b },
		"size":         func(b []byte) []byte { b[19], b[20], b[32], b[33], b[34] = 1, 0, 0, 0, 0; return b },
		"cut":          func(b []byte) []byte { return b[:5000] },
		"empty":        func([]byte) []byte { return nil },
		"FAT zeroed":   func(b []byte) []byte { clear(b[512:40000]); return b },
	} {
		broken := &disk{t: t, b: damage(bytes.Clone(b))}
		if _, _, err := Locate(broken, "report.txt"); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
