package planimage

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// content is a file of a layer.
type content struct {
	path string // without a leading slash
	mode int64
	size int64
	open func() (io.ReadCloser, error)
}

// layer is a tar archive that is read from its files whenever it is needed. It is not compressed:
// what it holds is. Equal files give equal bytes.
type layer struct {
	files []content
	size  int64
	sum   v1.Hash
}

func newLayer(files ...content) (*layer, error) {
	l := &layer{files: files}
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	h := sha256.New()
	if l.size, err = io.Copy(h, r); err != nil {
		return nil, err
	}
	l.sum = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
	return l, nil
}

// Digest implements v1.Layer.
func (l *layer) Digest() (v1.Hash, error) { return l.sum, nil }

// DiffID implements v1.Layer.
func (l *layer) DiffID() (v1.Hash, error) { return l.sum, nil }

// Size implements v1.Layer.
func (l *layer) Size() (int64, error) { return l.size, nil }

// MediaType implements v1.Layer.
func (l *layer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

// Uncompressed implements v1.Layer.
func (l *layer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }

// Compressed implements v1.Layer.
func (l *layer) Compressed() (io.ReadCloser, error) {
	a := &archive{}
	var dirs []string
	for _, f := range l.files {
		var above []string
		for d := path.Dir(f.path); d != "."; d = path.Dir(d) {
			above = append(above, d)
		}
		for _, d := range slices.Backward(above) {
			if !slices.Contains(dirs, d) {
				dirs = append(dirs, d)
				if err := a.header(tar.Header{Typeflag: tar.TypeDir, Name: d + "/", Mode: 0o755}); err != nil {
					return nil, err
				}
			}
		}
		if err := a.add(f); err != nil {
			a.Close()
			return nil, err
		}
	}
	a.parts = append(a.parts, bytes.NewReader(make([]byte, 2*block)))
	a.Reader = io.MultiReader(a.parts...)
	return a, nil
}

const block = 512 // of a tar archive

// archive is a tar archive that is read.
type archive struct {
	io.Reader
	parts []io.Reader
	files []io.Closer
}

// header adds the header of an entry. Owner is root, the time is 1970.
func (a *archive) header(h tar.Header) error {
	var b bytes.Buffer
	h.Format = tar.FormatUSTAR
	if err := tar.NewWriter(&b).WriteHeader(&h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	a.parts = append(a.parts, &b)
	return nil
}

func (a *archive) add(f content) error {
	if err := a.header(tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode, Size: f.size}); err != nil {
		return err
	}
	r, err := f.open()
	if err != nil {
		return err
	}
	a.files = append(a.files, r)
	a.parts = append(a.parts, &exact{r, f.size, f.path}, bytes.NewReader(make([]byte, (block-f.size%block)%block)))
	return nil
}

// Close closes the files.
func (a *archive) Close() error {
	for _, f := range a.files {
		f.Close()
	}
	return nil
}

// exact makes a file that ends early an error: the archive would be out of step.
type exact struct {
	r    io.Reader
	left int64
	name string
}

func (e *exact) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	if e.left -= int64(n); err == io.EOF && e.left > 0 {
		err = fmt.Errorf("%s became shorter while it was read: %w", e.name, io.ErrUnexpectedEOF)
	}
	return n, err
}
