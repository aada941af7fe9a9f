package ext4

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

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
