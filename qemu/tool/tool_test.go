package tool

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"7.2", "7.2.22", true}, {"10.0.13", "7.2", false}, {"7.2", "10.0", true}, {"4.2", "4.2", false}, {"2023.01", "2020", false}, {"1.46.5", "1.47", true}} {
		if got := older(c.a, c.b); got != c.want {
			t.Errorf("older(%s, %s) = %v", c.a, c.b, got)
		}
	}
}

func TestTableIsWhole(t *testing.T) {
	for _, p := range programs {
		if len(sets[p.set].want) == 0 || p.least == "" || p.version == nil {
			t.Errorf("%s has no set, version or probe: %+v", p.name, p)
		}
	}
}

func TestUnknownProgram(t *testing.T) {
	if _, err := Find(context.Background(), "emacs", ""); err == nil {
		t.Error("emacs is known")
	}
}

// TestTooOld: a program in PATH that is too old is passed over, and the reason is kept.
func TestTooOld(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "genimage"), []byte("#!/bin/sh\necho 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	p, _ := row("genimage")
	_, err := fromPath(context.Background(), p, p.least)
	if err == nil || !strings.Contains(err.Error(), `version "3"`) {
		t.Errorf("got %v", err)
	}
}

// TestUnpack: usr-merged, nothing leaves the root, documentation and odd kinds are left out.
func TestUnpack(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./lib/x.so.1", Typeflag: tar.TypeReg, Mode: 0o644, Size: 4},
		{Name: "./usr/lib/x.so", Typeflag: tar.TypeSymlink, Linkname: "x.so.1"},
		{Name: "./usr/bin/a", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 4},
		{Name: "./usr/bin/b", Typeflag: tar.TypeLink, Linkname: "./usr/bin/a"},
		{Name: "./usr/bin/c", Typeflag: tar.TypeSymlink, Linkname: "/bin/a"},
		{Name: "./usr/share/doc/a/copyright", Typeflag: tar.TypeReg, Size: 4},
		{Name: "./dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3},
		{Name: "../../escape", Typeflag: tar.TypeReg, Mode: 0o644, Size: 4},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			w.Write([]byte("abcd"))
		}
	}
	w.Close()
	top := t.TempDir()
	dir := filepath.Join(top, "a/b")
	os.MkdirAll(dir, 0o755)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := unpack(&b, root); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"usr/lib/x.so", "usr/bin/b", "usr/bin/c", "escape"} {
		if data, err := root.ReadFile(name); err != nil || string(data) != "abcd" {
			t.Errorf("%s: %q %v, want %q", name, data, err, "abcd")
		}
	}
	for _, name := range []string{"lib", "usr/share/doc/a/copyright", "dev/null"} {
		if _, err := root.Lstat(name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	if st, _ := root.Stat("usr/bin/a"); st.Mode() != 0o755 {
		t.Errorf("mode %v, want 0o755", st.Mode())
	}
	if _, err := os.Lstat(filepath.Join(top, "escape")); err == nil {
		t.Error("a file left the root")
	}
}

// TestFromPackages is the way without root and without anything installed: each set of packages is
// fetched, unpacked and run by its own loader. It needs a mirror the first time; the cache keeps
// the rest.
func TestFromPackages(t *testing.T) {
	t.Setenv("IMGBUILD_TOOLS", "packages")
	t.Setenv("LC_ALL", "C")
	for k := range found {
		delete(found, k)
	}
	for _, p := range programs {
		path := Path(t, p.name)
		if !strings.Contains(path, "/tools/") {
			t.Errorf("%s comes from %s", p.name, path)
		}
	}
	// Not only the version: a real job, with child processes and character sets.
	dir := t.TempDir()
	img := filepath.Join(dir, "a.img")
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(Path(t, name), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	os.WriteFile(filepath.Join(dir, "hällo.txt"), []byte("hello"), 0o644)
	run("mkfs.vfat", "-C", img, "8192")
	run("mcopy", "-i", img, filepath.Join(dir, "hällo.txt"), "::hello.txt")
	if got := run("mtype", "-i", img, "::hello.txt"); got != "hello" {
		t.Errorf("mtools: %q", got)
	}
	run("mksquashfs", filepath.Join(dir, "hällo.txt"), filepath.Join(dir, "b.sq"), "-comp", "zstd", "-quiet", "-no-progress")
	run("unsquashfs", "-d", filepath.Join(dir, "out"), "-no-progress", filepath.Join(dir, "b.sq"))
	if machines := run("qemu-system-aarch64", "-M", "help"); !strings.Contains(machines, "raspi3b") {
		t.Errorf("QEMU's machines: %s", machines)
	}
	if _, err := File(context.Background(), "u-boot-qemu", "usr/lib/u-boot/qemu_arm64/u-boot.bin"); err != nil {
		t.Error(err)
	}
}
