package planimage

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
)

// LocalName is what an image in a file is called once a node has imported it, before the tag.
const LocalName = "localhost/shelf-upgrade"

// Target is where an image goes.
type Target struct {
	File string   // an OCI layout in a tar archive, or
	Tag  name.Tag // in a registry
}

// Name is what a Plan calls the image, with its tag.
func (t Target) Name() string {
	if t.File == "" {
		return t.Tag.Name()
	}
	return LocalName + ":" + t.Tag.TagStr()
}

// Target reads a REF: HOST/NAME or HOST/NAME:TAG of a registry, or FILE.tar. Without a tag it is
// the version.
func (i *Image) Target(ref string) (Target, error) {
	t := Target{}
	if strings.HasSuffix(ref, ".tar") {
		t.File, ref = ref, LocalName
	}
	last := ref[strings.LastIndex(ref, "/")+1:]
	if !strings.Contains(last, ":") {
		if i.Version == "" {
			return t, fault.New(fault.Usage, "write it as HOST/NAME:TAG", "the bundles have several versions, and oci=%s has no tag", ref)
		}
		ref += ":" + i.Version
	}
	tag, err := name.NewTag(ref, name.StrictValidation)
	if err != nil {
		return t, fault.Wrap(err, fault.Usage, "write it as HOST/NAME:TAG, or FILE.tar", "oci=%s", ref)
	}
	t.Tag = tag
	return t, nil
}

// Write pushes an image to its registry with the login that docker or podman has for it, or writes
// the file.
func (i *Image) Write(ctx context.Context, t Target) error {
	if t.File != "" {
		return i.writeFile(t)
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	var err error
	switch w := i.write.(type) {
	case v1.ImageIndex:
		err = remote.WriteIndex(t.Tag, w, options...)
	case v1.Image:
		err = remote.Write(t.Tag, w, options...)
	}
	return fault.Wrap(err, fault.Network, "check the name, the network and the login", "pushing %s", t.Tag.Name())
}

// writeFile writes an OCI layout (image-spec, image-layout.md) as a tar archive. containerd names
// what it imports by its own annotation.
func (i *Image) writeFile(t Target) error {
	f, err := atomicfile.Create(filepath.Dir(t.File), 0o644)
	if err != nil {
		return fault.Wrap(err, fault.Device, "give another place as oci=FILE.tar", "writing the image")
	}
	defer f.Close()
	top, err := partial.Descriptor(i.write)
	if err != nil {
		return err
	}
	top.Annotations = map[string]string{"io.containerd.image.name": t.Name(), "org.opencontainers.image.ref.name": t.Tag.TagStr()}
	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{*top}})
	if err != nil {
		return err
	}
	w := layout{tar.NewWriter(f), map[string]bool{}}
	if err := errors.Join(w.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)), w.file("index.json", index), w.any(i.write)); err != nil {
		return fault.Wrap(err, fault.Device, "give another place as oci=FILE.tar", "writing the image")
	}
	if err := w.Close(); err != nil {
		return fault.Wrap(err, fault.Device, "give another place as oci=FILE.tar", "writing the image")
	}
	return fault.Wrap(f.Commit(t.File), fault.Device, "give another place as oci=FILE.tar", "writing the image")
}

// layout is an OCI layout that is written.
type layout struct {
	*tar.Writer
	have map[string]bool
}

func (w layout) file(name string, data []byte) error {
	return w.copy(name, int64(len(data)), strings.NewReader(string(data)))
}

func (w layout) copy(name string, size int64, r io.Reader) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	_, err := io.Copy(w, r)
	return err
}

// blob writes a blob, once.
func (w layout) blob(h v1.Hash, size int64, open func() (io.ReadCloser, error)) error {
	name := "blobs/" + h.Algorithm + "/" + h.Hex
	if w.have[name] {
		return nil
	}
	w.have[name] = true
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	return w.copy(name, size, r)
}

// raw is what an image or an index is written as.
type raw interface {
	Digest() (v1.Hash, error)
	RawManifest() ([]byte, error)
}

func (w layout) manifest(m raw) error {
	h, err := m.Digest()
	if err != nil {
		return err
	}
	data, err := m.RawManifest()
	if err != nil {
		return err
	}
	return w.blob(h, int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(data))), nil })
}

// any writes an image or an index with all that it names.
func (w layout) any(what any) error {
	switch m := what.(type) {
	case v1.ImageIndex:
		if err := w.manifest(m); err != nil {
			return err
		}
		list, err := partial.Manifests(m)
		if err != nil {
			return err
		}
		for _, one := range list {
			if err := w.any(one); err != nil {
				return err
			}
		}
	case v1.Image:
		if err := w.manifest(m); err != nil {
			return err
		}
		config, err := m.RawConfigFile()
		if err != nil {
			return err
		}
		h, err := m.ConfigName()
		if err != nil {
			return err
		}
		if err := w.blob(h, int64(len(config)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(config))), nil }); err != nil {
			return err
		}
		layers, err := m.Layers()
		if err != nil {
			return err
		}
		for _, l := range layers {
			if h, err = l.Digest(); err != nil {
				return err
			}
			size, err := l.Size()
			if err != nil {
				return err
			}
			if err := w.blob(h, size, l.Compressed); err != nil {
				return err
			}
		}
	default:
		return errors.New("neither an image nor an index")
	}
	return nil
}
