package planimage

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/testbundle"
	"imgbuild/qemu/fixtures/testslot"
)

func program(arch string) ([]byte, error) { return []byte("the program for " + arch), nil }

func bundleFile(t *testing.T, dir, name string, v testslot.Version) (file string, data []byte) {
	t.Helper()
	_, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file, data = filepath.Join(dir, name), testbundle.Make(t, testslot.New(t, v), key, 1)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, data
}

// TestImage: what a registry returns is what was made; equal bundles give equal digests, whatever
// their files' times and modes are.
func TestImage(t *testing.T) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	file, data := bundleFile(t, t.TempDir(), "new.upgrade", testslot.Version{})
	made, err := Make([]string{file}, program)
	if err != nil {
		t.Fatal(err)
	}
	to, err := made.Target(host + "/shelf/upgrade")
	if err != nil || to.Name() != host+"/shelf/upgrade:"+made.Bundles[0].Version {
		t.Fatalf("got %s, %v", to.Name(), err)
	}
	if err := made.Write(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(to.Tag)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := made.Digest()
	if got, _ := image.Digest(); err != nil || got.String() != digest {
		t.Errorf("pulled %s, made %s, %v", got, digest, err)
	}
	c, err := image.ConfigFile()
	if err != nil || c.OS != "linux" || c.Architecture != "arm64" || c.Config.User != "0" || !slices.Equal(c.Config.Entrypoint, []string{"/usr/bin/shelf"}) || !slices.Equal(c.Config.Cmd, []string{"upgrade", "--plan"}) {
		t.Errorf("the configuration is %+v, %v", c, err)
	}
	want := map[string]string{"usr/": "", "usr/bin/": "", "usr/bin/shelf": "the program for arm64", "bundles/": "", "bundles/new.upgrade": string(data)}
	if got := files(t, image); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the image has other files: %d", len(got))
	}

	again := filepath.Join(t.TempDir(), "new.upgrade")
	if err := errors.Join(os.WriteFile(again, data, 0o644), os.Chtimes(again, time.Unix(9, 0), time.Unix(9, 0))); err != nil {
		t.Fatal(err)
	}
	other, err := Make([]string{again}, program)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.Digest(); err != nil || got != digest {
		t.Errorf("the same bundle gives %s, %s before, %v", got, digest, err)
	}
}

// files are the entries of all layers; each belongs to root and is from 1970.
func files(t *testing.T, image v1.Image) map[string]string {
	t.Helper()
	all := map[string]string{}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		if kind, err := l.MediaType(); err != nil || kind != types.OCIUncompressedLayer {
			t.Errorf("a layer is %s, %v", kind, err)
		}
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 || h.Mode&0o022 != 0 || (h.Name == programPath) != (h.Mode == 0o755 && h.Typeflag == tar.TypeReg) {
				t.Errorf("%s is %+v", h.Name, h)
			}
			data, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			all[h.Name] = string(data)
		}
		r.Close()
	}
	return all
}

// TestFile: a file is an OCI layout; every blob has the digest that it is called by, and each that
// is named is there.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	file, _ := bundleFile(t, dir, "new.upgrade", testslot.Version{})
	made, err := Make([]string{file}, program)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "plan.tar")
	to, err := made.Target(out)
	if err == nil {
		err = made.Write(t.Context(), to)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	blobs := map[string][]byte{}
	for tr := tar.NewReader(bytes.NewReader(text)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if blobs[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
		if sum, ok := strings.CutPrefix(h.Name, "blobs/sha256/"); ok {
			if got := sha256.Sum256(blobs[h.Name]); hex.EncodeToString(got[:]) != sum {
				t.Errorf("%s has another sum", h.Name)
			}
		}
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(blobs["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("%s: %v", blobs["index.json"], err)
	}
	if got := index.Manifests[0].Annotations["io.containerd.image.name"]; got != to.Name() || !strings.HasPrefix(got, LocalName+":") {
		t.Errorf("it is called %q, want %q", got, to.Name())
	}
	var m v1.Manifest
	if err := json.Unmarshal(blobs["blobs/sha256/"+index.Manifests[0].Digest.Hex], &m); err != nil || len(m.Layers) != 2 {
		t.Fatalf("%v, %+v", err, m)
	}
	for _, d := range append(m.Layers, m.Config) {
		if got := blobs["blobs/sha256/"+d.Digest.Hex]; int64(len(got)) != d.Size {
			t.Errorf("%s has %d bytes, want %d", d.Digest, len(got), d.Size)
		}
	}
	if len(blobs) != 2+1+1+2 {
		t.Errorf("%d files", len(blobs))
	}
}

// TestIndex: bundles for two architectures give an index.
func TestIndex(t *testing.T) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	dir := t.TempDir()
	one, _ := bundleFile(t, dir, "one.upgrade", testslot.Version{})
	two, _ := bundleFile(t, dir, "two.upgrade", testslot.Version{Arch: "armhf", Family: "xu"})
	made, err := Make([]string{one, two}, program)
	if err != nil {
		t.Fatal(err)
	}
	to, err := made.Target(strings.TrimPrefix(s.URL, "http://") + "/shelf:v2")
	if err == nil {
		err = made.Write(t.Context(), to)
	}
	if err != nil {
		t.Fatal(err)
	}
	for want, p := range map[string]v1.Platform{"one.upgrade": platforms["arm64"], "two.upgrade": platforms["armhf"]} {
		image, err := remote.Image(to.Tag, remote.WithPlatform(p))
		if err != nil {
			t.Fatal(err)
		}
		if got := files(t, image); got["bundles/"+want] == "" || len(got) != 5 || !strings.HasPrefix(got["usr/bin/shelf"], "the program for arm") {
			t.Errorf("%s: %d files", p, len(got))
		}
	}
	out, err := made.Target(filepath.Join(dir, "both.tar"))
	if err == nil {
		err = made.Write(t.Context(), out)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	one, _ := bundleFile(t, dir, "one.upgrade", testslot.Version{})
	two, _ := bundleFile(t, dir, "two.upgrade", testslot.Version{Init: 10})
	bad := filepath.Join(dir, "bad.upgrade")
	if err := os.WriteFile(bad, []byte("bad"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		names []string
		want  fault.Kind
	}{{[]string{bad}, fault.Input}, {[]string{filepath.Join(dir, "none")}, fault.Input}, {[]string{one, two}, fault.Input}} {
		if _, err := Make(c.names, program); fault.Code(err) != int(c.want) {
			t.Errorf("%v: got %v, want kind %d", c.names, err, c.want)
		}
	}
	made, err := Make([]string{one}, program)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"shelf", "registry.lan/Shelf", "registry.lan/shelf@sha256:" + strings.Repeat("0", 64), "/tmp/dir", "registry.lan/shelf:a b"} {
		if to, err := made.Target(ref); fault.Code(err) != int(fault.Usage) {
			t.Errorf("%s: got %s, %v", ref, to.Name(), err)
		}
	}
	to, err := made.Target("127.0.0.1:1/shelf")
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Write(t.Context(), to); fault.Code(err) != int(fault.Network) {
		t.Errorf("nobody there: got %v", err)
	}
	if err := os.Truncate(one, 4096); err != nil { // in between
		t.Fatal(err)
	}
	out, err := made.Target(filepath.Join(dir, "p.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Write(t.Context(), out); err == nil {
		t.Error("a bundle that became shorter was taken")
	}
	if _, err := os.Stat(out.File); err == nil {
		t.Error("half an image was left behind")
	}
}
