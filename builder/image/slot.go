package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sort"

	"imgbuild/boards"
	"imgbuild/builder/debian"
	"imgbuild/builder/tree"
	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/fat"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/contract/verity"
)

// slotFiles is a finished slot: a FAT volume that can be written at any place.
type slotFiles struct {
	volume fat.Volume
}

// squashed is the root file system on its way into the slot.
const squashed = "root.squashfs"

// slot makes the FAT volume of a slot: kernel, initramfs, device trees, root and its verity tree,
// the manifest last.
func (b *build) slot(k *kernel) (*slotFiles, error) {
	var m manifest.Manifest
	r := b.Recipe
	m = manifest.Manifest{
		Format: manifest.Format, Family: r.Family.Name, Arch: r.Family.Arch, Roles: r.Roles, Version: b.version, Date: int64(b.date()),
		Kernel: k.release, InitSHA256: r.Init, MinMemory: r.MinMemory(), Health: r.Health(),
		Encoders: codec.Encoders(),
	}
	if !r.Lock.Security() {
		m.Lacks = append(m.Lacks, debian.NoSecurity)
	}
	for _, board := range boards.Of(r.Family.Name) {
		m.Compatible = append(m.Compatible, board.Compatible...)
	}
	if !m.Fits([]string{"linux,dummy-virt"}) {
		m.Compatible = append(m.Compatible, "linux,dummy-virt") // every slot boots on QEMU virt, or it could not be tested
	}
	if r.Slot.K3s {
		m.K3s = &manifest.K3s{Version: r.K3s.Version, Source: r.K3s.Source, SHA256: r.K3s.SHA256, URL: r.K3s.URL, Size: r.K3s.Size}
	}
	m.Root.Size = b.result.Root
	if err := b.verity(&m.Root); err != nil {
		return nil, err
	}
	var files []fat.File
	add := func(name string, c tree.Content) {
		files = append(files, fat.File{Path: name, Size: c.Size, Open: c.Open})
	}
	add(manifest.KernelName, fileContent(b.path("kernel"), k.size))
	add(manifest.InitrdName, fileContent(b.path("initramfs"), b.result.Initrd))
	for _, name := range sortedDTBs(k.slotDTB) {
		add(manifest.DTBDir+"/"+name, k.slotDTB[name])
	}
	add(manifest.RootName, fileContent(b.path(squashed), m.Root.Size))
	add(manifest.TreeName, fileContent(b.path("root.verity"), m.Root.TreeSize))
	// The manifest names the offset of every other file, so it comes last, where it moves none of
	// them.
	v := fat.Volume{Label: slotLabel, ID: b.fatID("slot"), Start: slotAStart / sector, Size: slotSize, ClusterSize: slotCluster, Files: files}
	extents, err := v.Plan()
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "leave packages out", "planning the slot")
	}
	for _, f := range files {
		content := tree.Content{Size: f.Size, Open: f.Open}
		sum, err := sumContent(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		e := extents[f.Path]
		m.Files = append(m.Files, manifest.File{Path: f.Path, Offset: e.Offset, Size: f.Size, SHA256: sum})
		b.result.SlotUsed += f.Size
	}
	sort.Slice(m.Files, func(i, j int) bool { return m.Files[i].Path < m.Files[j].Path })
	m.Root.Offset = m.File(manifest.RootName).Offset
	m.Root.TreeOffset = m.File(manifest.TreeName).Offset
	data, sum, err := m.Marshal()
	if err != nil {
		return nil, err
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	add(manifest.Name, tree.Bytes(data))
	add(manifest.SumName, tree.Bytes(sum))
	v.Files = files
	after, err := v.Plan()
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "leave packages out", "planning the slot")
	}
	for _, f := range m.Files {
		if after[f.Path].Offset != f.Offset {
			return nil, fmt.Errorf("%s moved in the slot when the manifest was added", f.Path)
		}
	}
	if b.result.SlotUsed*100 > slotSize*slotFull {
		return nil, fault.New(fault.Input, "leave packages out", "the slot is filled with %d MiB, more than %d %% of its %d MiB", b.result.SlotUsed/mib, slotFull, slotSize/mib)
	}
	b.result.Manifest = m
	return &slotFiles{v}, nil
}

func (b *build) verity(root *manifest.Root) error {
	in, err := os.Open(b.path(squashed))
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := b.create("root.verity")
	if err != nil {
		return err
	}
	defer out.Close()
	salt := b.id("verity salt")
	hash, size, err := verity.Build(in, root.Size, salt[:], out)
	if err != nil {
		return err
	}
	root.Hash, root.Salt, root.TreeSize = hex.EncodeToString(hash[:]), hex.EncodeToString(salt[:]), size
	return out.Close()
}

func sortedDTBs(all map[string]tree.Content) []string {
	var names []string
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (b *build) fatID(purpose string) uint32 {
	id := b.id(purpose)
	return uint32(id[0]) | uint32(id[1])<<8 | uint32(id[2])<<16 | uint32(id[3])<<24
}

func sumContent(c tree.Content) (string, error) {
	r, err := c.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	return sumReader(r, c.Size)
}

func sumReader(r io.Reader, size int64) (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes instead of %d", n, size)
	}
	return hex.EncodeToString(h.Sum(nil)), err
}
