package source

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
)

// TestOCI reads a bundle by ranges from a registry of go-containerregistry, where it was pushed.
func TestOCI(t *testing.T) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	push := func(tag string, titles ...string) (ref string, data []byte) {
		image := v1.Image(empty.Image)
		for i, title := range titles {
			content := content(uint64(20+i), 100_000)
			if strings.HasSuffix(title, ".upgrade") || data == nil {
				data = content
			}
			add := mutate.Addendum{Layer: static.NewLayer(content, types.MediaType("application/octet-stream"))}
			if title != "" {
				add.Annotations = map[string]string{titleKey: title}
			}
			var err error
			if image, err = mutate.Append(image, add); err != nil {
				t.Fatal(err)
			}
		}
		ref = host + "/shelf/rpi64:" + tag
		r, err := name.ParseReference(ref)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(r, image); err != nil {
			t.Fatal(err)
		}
		return ref, data
	}
	for tag, titles := range map[string][]string{"alone": {""}, "named": {"README", "a.upgrade"}} {
		ref, data := push(tag, titles...)
		src, kind, err := Open(t.Context(), "oci://"+ref, Options{HTTP: quick()})
		if err != nil || kind != FromOCI {
			t.Errorf("%s: got %q, %v", tag, kind, err)
			continue
		}
		for _, at := range []int64{0, 512, 70_000, 600} {
			got, err := bundle.Read(t.Context(), src, at, 3000)
			if err != nil || !bytes.Equal(got, data[at:at+3000]) {
				t.Errorf("%s at %d: %v", tag, at, err)
			}
		}
		if _, _, err := src.K3s(t.Context(), k3s, "arm64"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: k3s: got %v", tag, err)
		}
		src.Close()
	}
	ref, _ := push("none", "README", "LICENSE")
	for ref, want := range map[string]fault.Kind{ref: fault.Input, host + "/shelf/rpi64:away": fault.Network, "": fault.Usage, host: fault.Usage, "x y/z:1": fault.Usage} {
		_, _, err := Open(t.Context(), "oci://"+ref, Options{HTTP: quick()})
		wantKind(t, ref, err, want)
	}
}
