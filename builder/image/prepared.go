package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"imgbuild/builder/tree"
	"imgbuild/init/contract/fat"
	"imgbuild/init/contract/manifest"
)

// prepared is all of an image that does not depend on who it is for: the slot, and the files of the
// packages that BOOT and the raw blobs are made of. It is kept in the cache as a tar, so that
// another configuration costs no more than writing a disk.
type prepared struct {
	About about
	sbom  tree.Content
	slot  tree.Content          // the slot's volume, up to the end of what is mapped
	boot  map[string]*tree.Node // by path in the packages
}

// about is what is known of a prepared image besides its bytes.
type about struct {
	DTBDir   string            `json:"dtb_dir"`
	Mapped   fat.Extent        `json:"mapped"`
	SlotUsed int64             `json:"slot_used"`
	Root     int64             `json:"root"`
	RootRaw  int64             `json:"root_raw"`
	Initrd   int64             `json:"initrd"`
	Packages int               `json:"packages"`
	Modules  int               `json:"modules"`
	Warnings []string          `json:"warnings"`
	Manifest manifest.Manifest `json:"manifest"`
}

// names in the tar.
const (
	aboutName = "about.json"
	slotName  = "slot"
	sbomName  = "spdx.json"
	bootDir   = "boot/"
)

// ownSum is the hash of this program: what it makes of one recipe may differ from what another one
// does.
var ownSum = sync.OnceValues(func() (string, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
})

// prepare takes the prepared image from the cache, or makes it by the steps of a build.
func (b *build) prepare(ctx context.Context, programs Programs) (*prepared, error) {
	sum, err := ownSum()
	if err != nil {
		return nil, fmt.Errorf("reading this program: %w", err)
	}
	b.slotKey = "slot 3 " + b.Recipe.Hash() + " " + b.version + " " + sum
	f, err := b.Cache.Decoded(b.slotKey, func(w io.Writer) error { return b.makePrepared(ctx, w, programs) })
	if err != nil {
		return nil, err
	}
	b.keep(f)
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	t := tree.New()
	if err := t.AddTar("the prepared image", f, info.Size(), nil); err != nil {
		return nil, err
	}
	p := &prepared{boot: map[string]*tree.Node{}}
	for _, n := range t.Nodes() {
		switch path, boot := strings.CutPrefix(n.Path, bootDir); {
		case n.Path == aboutName:
			data, err := n.Content.ReadAll()
			if err != nil {
				return nil, err
			}
			if err := json.Unmarshal(data, &p.About); err != nil {
				return nil, fmt.Errorf("the prepared image in the cache: %w", err)
			}
		case n.Path == slotName:
			p.slot = n.Content
		case n.Path == sbomName:
			p.sbom = n.Content
		case boot && n.Kind == tree.File:
			p.boot[path] = n
		}
	}
	if p.sbom.Open == nil || p.slot.Open == nil || p.slot.Size != p.About.Mapped.Size {
		return nil, fmt.Errorf("the prepared image in the cache has a slot of %d bytes, not %d", p.slot.Size, p.About.Mapped.Size)
	}
	a, r := p.About, &b.result
	r.SlotUsed, r.Root, r.RootRaw, r.Initrd, r.Packages, r.Modules, r.Manifest = a.SlotUsed, a.Root, a.RootRaw, a.Initrd, a.Packages, a.Modules, a.Manifest
	r.Warnings = append(r.Warnings, a.Warnings...)
	b.sbom = p.sbom
	b.slotEnd = slotAStart + min(slotSize, (p.slot.Size+frame-1)/frame*frame)
	return p, nil
}

// makePrepared carries out the steps up to the slot and writes what comes of them.
func (b *build) makePrepared(ctx context.Context, w io.Writer, programs Programs) error {
	warned := b.result.Warnings
	defer func() { b.result.Warnings = warned }() // the prepared image brings them
	b.result.Warnings = nil
	var all *tree.Tree
	var k *kernel
	var slot *slotFiles
	err := b.steps(ctx, []step{
		{"unpack", func() (err error) { all, err = b.packages(ctx); return }},
		{"kernel", func() (err error) { k, err = b.kernel(all); return }},
		{"initramfs", func() error { return b.initramfs(k, programs.Init) }},
		{"root", func() error { return b.root(all, k, programs.Shelf) }},
		{"squashfs", func() error { return b.squashfs(ctx) }},
		{"slot", func() (err error) { slot, err = b.slot(k); return }},
	})
	if err != nil {
		return err
	}
	mapped, err := slot.volume.Mapped()
	if err != nil {
		return err
	}
	volume, err := b.create("slot")
	if err != nil {
		return err
	}
	defer volume.Close()
	if err := slot.volume.Write(volume); err != nil {
		return fmt.Errorf("the slot: %w", err)
	}
	r := b.result
	data, err := json.Marshal(about{DTBDir: k.dtbDir, Mapped: mapped, SlotUsed: r.SlotUsed, Root: r.Root, RootRaw: r.RootRaw, Initrd: r.Initrd, Packages: r.Packages,
		Modules: r.Modules, Warnings: r.Warnings, Manifest: r.Manifest})
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	add := func(name string, size int64, in io.Reader) error {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, Format: tar.FormatGNU}); err != nil {
			return err
		}
		_, err := io.Copy(t, in)
		return err
	}
	if err := add(aboutName, int64(len(data)), strings.NewReader(string(data))); err != nil {
		return err
	}
	if err := volume.Truncate(mapped.Size); err != nil { // the volume may end in zeros that were not written
		return err
	}
	if err := add(slotName, mapped.Size, io.NewSectionReader(volume, 0, mapped.Size)); err != nil {
		return err
	}
	var contents bytes.Buffer
	if err := b.writeContents(&contents, k, programs.Init); err != nil {
		return fmt.Errorf("the list of contents: %w", err)
	}
	if err := add(sbomName, int64(contents.Len()), &contents); err != nil {
		return err
	}
	for _, from := range b.bootFiles(k.dtbDir) {
		n := k.boot[from]
		if n == nil {
			continue // reported where it is used
		}
		in, err := n.Content.Open()
		if err != nil {
			return err
		}
		err = add(bootDir+from, n.Content.Size, in)
		in.Close()
		if err != nil {
			return err
		}
	}
	return t.Close()
}

// bootFiles are the files of the packages that BOOT and the raw blobs are made of, each once.
func (b *build) bootFiles(dtbDir string) (list []string) {
	seen := map[string]bool{}
	add := func(from string) {
		if !seen[from] {
			seen[from] = true
			list = append(list, from)
		}
	}
	for _, c := range b.Recipe.Family.Boot {
		add(bootSource(c.From, dtbDir))
	}
	for _, raw := range b.Recipe.Family.Raw {
		if raw.Package != "" {
			add(raw.From)
		}
	}
	return list
}

// bootSource is the path in the packages that a family names; dtb:NAME is a device tree of the
// kernel's.
func bootSource(from, dtbDir string) string {
	if dtb, ok := strings.CutPrefix(from, "dtb:"); ok {
		return dtbDir + "/" + dtb
	}
	return from
}
