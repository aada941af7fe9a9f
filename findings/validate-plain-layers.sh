#!/usr/bin/env bash
# github.com/google/go-containerregistry v0.22.1, package validate.
#
# The OCI image specification has layers without compression, media type application/vnd.oci.image.layer.v1.tar, and the library has
# them as types.OCIUncompressedLayer: static.NewLayer makes one, and it goes through a registry. validate.Image refuses every image with
# one, with an error of gzip: it takes what Layer.Compressed returns for gzip whatever the media type is. With gzip the same image
# passes.
#
# What follows: check images with plain layers by digest, diff ID and content, not by validate.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
cat > go.mod <<'MOD'
module finding
go 1.24
MOD
cat > main.go <<'GO'
package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func show(what string, img v1.Image) {
	l := must(img.Layers())[0]
	body := must(io.ReadAll(must(l.Uncompressed())))
	result := "passes"
	if err := validate.Image(img); err != nil {
		result = "is refused: " + err.Error()
	}
	fmt.Printf("%s: %s, starts a tar: %v; %s\n", what, must(l.MediaType()), bytes.HasPrefix(body, []byte("hello")), result)
}

func main() {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "hello", Size: 5, Mode: 0o644, Typeflag: tar.TypeReg})
	w.Write([]byte("world"))
	w.Close()
	plain := mutate.MediaType(must(mutate.AppendLayers(empty.Image, static.NewLayer(b.Bytes(), types.OCIUncompressedLayer))), types.OCIManifestSchema1)
	zipped := mutate.MediaType(must(mutate.AppendLayers(empty.Image, must(tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))))), types.OCIManifestSchema1)
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	for what, img := range map[string]v1.Image{"plain": plain, "gzip": zipped} {
		ref := must(name.ParseReference(strings.TrimPrefix(s.URL, "http://") + "/a/" + what + ":c"))
		if err := remote.Write(ref, img); err != nil {
			log.Fatal(err)
		}
		show(what, must(remote.Image(ref)))
	}
}
GO
go get github.com/google/go-containerregistry@v0.22.1 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
got=$(go run . | sort)
want='gzip: application/vnd.oci.image.layer.v1.tar+gzip, starts a tar: true; passes
plain: application/vnd.oci.image.layer.v1.tar, starts a tar: true; is refused: validating layers: gzip: invalid header'
echo "$got"
[ "$got" = "$want" ] || { echo "the behaviour has changed; it was:"; echo "$want"; exit 1; }
