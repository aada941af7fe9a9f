package tree

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
	"time"
)

func archive(t testing.TB, headers ...*tar.Header) *bytes.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.ModTime = time.Unix(1000, 0)
		body := strings.Repeat("x", int(h.Size))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b.Bytes())
}

func TestAddTar(t *testing.T) {
	a := archive(t,
		&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		&tar.Header{Name: "./bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin"},
		&tar.Header{Name: "./bin/su", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 5},
		&tar.Header{Name: "./usr/bin/su2", Typeflag: tar.TypeLink, Linkname: "./bin/su"},
		&tar.Header{Name: "./var/run", Typeflag: tar.TypeSymlink, Linkname: "/run"},
		&tar.Header{Name: "./var/run/x", Typeflag: tar.TypeDir, Mode: 0o700, Uid: 7, Gid: 8},
		&tar.Header{Name: "./dev/zero", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5},
		&tar.Header{Name: "./skip/me", Typeflag: tar.TypeReg, Size: 1},
	)
	tr := New()
	if err := tr.AddTar("pkg", a, a.Size(), func(name string) bool { return !strings.HasPrefix(name, "skip") }); err != nil {
		t.Fatal(err)
	}
	if err := tr.Check(); err != nil {
		t.Fatal(err)
	}
	su := tr.Lookup("/usr/bin/su")
	if su == nil || su.Mode != 0o4755 || su.Content.Size != 5 {
		t.Fatalf("su is %+v", su)
	}
	if b, err := su.Content.ReadAll(); err != nil || string(b) != "xxxxx" {
		t.Fatalf("%q, %v, want %q", b, err, "xxxxx")
	}
	if l := tr.Lookup("usr/bin/su2"); l == nil || l.HardLink != "usr/bin/su" {
		t.Fatalf("link is %+v", l)
	}
	if x := tr.Lookup("run/x"); x == nil || x.UID != 7 || x.GID != 8 {
		t.Fatalf("the directory that a link leads to is %+v", x)
	}
	if tr.Lookup("skip/me") != nil || tr.Lookup("skip") != nil {
		t.Fatal("what was not to be kept is there")
	}
	var paths []string
	for _, n := range tr.Nodes() {
		paths = append(paths, n.Path)
	}
	if got := strings.Join(paths, " "); got != " dev dev/zero run run/x usr usr/bin usr/bin/su usr/bin/su2 var var/run" {
		t.Fatalf("order: %s", got)
	}
}

func TestConflicts(t *testing.T) {
	tr := New()
	put := func(n *Node) error { return tr.Put(n) }
	if err := put(&Node{Path: "a", Kind: File, Origin: "one"}); err != nil {
		t.Fatal(err)
	}
	if err := put(&Node{Path: "a", Kind: Dir, Origin: "two"}); err == nil || !strings.Contains(err.Error(), "one") || !strings.Contains(err.Error(), "two") {
		t.Fatalf("a directory over a file: %v", err)
	}
	if err := put(&Node{Path: "a/b", Kind: File, Origin: "two"}); err == nil {
		t.Fatal("a file below a file was taken")
	}
	for _, l := range []string{"l1", "l2"} {
		if err := put(&Node{Path: l, Kind: Symlink, Target: map[string]string{"l1": "l2", "l2": "l1"}[l]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(&Node{Path: "l1/x", Kind: File}); err == nil {
		t.Fatal("a loop of links was followed to an end")
	}
	if err := put(&Node{Path: "../../etc/x", Kind: File}); err != nil || tr.Lookup("etc/x") == nil {
		t.Fatalf("a path that climbs: %v", err)
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"usr/share/doc/**", "usr/share/doc/a/b", true},
		{"usr/share/doc/**", "usr/share/doc", false},
		{"usr/share/doc/**", "usr/share/docs/a", false},
		{"usr/lib/*/gconv/**", "usr/lib/arm/gconv/x.so", true},
		{"usr/lib/*/gconv/**", "usr/lib/gconv/x.so", false},
		{"etc/cron*/**", "etc/cron.d/x", true},
		{"brcm/x*", "brcm/x/y", false},
		{"[", "[", false},
	} {
		if got := Match(c.pattern, c.name); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

func TestStripKeepsParents(t *testing.T) {
	tr := New()
	for _, p := range []string{"usr/share/doc/a/copyright", "usr/share/doc/a/README", "usr/share/doc/b/README"} {
		if err := tr.Put(&Node{Path: p, Kind: File}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"usr/share/man", "usr/share/empty"} {
		if err := tr.Put(&Node{Path: p, Kind: Dir}); err != nil {
			t.Fatal(err)
		}
	}
	tr.Strip(Patterns{"usr/share/doc/**", "usr/share/man/**"}, Patterns{"usr/share/doc/*/copyright"})
	if err := tr.Check(); err != nil {
		t.Fatal(err)
	}
	if tr.Lookup("usr/share/doc/a/copyright") == nil || tr.Lookup("usr/share/doc/a/README") != nil || tr.Lookup("usr/share/doc/b") != nil || tr.Lookup("usr/share/man") != nil || tr.Lookup("usr/share/empty") == nil {
		t.Fatal("strip kept or dropped the wrong files")
	}
}

func FuzzAddTar(f *testing.F) {
	a := archive(f, &tar.Header{Name: "./bin/su", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 5}, &tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "bin"}, &tar.Header{Name: "l/x", Typeflag: tar.TypeReg})
	seed := make([]byte, a.Size())
	if _, err := a.ReadAt(seed, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		tr := New()
		if tr.AddTar("fuzz", bytes.NewReader(data), int64(len(data)), nil) == nil {
			for _, n := range tr.Nodes() {
				if strings.HasPrefix(n.Path, "/") || strings.Contains("/"+n.Path+"/", "/../") {
					t.Fatalf("a path leaves the tree: %q", n.Path)
				}
				if n.Kind == File && n.HardLink == "" && n.Content.Open != nil {
					if _, err := n.Content.ReadAll(); err != nil {
						t.Fatalf("content of %s: %v", n.Path, err)
					}
				}
			}
		}
	})
}
