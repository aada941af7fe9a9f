package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/ext4"
	"imgbuild/init/contract/fault"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// imagesTar is an archive of images as far as anybody looks into it.
func imagesTar(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"oci-layout", "index.json", "manifest.json", "blobs/sha256/aa", "blobs/sha256/bb", "layer.tar"} {
		if text, ok := files[name]; ok {
			if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}), func() error { _, err := w.Write([]byte(text)); return err }()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func config64(arch string) string {
	return `{"architecture":"` + arch + `","os":"linux","rootfs":{"type":"layers"}}`
}

func zstded(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(b, nil)
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// TestAirGap: what k3s would import is taken; what it would not, or not on this board, is refused
// with a way out before anything is built.
func TestAirGap(t *testing.T) {
	t.Parallel()
	docker := imagesTar(t, map[string]string{"manifest.json": "[]", "blobs/sha256/aa": config64("arm64"), "layer.tar": "{not json", "blobs/sha256/bb": "{}"})
	oci := imagesTar(t, map[string]string{"oci-layout": "{}", "index.json": "{}", "blobs/sha256/aa": config64("amd64"), "blobs/sha256/bb": config64("arm64")})
	amd := imagesTar(t, map[string]string{"manifest.json": "[]", "blobs/sha256/aa": config64("amd64")})
	whole := zstded(docker)
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		data []byte
		arch string
		says string // "" for taken
	}{
		{"k3s-airgap-images-arm64.tar.zst", whole, "arm64", ""},
		{"a.tar", docker, "arm64", ""},
		{"a.tar.gz", gzipped(oci), "arm64", ""},
		{"a.tgz", gzipped(docker), "arm64", ""},
		{"bare.tar", imagesTar(t, map[string]string{"manifest.json": "[]"}), "armhf", ""}, // nothing names what it is for
		{"other.tar", amd, "arm64", "fetch the one for arm64"},
		{"b.tar", docker, "armhf", "images are for arm64, and the board has arm"},
		{"cut.tar.zst", whole[:len(whole)-6], "arm64", "fetch it again"},
		{"cut.tar.gz", gzipped(docker)[:100], "arm64", "fetch it again"},
		{"cut.tar", docker[:1400], "arm64", "fetch it again"},
		{"empty.tar", nil, "arm64", "is empty"},
		{"blocks.tar", make([]byte, 1024), "arm64", "no container images"},
		{"other.tar.zst", gzipped(docker), "arm64", "no .tar.zst archive"},
		{"root.tar", imagesTar(t, map[string]string{"layer.tar": "x"}), "arm64", "no container images"},
		{"text.tar", []byte(strings.Repeat("hello", 300)), "arm64", "fetch it again"},
		{"a.zip", docker, "arm64", "name it like"},
		{"a b.tar", docker, "arm64", "name it like"},
		{".tar", docker, "arm64", "name it like"},
	} {
		file := filepath.Join(dir, c.name)
		if err := os.WriteFile(file, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := OpenAirGap([]string{file}, c.arch)
		switch {
		case c.says == "" && (err != nil || len(list) != 1 || list[0].Name != c.name || list[0].Size != int64(len(c.data))):
			t.Errorf("%s: %+v, %v", c.name, list, err)
		case c.says != "" && (err == nil || fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, files := range [][]string{{dir}, {dir + "/none.tar"}, {dir + "/a.tar", dir + "/../" + filepath.Base(dir) + "/a.tar"}, {""}} {
		if list, err := OpenAirGap(files, "arm64"); fault.Code(err) != int(fault.Input) {
			t.Errorf("%q: %v, %v, want code %v", files, list, err, int(fault.Input))
		}
	}
}

// TestAirGapEntries writes archives to a data partition, next to a node's own files and without.
func TestAirGapEntries(t *testing.T) {
	t.Parallel()
	data := imagesTar(t, map[string]string{"manifest.json": strings.Repeat("x", 70000)})
	file := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := OpenAirGap([]string{file}, "arm64")
	if err != nil {
		t.Fatal(err)
	}
	for _, others := range [][]ext4.Entry{dataEntries(), append(dataEntries(), ext4.Entry{Path: "k3os/data/var", Kind: ext4.Dir, Mode: 0o755}, ext4.Entry{Path: "k3os/data/var/lib", Kind: ext4.Dir, Mode: 0o755})} {
		img := filepath.Join(t.TempDir(), "p4.img")
		f, err := os.Create(img)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		o := ext4.Options{Size: dataSize, UUID: [16]byte{1}, HashSeed: [16]byte{2}, Time: 1760000000}
		if err := errors.Join(f.Truncate(o.Size), ext4.Write(f, o, append(others, airGapEntries(list, others, 1760000000)...))); err != nil {
			t.Fatal(err)
		}
		r, err := ext4.NewReader(f, o.Size)
		if err != nil {
			t.Fatal(err)
		}
		i, err := r.Lookup(airGapDir + "/a.tar")
		if err != nil || i == nil || i.Mode != 0o644 {
			t.Fatal(i, err)
		}
		if got, err := io.ReadAll(r.Content(i)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if i, err := r.Lookup("k3os/data/var/lib/shelf"); err != nil || i == nil || i.Mode != 0o700 {
			t.Error(i, err)
		}
	}
	if got := airGapEntries(nil, dataEntries(), 1); got != nil {
		t.Error(got)
	}
}

func FuzzScanImages(f *testing.F) {
	f.Add(imagesTar(f, map[string]string{"manifest.json": "[]", "blobs/sha256/aa": config64("arm64")}))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if scanImages(bytes.NewReader(b), "arm64") == nil && !bytes.Contains(b, []byte("json")) {
			t.Error("an archive without a list is one of images")
		}
	})
}
