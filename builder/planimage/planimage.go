// Package planimage makes the container image with which a Plan of Rancher's
// system-upgrade-controller upgrades nodes: bundles, and the program of the node as entry point.
//
// Equal bundles give an image with the same digest.
package planimage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"imgbuild/builder/bundle"
	format "imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
)

// Places in the container. init/upgrade/plan has them too.
const (
	programPath = "usr/bin/shelf"
	bundleDir   = "bundles"
)

// platforms are the container world's names of Debian's architectures.
var platforms = map[string]v1.Platform{
	"arm64": {OS: "linux", Architecture: "arm64"},
	"armhf": {OS: "linux", Architecture: "arm", Variant: "v7"},
	"amd64": {OS: "linux", Architecture: "amd64"},
}

// Image is an image of one platform, or an index of those of several.
type Image struct {
	Version string // of its bundles; empty if they have several
	Bundles []*format.Manifest
	write   partial.Describable // v1.Image or v1.ImageIndex
}

// Make makes the image of bundle files. program returns the program of the node for one of Debian's
// architectures. The files are read again when the image is written.
func Make(names []string, program func(arch string) ([]byte, error)) (*Image, error) {
	made := &Image{}
	byArch := map[string][]content{}
	versions := map[string]bool{}
	for _, name := range names {
		o, err := bundle.OpenOffer(name)
		if err != nil {
			return nil, err
		}
		o.Close()
		m := o.Manifest
		for _, other := range made.Bundles {
			if role := shared(other, m); role != "" {
				return nil, fault.New(fault.Input, "give one of them", "two bundles are for a %s of family %s: %s and %s", role, m.Family, other.Version, m.Version)
			}
		}
		files, err := carry(name, m)
		if err != nil {
			return nil, err
		}
		made.Bundles = append(made.Bundles, m)
		byArch[m.Arch] = append(byArch[m.Arch], files...)
		versions[m.Version] = true
	}
	if len(versions) == 1 {
		made.Version = made.Bundles[0].Version
	}
	var index v1.ImageIndex = empty.Index
	for _, arch := range slices.Sorted(maps.Keys(byArch)) {
		image, err := made.image(arch, byArch[arch], program)
		if err != nil {
			return nil, err
		}
		p := platforms[arch]
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &p}})
		made.write = image
	}
	if len(byArch) > 1 {
		made.write = index
	}
	return made, nil
}

// shared is a role in which a node could take either of two bundles.
func shared(a, b *format.Manifest) string {
	for _, role := range a.Roles {
		if a.Family == b.Family && a.Arch == b.Arch && slices.Contains(b.Roles, role) {
			return role
		}
	}
	return ""
}

// carry returns the files that the image has of a bundle: itself, and the k3s next to it that its
// system needs.
func carry(name string, m *format.Manifest) ([]content, error) {
	list := []string{name}
	if m.K3s != nil && m.K3s.Source == "firstboot" {
		k3s := filepath.Join(filepath.Dir(name), "k3s-"+m.K3s.Version+"-"+m.Arch)
		switch _, err := os.Stat(k3s); {
		case err == nil:
			list = append(list, k3s)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fault.Wrap(err, fault.Input, "", "the k3s of %s", name)
		}
	}
	var all []content
	for _, name := range list {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fault.Wrap(err, fault.Input, "", "")
		}
		all = append(all, content{bundleDir + "/" + filepath.Base(name), 0o644, info.Size(), func() (io.ReadCloser, error) { return os.Open(name) }})
	}
	return all, nil
}

// image makes the image of one architecture.
func (i *Image) image(arch string, files []content, program func(arch string) ([]byte, error)) (v1.Image, error) {
	p, known := platforms[arch]
	if !known {
		return nil, fault.New(fault.Input, "", "no container runs on %s", arch)
	}
	data, err := program(arch)
	if err != nil {
		return nil, err
	}
	layers := [][]content{{{programPath, 0o755, int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}}}
	seen := map[string]bool{}
	for _, f := range files {
		if seen[f.path] {
			return nil, fault.New(fault.Input, "rename one of them", "two files are called %s", filepath.Base(f.path))
		}
		seen[f.path] = true
		layers = append(layers, []content{f})
	}
	var date int64
	var what []string
	for _, m := range i.Bundles {
		if m.Arch == arch {
			date = max(date, m.Date)
			what = append(what, m.Family+" "+m.Version)
		}
	}
	created := v1.Time{Time: time.Unix(date, 0).UTC()}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	config := v1.ConfigFile{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, Created: created, RootFS: v1.RootFS{Type: "layers"}, Config: v1.Config{
		Entrypoint: []string{"/" + programPath}, Cmd: []string{"upgrade", "--plan"}, Env: []string{"PATH=/usr/bin"}, WorkingDir: "/", User: "0",
		Labels: map[string]string{"org.opencontainers.image.title": "ShelfOS upgrade: " + strings.Join(what, ", ")},
	}}
	if image, err = mutate.ConfigFile(image, &config); err != nil {
		return nil, err
	}
	for n, list := range layers {
		l, err := newLayer(list...)
		if err != nil {
			return nil, fault.Wrap(err, fault.Input, "", "")
		}
		add := mutate.Addendum{Layer: l, History: v1.History{Created: created, CreatedBy: "imgbuild bundle", Comment: layers[n][0].path}}
		if image, err = mutate.Append(image, add); err != nil {
			return nil, err
		}
	}
	return image, nil
}

// Digest names what was made.
func (i *Image) Digest() (string, error) {
	d, err := partial.Descriptor(i.write)
	if err != nil {
		return "", fmt.Errorf("the image: %w", err)
	}
	return d.Digest.String(), nil
}
