package plan

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/source"
)

// carried is a bundle of the container.
type carried struct {
	name     string // of its file
	manifest *bundle.Manifest
}

// choose finds the bundle in dir that is for a node. Its signature is checked by the node when it
// takes it.
func choose(ctx context.Context, dir string, n install.Facts) (*carried, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"+bundle.Suffix))
	if err != nil {
		return nil, err
	}
	var others []string
	for _, name := range names {
		m, err := read(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if m.Family == n.Family && m.Arch == n.Arch && slices.Contains(m.Roles, n.Role) {
			return &carried{name, m}, nil
		}
		others = append(others, fmt.Sprintf("one for family %s as %s", m.Family, strings.Join(m.Roles, " or ")))
	}
	if others == nil {
		others = []string{"none"}
	}
	return nil, fault.New(fault.Input, "make the image with `imgbuild bundle oci=REF` of that bundle too, or select the nodes of the Plan",
		"this node is a %s of family %s, and the container has no bundle for it, but %s", n.Role, n.Family, strings.Join(others, ", "))
}

// read returns what a bundle promises. Nobody has checked it yet.
func read(ctx context.Context, name string) (*bundle.Manifest, error) {
	f, err := source.OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head, err := bundle.Read(ctx, f, 0, bundle.HeaderSize)
	if err != nil {
		return nil, err
	}
	h, err := bundle.ParseHeader(head)
	if err != nil {
		return nil, err
	}
	text, err := bundle.Read(ctx, f, bundle.HeaderSize, h.Manifest)
	if err != nil {
		return nil, err
	}
	return bundle.ParseManifest(text)
}
