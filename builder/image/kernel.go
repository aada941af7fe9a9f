package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"

	"imgbuild/builder/initramfs"
	"imgbuild/builder/kmod"
	"imgbuild/builder/tree"
	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/fault"
)

// kernel is what the kernel package and the board's boot packages give next to the root file
// system.
type kernel struct {
	release string
	size    int64 // of the file "kernel", as it is in the slot
	dtbDir  string
	slotDTB map[string]tree.Content
	boot    map[string]*tree.Node // files outside the root that BOOT and the raw blobs are made of
	initrd  *tree.Tree            // modules of the initramfs, at lib/modules
}

// kernel takes the kernel, its device trees, boot files and modules out of the unstripped tree. The
// result of the costly parts (compression, module closure) is cached by what went into it.
func (b *build) kernel(all *tree.Tree) (*kernel, error) {
	f := b.Recipe.Family
	k := &kernel{boot: map[string]*tree.Node{}, slotDTB: map[string]tree.Content{}}
	var image *tree.Node
	var others []string
	for _, n := range all.Nodes() {
		switch {
		case n.Kind != tree.File:
		case strings.HasPrefix(n.Path, f.Kernel.Image):
			if image != nil {
				others = append(others, image.Path)
			}
			image = n
		case strings.HasPrefix(n.Path, "usr/lib/raspi-firmware/"), strings.HasPrefix(n.Path, "usr/lib/u-boot/"),
			strings.HasPrefix(n.Path, "usr/lib/linux-image-"), strings.HasSuffix(n.Path, "/copyright"):
			k.boot[n.Path] = n
		}
	}
	if image == nil {
		return nil, fmt.Errorf("no package of family %s has a kernel %s*", f.Name, f.Kernel.Image)
	}
	if others != nil {
		return nil, fmt.Errorf("more than one kernel: %s and %s", strings.Join(others, ", "), image.Path)
	}
	k.release = strings.TrimPrefix(image.Path, f.Kernel.Image)
	k.dtbDir = "usr/lib/linux-image-" + k.release
	for _, name := range f.SlotDTB {
		n := k.boot[k.dtbDir+"/"+name]
		if n == nil {
			return nil, fmt.Errorf("kernel %s has no device tree %s", k.release, name)
		}
		k.slotDTB[path.Base(name)] = n.Content
	}
	if err := b.kernelFile(k, image); err != nil {
		return nil, err
	}
	return k, b.modules(all, k)
}

// kernelFile writes the kernel as the slot holds it.
func (b *build) kernelFile(k *kernel, image *tree.Node) error {
	out, err := b.create("kernel")
	if err != nil {
		return err
	}
	defer out.Close()
	in, err := image.Content.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	if b.Recipe.Family.Kernel.Gzip {
		sum, err := sumContent(image.Content)
		if err != nil {
			return err
		}
		packed, err := b.Cache.Decoded(fmt.Sprint("kernel ", codec.Encoders(), " ", sum), func(w io.Writer) error {
			z, err := codec.NewWriter(codec.Gzip, w)
			if err != nil {
				return err
			}
			if _, err := io.Copy(z, in); err != nil {
				return err
			}
			return z.Close()
		})
		if err != nil {
			return err
		}
		defer packed.Close()
		k.size, err = io.Copy(out, packed)
		if err != nil {
			return err
		}
		return out.Close()
	}
	if k.size, err = io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// modules replaces the kernel's modules in the tree by the closure of the recipe's list,
// decompressed (the squashfs compresses better than they did, and an upgrade then carries only what
// changed), with the indexes that modprobe reads.
func (b *build) modules(all *tree.Tree, k *kernel) error {
	dir := "usr/lib/modules/" + k.release + "/"
	var files []kmod.File
	var lists kmod.Lists
	h := sha256.New()
	for _, n := range all.Nodes() {
		name, ok := strings.CutPrefix(n.Path, dir)
		if !ok || n.Kind != tree.File {
			continue
		}
		into := map[string]*[]byte{"modules.builtin": &lists.Builtin, "modules.builtin.modinfo": &lists.BuiltinModinfo, "modules.order": &lists.Order}[name]
		if into != nil {
			data, err := n.Content.ReadAll()
			if err != nil {
				return err
			}
			*into = data
			continue
		}
		files = append(files, kmod.File{Path: name, Open: n.Content.Open})
	}
	set, err := kmod.NewSet(files, lists)
	if err != nil {
		return err
	}
	var source string
	for _, p := range b.Recipe.Lock.Packages {
		if strings.HasPrefix(p.Name, "linux-image-"+k.release) || strings.HasPrefix(p.Name, "linux-modules-"+k.release) {
			source += p.SHA256
		}
	}
	if source == "" {
		return fmt.Errorf("no locked package is kernel %s", k.release)
	}
	open := func(use, prefix string, names []string) (*tree.Tree, error) {
		names = expand(set, files, names)
		list, err := json.Marshal(names)
		if err != nil {
			return nil, err
		}
		h.Reset()
		h.Write(list)
		key := fmt.Sprintf("modules 3 %s %s %s", use, source, hex.EncodeToString(h.Sum(nil)))
		f, err := b.Cache.Decoded(key, func(w io.Writer) error { return writeModules(w, set, prefix+"lib/modules/"+k.release+"/", names) })
		if err != nil {
			return nil, err
		}
		b.keep(f)
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		t := tree.New()
		return t, t.AddTar("kernel "+k.release, f, info.Size(), nil)
	}
	root, err := open("root", "usr/", b.Recipe.Modules())
	if err != nil {
		return err
	}
	for _, n := range root.Nodes() {
		if n.Kind == tree.File && strings.HasSuffix(n.Path, ".ko") {
			b.result.Modules++
		}
	}
	b.moduleTree = root
	k.initrd, err = open("initramfs", "usr/", b.Recipe.Family.Kernel.Initramfs)
	return err
}

// expand replaces directories (names that end in a slash) by the modules below them.
func expand(set *kmod.Set, files []kmod.File, names []string) []string {
	all := map[string]bool{}
	for _, name := range names {
		if !strings.HasSuffix(name, "/") {
			all[name] = true
			continue
		}
		for _, f := range files {
			if strings.HasPrefix(f.Path, name) {
				all[kmod.NameOf(f.Path)] = true
			}
		}
	}
	var out []string
	for name := range all {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// writeModules writes a tar with the closure of names and its indexes.
func writeModules(w io.Writer, set *kmod.Set, dir string, names []string) error {
	mods, missing, err := set.Closure(names)
	if err != nil {
		return err
	}
	if missing != nil {
		return fault.New(fault.Internal, "correct the lists in boards/ and images/", "the kernel has no module %s", strings.Join(missing, ", "))
	}
	t := tar.NewWriter(w)
	put := func(name string, data []byte) error {
		if err := t.WriteHeader(&tar.Header{Name: dir + name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data)), Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		_, err := t.Write(data)
		return err
	}
	for _, m := range mods {
		f, ok := set.File(m.Name)
		if !ok {
			return fmt.Errorf("module %s has no file", m.Name)
		}
		data, err := readAll(f.Open)
		if err != nil {
			return fmt.Errorf("module %s: %w", m.Name, err)
		}
		if data, err = kmod.Decompress(data); err != nil {
			return fmt.Errorf("module %s: %w", m.Name, err)
		}
		if err := put(m.Path, kmod.Unsigned(data)); err != nil {
			return err
		}
	}
	index, err := set.Index(mods)
	if err != nil {
		return err
	}
	var lines []string
	for name := range index {
		lines = append(lines, name)
	}
	sort.Strings(lines)
	for _, name := range lines {
		if err := put(name, index[name]); err != nil {
			return err
		}
	}
	return t.Close()
}

func readAll(open func() (io.ReadCloser, error)) ([]byte, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Limits: the init is in memory for as long as the node runs, and boards of 512 MB unpack the
// initramfs next to the kernel.
const (
	maxInit      = 15 * mib
	maxInitramfs = 8 * mib
)

// initramfs writes what the kernel unpacks before anything else: the init and the modules it needs
// to find a root.
func (b *build) initramfs(k *kernel, init []byte) error {
	entries := []initramfs.Entry{{Path: "init", Mode: initramfs.Regular | 0o755, Data: init}}
	dirs := map[string]bool{}
	for _, n := range k.initrd.Nodes() {
		name, ok := strings.CutPrefix(n.Path, "usr/")
		if !ok || n.Kind != tree.File || strings.HasSuffix(name, ".bin") {
			continue // the init reads the text indexes
		}
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			dirs[d] = true
		}
		entries = append(entries, initramfs.Entry{Path: name, Mode: initramfs.Regular | 0o644, Size: n.Content.Size, Open: n.Content.Open})
	}
	for d := range dirs {
		entries = append(entries, initramfs.Entry{Path: d, Mode: initramfs.Dir | 0o755})
	}
	out, err := b.create("initramfs")
	if err != nil {
		return err
	}
	defer out.Close()
	sum, err := initramfs.Sum(entries)
	if err != nil {
		return err
	}
	packed, err := b.Cache.Decoded(fmt.Sprintf("initramfs %v %x", codec.Encoders(), sum), func(w io.Writer) error { return initramfs.Write(w, entries) })
	if err != nil {
		return err
	}
	defer packed.Close()
	if b.result.Initrd, err = io.Copy(out, packed); err != nil {
		return err
	}
	if b.result.Initrd > maxInitramfs {
		return fmt.Errorf("the initramfs has %d bytes, more than %d", b.result.Initrd, maxInitramfs)
	}
	return out.Close()
}

// root finishes the root file system and turns it into the tree of the squashfs.
func (b *build) root(all *tree.Tree, k *kernel, shelf []byte) error {
	if err := b.finishRoot(all, shelf); err != nil {
		return err
	}
	for _, n := range b.moduleTree.Nodes() {
		if strings.HasPrefix(n.Path, "usr/lib/modules/") {
			n.MTime = b.date()
			if err := all.Put(n); err != nil {
				return err
			}
		}
	}
	b.result.Packages = len(b.Recipe.Lock.Packages)
	var err error
	b.usr, err = usr(all)
	return err
}
