package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
			t.Errorf("%s: not what debugfs gives: got %q, want %q", name, got[name], "file "+string(want))
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
		t.Errorf("%q %x, want %v and %v", r.Label, r.UUID, o.Label, o.UUID)
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
	// Every bit that matters has a checksum over it: whichever byte of an inode table or directory
	// is another one is noticed.
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
