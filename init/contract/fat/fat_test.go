package fat

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
	"strings"
	"testing"

	"imgbuild/qemu/tool"
)

// slot is a volume as a slot has it: 640 MiB, 4 KiB clusters.
func slot(files ...File) *Volume {
	return &Volume{Label: "SLOT", ID: 0x5107A, Start: 491520, Size: 640 << 20, ClusterSize: 4096, Files: files}
}

// boot is a volume as BOOT is: 112 MiB, 1 KiB clusters.
func boot(files ...File) *Volume {
	return &Volume{Label: "boot", ID: 0xB007, Start: 32768, Size: 112 << 20, ClusterSize: 1024, Files: files}
}

func data(path string, b []byte) File {
	return File{Path: path, Size: int64(len(b)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

func text(path string, size int) File {
	return data(path, bytes.Repeat([]byte(path+"\n"), size/(len(path)+1)+1)[:size])
}

func content(t *testing.T, f File) []byte {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// bootFiles has the kinds of names that boards ask for.
func bootFiles() []File {
	files := []File{
		text("config.txt", 700), text("bcm2711-rpi-4-b.dtb", 39650), text("BOOTCODE.BIN", 52476), text("start4.elf", 300001),
		text("u-boot.bin", 681256), text("boot.scr", 5000), text("uboot.env", 0x4000), text("overlays/README", 4096),
		text("overlays/disable-bt.dtbo", 1000), data("report.txt", bytes.Repeat([]byte(" "), 65536)), data("empty", nil),
		text("config.d/00-image.yaml", 60), text("Ünïcode name with spaces é€😀.txt", 10), text("a.b.c.d", 3), text(".hidden", 1),
		text("FIXUP4.DAT", 5436), text("Mixed.Txt", 9), text("LONGEXTENSION.DTBO", 100), text("a+b,c;d=e[f].txt", 1025),
		text("sub/deep/er/still/file.bin", 4097), data("zeros.bin", make([]byte, 3<<20)), text("nine char.txt", 1),
		text("bcm271~1.dtb", 77), text("under_score.x", 13), text("thirteenchars", 2), text(strings.Repeat("n", 255), 8),
	}
	for i := range 200 {
		files = append(files, text(fmt.Sprintf("overlays/i2c-rtc-number-%03d.dtbo", i), 100+i*37))
	}
	return files
}

func create(t testing.TB, v *Volume) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "fat.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(v.Size); err != nil {
		t.Fatal(err)
	}
	if err := v.Write(f); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// fsck fails if fsck.vfat prints anything but its two lines.
func fsck(t testing.TB, img string) {
	t.Helper()
	out, err := exec.Command(tool.Path(t, "fsck.vfat"), "-n", "-v", img).CombinedOutput()
	short, err2 := exec.Command(tool.Path(t, "fsck.vfat"), "-n", img).CombinedOutput()
	if err != nil || err2 != nil || strings.Count(string(short), "\n") != 2 {
		t.Fatalf("fsck.vfat: %v %v\n%s\n%s", err, err2, short, out)
	}
}

func TestReferenceTools(t *testing.T) {
	big := make([]byte, 30<<20)
	for i := range big {
		big[i] = byte(i * 7 >> 8)
	}
	for name, v := range map[string]*Volume{
		"boot": boot(bootFiles()...),
		"slot": slot(append(bootFiles(), data("root.squashfs", big), text("root.verity", 8192))...),
		"bare": {Size: 65600*512 + (32+2*516)*512, ClusterSize: 512},
		"odd":  {Size: 65600*512 + 1600*512 + 512, ClusterSize: 512, Label: "A B", Files: bootFiles()[:9]},
	} {
		t.Run(name, func(t *testing.T) {
			img := create(t, v)
			fsck(t, img)
			if len(v.Files) == 0 {
				return
			}
			out := filepath.Join(t.TempDir(), "out")
			if err := os.Mkdir(out, 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(tool.Path(t, "mcopy"), "-s", "-n", "-i", img, "::/", out)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
			if msg, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("mcopy: %v\n%s", err, msg)
			}
			for _, f := range v.Files {
				got, err := os.ReadFile(filepath.Join(out, f.Path))
				if strings.Contains(f.Path, "😀") && err != nil {
					continue // mtools knows only the 65,536 characters of one UTF-16 unit
				}
				if err != nil || !bytes.Equal(got, content(t, f)) {
					t.Errorf("%s read back by mcopy: %d bytes, %v", f.Path, len(got), err)
				}
			}
		})
	}
}

func TestPlanIsTrue(t *testing.T) {
	for _, v := range []*Volume{boot(bootFiles()...), slot(bootFiles()...)} {
		plan, err := v.Plan()
		if err != nil {
			t.Fatal(err)
		}
		img, err := os.Open(create(t, v))
		if err != nil {
			t.Fatal(err)
		}
		defer img.Close()
		var high highest
		if err := v.Write(&high); err != nil {
			t.Fatal(err)
		}
		mapped, err := v.Mapped()
		if err != nil || mapped.Offset != 0 || int64(high) > mapped.Size || int64(high) < mapped.Size-4096 {
			t.Errorf("the last byte is written at %d, mapped is %+v, %v", high, mapped, err)
		}
		end := int64(0)
		for _, f := range v.Files {
			e, ok := plan[f.Path]
			if !ok || e.Size != f.Size || e.Offset%Align != 0 || f.Size > 0 && e.Offset < end {
				t.Fatalf("%s is at %+v, the one before ends at %d", f.Path, e, end)
			}
			got := make([]byte, e.Size)
			if _, err := img.ReadAt(got, e.Offset); err != nil || !bytes.Equal(got, content(t, f)) {
				t.Errorf("%s is not in its planned place: %v", f.Path, err)
			}
			end = max(end, e.Offset+e.Size)
		}
	}
}

// highest is a WriterAt that remembers where the last byte went.
type highest int64

func (h *highest) WriteAt(b []byte, off int64) (int, error) {
	*h = max(*h, highest(off+int64(len(bytes.TrimRight(b, "\x00")))))
	return len(b), nil
}

// record is a WriterAt that hashes what is written where.
type record struct{ hash.Hash }

func (r record) WriteAt(b []byte, off int64) (int, error) {
	fmt.Fprintf(r, "%d %d\n", off, len(b))
	return r.Write(b)
}

func TestNeighbours(t *testing.T) {
	v := slot(text("root.squashfs", 5*4096), text("root.verity", 4096))
	plan, err := v.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if a, b := plan["root.squashfs"], plan["root.verity"]; a.Offset+a.Size != b.Offset {
		t.Errorf("tree %+v does not follow its data %+v: got %v, want %v", b, a, a.Offset+a.Size, b.Offset)
	}
}

func TestDeterministic(t *testing.T) {
	sum := func() string {
		r := record{sha256.New()}
		if err := boot(bootFiles()...).Write(r); err != nil {
			t.Fatal(err)
		}
		return string(r.Sum(nil))
	}
	if first, second := sum(), sum(); first != second {
		t.Error("two runs differ")
	}
}

func TestRefused(t *testing.T) {
	long := File{Path: "huge", Size: 1 << 32}
	big := File{Path: "kernel", Size: 700 << 20}
	many := make([]File, 0, 70000)
	for i := range 70000 {
		many = append(many, data(fmt.Sprintf("F%d", i), nil))
	}
	with := func(v *Volume, change func(*Volume)) *Volume { change(v); return v }
	for _, c := range []struct {
		want string
		v    *Volume
	}{
		{"FAT32 needs 65600", with(boot(), func(v *Volume) { v.ClusterSize = 4096 })},
		{"FAT32 needs 65600", &Volume{Size: 65600*512 + (32+2*516)*512 - 512, ClusterSize: 512}},
		{"has 0 clusters", &Volume{ClusterSize: 512}},
		{"power of two", with(boot(), func(v *Volume) { v.ClusterSize = 3072 })},
		{"power of two", with(boot(), func(v *Volume) { v.ClusterSize = 0 })},
		{"multiple of 512", with(boot(), func(v *Volume) { v.Size++ })},
		{"multiple of 512", with(boot(), func(v *Volume) { v.Size = 2 << 40 })},
		{"make its clusters larger", &Volume{Size: 1 << 40, ClusterSize: 512}},
		{"kernel (734003200 bytes) does not fit", slot(big)},
		{"below 4 GiB", slot(long)},
		{"below 4 GiB", slot(File{Path: "x", Size: -1})},
		{"too many names", slot(many...)},
		{"there already", slot(text("a/Readme", 1), text("a/README", 1))},
		{"there already", slot(text("a", 1), text("a/b", 1))},
		{"there already", slot(text("a/b", 1), text("A/c", 1))},
		{"there already", slot(text("straße", 1), text("STRAßE", 1))},
		{"a name is empty", slot(text("/a", 1))},
		{"a name is empty", slot(text("a//b", 1))},
		{"is not a name", slot(text("a/../b", 1))},
		{"not UTF-8", slot(text("a\xff", 1))},
		{"longer than 255", slot(text(strings.Repeat("n", 256), 1))},
		{"dot or a space", slot(text("a.", 1))},
		{"dot or a space", slot(text("a /b", 1))},
		{"is not allowed", slot(text("a:b", 1))},
		{"is not allowed", slot(text("a\\b", 1))},
		{"is not allowed", slot(text("a\nb", 1))},
		{"at most 11", with(boot(), func(v *Volume) { v.Label = "TWELVE CHARS" })},
		{"is not allowed", with(boot(), func(v *Volume) { v.Label = "A.B" })},
	} {
		if _, err := c.v.Plan(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.want, err)
		}
		if err := c.v.Write(nil); err == nil { // nothing may be written: a nil writer would panic
			t.Errorf("%s: written", c.want)
		}
	}
}

type fullDisk struct{}

var errFull = errors.New("no space")

func (fullDisk) WriteAt([]byte, int64) (int, error) { return 0, errFull }

type discard struct{}

func (discard) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

func TestContentFaults(t *testing.T) {
	short, more, broken := text("short", 100), text("more", 100), text("broken", 100)
	short.Size, more.Size = 101, 99
	broken.Open = func() (io.ReadCloser, error) { return nil, errFull }
	for want, f := range map[string]File{
		"short: content ends after 100 of 101": short, "more: content goes on after its 99": more, "broken: no space": broken,
	} {
		if err := slot(f).Write(discard{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if err := slot().Write(fullDisk{}); !errors.Is(err, errFull) {
		t.Errorf("full disk: %v", err)
	}
}

func TestShortNames(t *testing.T) {
	for _, c := range []struct {
		name, short string
		n           int // 0: exact
	}{
		{"config.txt", "CONFIG  TXT", 0}, {"README", "README     ", 0}, {"FIXUP4.DAT", "FIXUP4  DAT", 0},
		{"bcm2711-rpi-4-b.dtb", "BCM271~1DTB", 1}, {"bcm2711-rpi-400.dtb", "BCM27~12DTB", 12}, {"x.dtbo", "X~1     DTB", 1},
		{".hidden", "HIDDEN~1   ", 1}, {"a.b.c", "AB~1    C  ", 1}, {"ü", "_~1        ", 1}, {"a b", "AB~1       ", 1},
		{"...a", "A~1        ", 1}, {"long-name-here", "LO~12345   ", 12345}, {"ſ", "_~1        ", 1},
	} {
		s, exact := exactShort(c.name)
		if !exact {
			s = tailShort(c.name, c.n)
		}
		if exact != (c.n == 0) || string(s[:]) != c.short {
			t.Errorf("%s: %q, exact %v", c.name, s, exact)
		}
	}
}
