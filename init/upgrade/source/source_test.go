package source

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
)

var _ = []Source{(*File)(nil), (*Stream)(nil), SSH{}, (*HTTP)(nil), (*USB)(nil)}

var k3s = &manifest.K3s{Version: "v1.35.0+k3s1"}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "x.upgrade")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := bundle.Read(t.Context(), f, 3, 4); err != nil || string(got) != "3456" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := f.Range(t.Context(), 8, 3); !errors.Is(err, io.ErrUnexpectedEOF) || fault.Code(err) != int(fault.Input) {
		t.Errorf("got %v", err)
	}
	if _, _, err := f.K3s(t.Context(), k3s, "arm64"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "k3s-v1.35.0+k3s1-arm64"), []byte("elf"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, size, err := f.K3s(t.Context(), k3s, "arm64")
	if err != nil || size != 3 {
		t.Fatalf("got %d, %v", size, err)
	}
	defer r.Close()
	for _, name := range []string{filepath.Join(dir, "no"), dir} {
		if _, err := OpenFile(name); fault.Code(err) != int(fault.Input) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestStream(t *testing.T) {
	s := NewStream(bytes.NewReader([]byte("0123456789")))
	for _, c := range []struct {
		off, n int64
		want   string
		kind   fault.Kind
	}{{0, 2, "01", 0}, {4, 3, "456", 0}, {2, 1, "", fault.Input}, {7, 1, "7", 0}, {8, 3, "", fault.Input}, {20, 1, "", fault.Input}} {
		got, err := bundle.Read(t.Context(), s, c.off, c.n)
		if string(got) != c.want || fault.Code(err) != int(c.kind) {
			t.Errorf("%d at %d: got %q, %v", c.n, c.off, got, err)
		}
	}
	if _, err := bundle.Read(t.Context(), NewStream(bytes.NewReader([]byte("01"))), 0, 3); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}
