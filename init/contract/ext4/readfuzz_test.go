package ext4

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

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
