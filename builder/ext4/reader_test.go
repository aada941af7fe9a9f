package ext4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/qemu/tool"
)

// e2 runs a program of e2fsprogs; of e2fsck exit codes up to 1 are good.
func e2(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd, err := tool.Command(context.Background(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil && (name != "e2fsck" || cmd.ProcessState.ExitCode() > 1) {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// change lets debugfs run commands on an image.
func change(t testing.TB, img string, commands ...string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "commands")
	if err := os.WriteFile(script, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := e2(t, "debugfs", "-w", "-f", script, img)
	for line := range strings.Lines(out) {
		if strings.Contains(line, ": ") && !strings.HasPrefix(line, "debugfs") && !strings.Contains(line, "Allocated inode") {
			t.Fatalf("debugfs: %s", line)
		}
	}
}

// folder makes a directory with what a card may hold.
func folder(t testing.TB, big int64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o755))
	must(os.MkdirAll(filepath.Join(dir, "many"), 0o700))
	for i := range 600 {
		must(os.WriteFile(filepath.Join(dir, "many", fmt.Sprintf("file-with-quite-a-long-name-to-fill-blocks-%04d", i)), []byte(fmt.Sprint(i)), 0o600))
	}
	must(os.WriteFile(filepath.Join(dir, "a/empty"), nil, 0o640))
	must(os.WriteFile(filepath.Join(dir, "a/"+strings.Repeat("n", 255)), []byte("long name"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "a/ünï\xff"), []byte("bytes"), 0o600))
	must(os.Symlink("/k3os/system/x.yaml", filepath.Join(dir, "a/short")))
	must(os.Symlink(strings.Repeat("/x", 500), filepath.Join(dir, "a/long")))
	must(os.Symlink("b/../b/c", filepath.Join(dir, "a/inner")))
	noise := make([]byte, 700000)
	rand.New(rand.NewSource(1)).Read(noise)
	must(os.WriteFile(filepath.Join(dir, "a/b/noise"), noise, 0o600))
	f, err := os.Create(filepath.Join(dir, "a/b/holes"))
	must(err)
	defer f.Close()
	for _, off := range []int64{5000, 300000, big} {
		_, err = f.WriteAt(noise[:9000], off)
		must(err)
	}
	must(f.Truncate(big + 100000))
	must(os.Link(filepath.Join(dir, "a/b/noise"), filepath.Join(dir, "a/hard")))
	return dir
}

// listing reads everything of a file system through Reader.
func listing(t testing.TB, img string) (map[string]string, *Reader) {
	t.Helper()
	f, err := os.Open(img)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, _ := f.Stat()
	r, err := NewReader(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	if err := walk(r, all); err != nil {
		t.Fatal(err)
	}
	return all, r
}

func walk(r *Reader, all map[string]string) error {
	seen := map[uint32]bool{}
	var visit func(name string, n uint32) error
	visit = func(name string, n uint32) error {
		i, err := r.Inode(n)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		what := fmt.Sprintf("%o %d:%d ", i.Mode, i.UID, i.GID)
		switch i.Kind {
		case Dir:
			if seen[n] {
				return fmt.Errorf("%s: %w", name, damaged("a circle"))
			}
			seen[n] = true
			list, err := r.ReadDir(i)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			what = "dir"
			for _, e := range list {
				if name == "" && e.Name == "lost+found" {
					continue
				}
				if err := visit(path.Join(name, e.Name), e.Inode); err != nil {
					return err
				}
			}
		case Symlink:
			target, err := r.Target(i)
			if err != nil {
				return err
			}
			what = "link " + target
		case File:
			data, err := io.ReadAll(io.LimitReader(r.Content(i), 200<<20))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			what = "file " + string(data)
		}
		if all != nil {
			all[name] = what
		}
		return nil
	}
	return visit("", rootInode)
}

// onDisk is the same of a directory of the host.
func onDisk(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(name, dir), "/")
		if rel == "lost+found" {
			return filepath.SkipDir
		}
		switch {
		case info.IsDir():
			all[rel] = "dir"
		case info.Mode().IsRegular():
			data, err := os.ReadFile(name)
			all[rel] = "file " + string(data)
			return err
		default:
			target, err := os.Readlink(name)
			all[rel] = "link " + target
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func same(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name, w := range want {
		if g, ok := got[name]; !ok {
			t.Errorf("%q is missing", name)
		} else if g != w {
			t.Errorf("%q: %.60q (%d), want %.60q (%d)", name, g, len(g), w, len(w))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%q is too much", name)
		}
	}
}

func makeImage(t testing.TB, size, dir string, args ...string) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "fs.img")
	e2(t, "mke2fs", slices.Concat([]string{"-q", "-F"}, args, []string{"-d", dir, img, size})...)
	return img
}

// TestReader reads what the reference tools make, in the shapes that cards have had.
func TestReader(t *testing.T) {
	for _, c := range []struct {
		name string
		big  int64
		args []string
	}{
		{"default", 40 << 20, []string{"-t", "ext4", "-b", "4096"}},
		{"no checksums", 40 << 20, []string{"-t", "ext4", "-O", "^metadata_csum,^64bit"}},
		{"1 KiB", 70 << 20, []string{"-t", "ext4", "-b", "1024", "-g", "1024"}},
		{"ext3", 70 << 20, []string{"-t", "ext3", "-b", "1024"}},
		{"ext2", 70 << 20, []string{"-t", "ext2", "-b", "4096", "-I", "128"}},
		{"seed, meta_bg", 1 << 20, []string{"-t", "ext4", "-b", "1024", "-g", "1024", "-O", "metadata_csum_seed,meta_bg,^resize_inode"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, c.big)
			img := makeImage(t, "96M", dir, c.args...)
			want := onDisk(t, dir)
			got, r := listing(t, img)
			same(t, got, want)
			if r.Replayed != 0 || r.Errors {
				t.Errorf("%+v", r)
			}
			e2(t, "e2fsck", "-fyD", img) // hash trees
			got, _ = listing(t, img)
			same(t, got, want)
			for name, at := range map[string]string{"a/inner/x": "", "a/inner": "a/b/c", "a/../a/hard": "a/hard", "a/short": "", "../a/empty": "a/empty"} {
				if got, i, err := r.Follow(name); err != nil || got != at || (i != nil) != (at != "") {
					t.Errorf("%s leads to %q, %v, %v", name, got, i, err)
				}
			}
		})
	}
}

// TestReaderExtents reads files in many pieces, with space that is allocated and was never written.
func TestReaderExtents(t *testing.T) {
	dir := folder(t, 1<<20)
	if err := os.WriteFile(filepath.Join(dir, "pieces"), bytes.Repeat([]byte("0123456789abcdef"), 100000), 0o600); err != nil {
		t.Fatal(err)
	}
	img := makeImage(t, "32M", dir, "-t", "ext4", "-b", "1024")
	// Old content of the disk must not show in what is only allocated.
	commands := []string{"write " + filepath.Join(dir, "a/b/noise") + " old", "rm old", "fallocate a/empty 0 599", "sif a/empty size 600000"}
	for i := range 700 {
		commands = append(commands, fmt.Sprintf("punch pieces %d %d", 2*i+1, 2*i+1))
	}
	commands = append(commands, "sif a/b uid 70000", "sif a/b/noise gid 4000000000", "sif a/b/noise mode 0104751", "sif a/b/noise mtime 20380120000000", "mknod dev c 1 3")
	change(t, img, commands...)
	out := t.TempDir()
	for _, name := range []string{"pieces", "a/empty"} {
		change(t, img, "dump "+name+" "+filepath.Join(out, "x"))
		want, err := os.ReadFile(filepath.Join(out, "x"))
		if err != nil {
			t.Fatal(err)
		}
		got, r := listing(t, img)
		if got[name] != "file "+string(want) {
			t.Errorf("%s: not what debugfs gives", name)
		}
		i, err := r.Lookup("a/b/noise")
		if err != nil || i.Mode != 0o4751 || i.GID != 4000000000 || i.Links != 2 || i.Time.Year() != 2038 {
			t.Errorf("%+v %v", i, err)
		}
		if d, _ := r.Lookup("dev"); d == nil || d.Kind != Other {
			t.Errorf("a device is %+v", d)
		}
	}
}

// differing gives the numbers of the blocks in which two images differ, and those of b.
func differing(t testing.TB, a, b string, block int) (list []int, content []byte) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+block <= len(x); i += block {
		if !bytes.Equal(x[i:i+block], y[i:i+block]) {
			list = append(list, i/block)
			content = append(content, y[i:i+block]...)
		}
	}
	return list, content
}

func copyFile(t testing.TB, from string) string {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy.img")
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestReplay takes a file system whose last changes are in its journal only, as on a card that lost power, and wants what e2fsck makes
// of it: through every kind of journal checksum, with blocks that were revoked, and with blocks that look like the journal's own.
func TestReplay(t *testing.T) {
	for _, c := range []struct {
		name string
		open string
		args []string
	}{
		{"checksums", "jo -c", []string{"-t", "ext4", "-b", "4096"}},
		{"no checksums", "jo", []string{"-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^64bit"}},
		{"ext3", "jo", []string{"-t", "ext3", "-b", "1024"}},
		{"32 bits", "jo -c -v 2", []string{"-t", "ext4", "-b", "2048", "-O", "^64bit"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, 1<<20)
			before := makeImage(t, "48M", dir, append(c.args, "-J", "size=4")...)
			after := copyFile(t, before)
			fresh := filepath.Join(t.TempDir(), "fresh")
			magic := append([]byte{0xC0, 0x3B, 0x39, 0x98}, bytes.Repeat([]byte("escaped "), 4000)...)
			if err := os.WriteFile(fresh, magic, 0o600); err != nil {
				t.Fatal(err)
			}
			change(t, after, "rm a/empty", "mkdir new", "cd new", "write "+fresh+" fresh", "cd /", "rm many/file-with-quite-a-long-name-to-fill-blocks-0007")
			block := 4096
			for i, arg := range c.args {
				if arg == "-b" {
					fmt.Sscan(c.args[i+1], &block)
				}
			}
			numbers, content := differing(t, before, after, block)
			if len(numbers) < 5 {
				t.Fatalf("%d blocks differ", len(numbers))
			}
			blocks := filepath.Join(t.TempDir(), "blocks")
			stale := filepath.Join(t.TempDir(), "stale")
			if err := errors.Join(os.WriteFile(blocks, content, 0o600), os.WriteFile(stale, bytes.Repeat([]byte("stale!!!"), block/8), 0o600)); err != nil {
				t.Fatal(err)
			}
			text := strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ","), "[]")
			// A block of content that an old transaction had, and that was revoked before it became something else.
			lines := strings.Fields(e2(t, "debugfs", "-R", "bmap a/b/noise 3", before))
			hard := lines[len(lines)-1]
			change(t, before, c.open, "jw -b "+hard+" "+stale, "jw -r "+hard, "jw -b "+text+" "+blocks, "jc")

			got, r := listing(t, before)
			if r.Replayed < 1 {
				t.Errorf("%d transactions replayed", r.Replayed)
			}
			repaired := copyFile(t, before)
			e2(t, "e2fsck", "-fy", repaired)
			want, clean := listing(t, repaired)
			if clean.Replayed != 0 {
				t.Error("e2fsck has left something in the journal")
			}
			same(t, got, want)
			if got["new/fresh"] != "file "+string(magic) || got["a/empty"] != "" {
				t.Error("the change is not there")
			}
			if got["a/b/noise"] != onDisk(t, dir)["a/b/noise"] {
				t.Error("a revoked block came back")
			}
		})
	}
}

// TestReaderRefuses wants a sentence for what cannot be read soundly.
func TestReaderRefuses(t *testing.T) {
	dir := folder(t, 1<<20)
	img := makeImage(t, "16M", dir, "-t", "ext4", "-b", "1024")
	whole, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	open := func(data []byte) error {
		r, err := NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return err
		}
		return walk(r, nil)
	}
	var damage *Damage
	var unsupported *Unsupported
	if err := open(nil); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if err := open(whole[:8<<20]); !errors.As(err, &damage) || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("cut off: %v", err)
	}
	// Every bit that matters has a checksum over it: whichever byte of an inode table or directory is another one is noticed.
	r, err := NewReader(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	many, _ := r.Lookup("many")
	at, err := r.find(many, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []int{1024 + 0x30, 2048 + 70, int(at.start)*1024 + 13} {
		bad := bytes.Clone(whole)
		bad[off] ^= 4
		if err := open(bad); !errors.As(err, &damage) {
			t.Errorf("byte %d: %v", off, err)
		}
	}
	inline := makeImage(t, "16M", dir, "-t", "ext4", "-O", "inline_data")
	data, _ := os.ReadFile(inline)
	if err := open(data); !errors.As(err, &unsupported) || !strings.Contains(err.Error(), "inline_data") {
		t.Errorf("inline_data: %v", err)
	}
}

// TestReaderWriter reads what Write writes.
func TestReaderWriter(t *testing.T) {
	o := options(256 << 20)
	list := append(state(), Entry{Path: "k3os/again", Kind: HardLink, Target: "k3os/config/secret"},
		Entry{Path: "k3os/data/again", Kind: HardLink, Target: "k3os/config/secret"}, Entry{Path: "old", Kind: File, Mode: 0o600, Time: 3000000000})
	img := create(t, o, list)
	fsck(t, img)
	got, r := listing(t, img)
	if got["k3os/again"] != got["k3os/config/secret"] {
		t.Error("a hard link is another file")
	}
	if i, _ := r.Lookup("k3os/data/again"); i == nil || i.Links != 3 || i.UID != 1000 {
		t.Errorf("a file of three names is %+v", i)
	}
	if i, _ := r.Lookup("old"); i == nil || i.Time.Unix() != 3000000000 {
		t.Errorf("a file with a time of its own is %+v", i)
	}
	for _, bad := range []Entry{{Path: "x", Kind: HardLink, Target: "k3os"}, {Path: "x", Kind: HardLink, Target: "none"}} {
		if err := Write(nil, o, append(list, bad)); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if r.Label != o.Label || r.UUID != o.UUID {
		t.Errorf("%q %x", r.Label, r.UUID)
	}
	for _, e := range list {
		switch {
		case e.Kind == Symlink && got[e.Path] != "link "+e.Target, e.Kind == Dir && got[e.Path] != "dir":
			t.Errorf("%q: %.40q", e.Path, got[e.Path])
		case e.Kind == File && e.Size > 0:
			c, _ := e.Open()
			data, _ := io.ReadAll(c)
			if got[e.Path] != "file "+string(data) {
				t.Errorf("%q differs", e.Path)
			}
		}
	}
}

// FuzzReader: whatever the bytes are, reading them ends, with a result or an error.
func FuzzReader(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "tree")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "d"), 0o755), os.WriteFile(filepath.Join(dir, "d/f"), bytes.Repeat([]byte("x"), 20000), 0o600),
		os.Symlink("d/f", filepath.Join(dir, "l"))); err != nil {
		f.Fatal(err)
	}
	for _, args := range [][]string{{"-t", "ext4", "-O", "^metadata_csum"}, {"-t", "ext2"}, {"-t", "ext4"}} {
		img := makeImage(f, "128k", dir, append(args, "-b", "1024", "-N", "16", "-O", "^has_journal,^resize_inode")...)
		data, err := os.ReadFile(img)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	journaled := makeImage(f, "4M", dir, "-t", "ext4", "-b", "1024", "-N", "16", "-J", "size=1", "-O", "^metadata_csum,^resize_inode")
	change(f, journaled, "jo", "jw -b 900 "+filepath.Join(dir, "d/f"), "jc")
	data, err := os.ReadFile(journaled)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		budget(r)
	})
}

// budget reads for as long as a fuzzer has patience: sizes may be anything.
func budget(r *Reader) {
	left := 64
	var visit func(n uint32)
	visit = func(n uint32) {
		if left--; left < 0 {
			return
		}
		i, err := r.Inode(n)
		if err != nil {
			return
		}
		switch i.Kind {
		case Dir:
			if i.Size > 1<<20 {
				return
			}
			list, _ := r.ReadDir(i)
			for _, e := range list {
				visit(e.Inode)
			}
		case Symlink:
			r.Target(i)
		case File:
			io.Copy(io.Discard, io.LimitReader(r.Content(i), 1<<20))
		}
	}
	visit(rootInode)
	r.Follow("l")
}
