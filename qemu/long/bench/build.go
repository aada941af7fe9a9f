package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/debian"
	"imgbuild/images"
	"imgbuild/init/contract/diskmap"
	"imgbuild/qemu/tool"
	"imgbuild/qemu/vm"
)

// used is what a finished process cost.
type used struct {
	cpu  time.Duration
	peak int64 // bytes
}

func measure(cmd *exec.Cmd) (used, []byte, error) {
	out, err := cmd.Output()
	if err != nil {
		var text []byte
		if e, ok := err.(*exec.ExitError); ok {
			text = e.Stderr
		}
		return used{}, nil, fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, text)
	}
	u := used{cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.peak = r.Maxrss << 10
	}
	return u, out, nil
}

// reference runs a tool of the reference chain.
func reference(ctx context.Context, dir, name string, args ...string) (time.Duration, error) {
	cmd, err := tool.Command(ctx, name, args...)
	if err != nil {
		return 0, err
	}
	cmd.Dir = dir
	u, _, err := measure(cmd)
	return u.cpu, err
}

// result is what of `output=json` is used here.
type result struct {
	Image  string
	Root   int64 `json:"root_squashfs"`
	Initrd int64 `json:"initramfs"`
	Init   int64
	Steps  []struct {
		Name string
		CPU  time.Duration `json:"cpu_ns"`
	}
}

// build compares a build from locked packages in the cache with the reference: dpkg-deb, the same
// drops, mksquashfs at zstd level 15, mkfs.vfat with mcopy, genimage.
func (b *bench) build(ctx context.Context) error {
	words := []string{"board=rpi4", "role=worker", "k3s=none", "output=json", "out=" + filepath.Join(b.dir, "out")}
	if _, _, err := measure(exec.CommandContext(ctx, b.program, words...)); err != nil { // fetches what is missing
		return err
	}
	cache := filepath.Join(b.dir, "cache")
	home, err := blockcache.Default()
	if err != nil {
		return err
	}
	if dir := os.Getenv("IMGBUILD_CACHE"); dir != "" {
		home = dir
	}
	if err := os.CopyFS(filepath.Join(cache, "blob"), os.DirFS(filepath.Join(home, "blob"))); err != nil {
		return err
	}
	ours, out, err := measure(exec.CommandContext(ctx, b.program, append(words, "cache="+cache)...))
	if err != nil {
		return err
	}
	var res result
	if err := json.Unmarshal(out, &res); err != nil {
		return err
	}
	warm, _, err := measure(exec.CommandContext(ctx, b.program, append(words, "cache="+cache)...))
	if err != nil {
		return err
	}
	cpu := map[string]time.Duration{}
	for _, s := range res.Steps {
		cpu[s.Name] += s.CPU
	}
	decode, compress := cpu["unpack"]+cpu["kernel"], cpu["squashfs"]

	ref, err := b.chain(ctx, home, res.Image)
	if err != nil {
		return err
	}
	fmt.Printf("build of rpi4 worker, locked packages in the cache to .img; CPU seconds\n")
	fmt.Printf("  %-12s %8s %8s %8s %8s   squashfs\n", "", "decode", "compress", "rest", "all")
	sec := func(d time.Duration) float64 { return d.Seconds() }
	// The measure ends with the .img: packing it and its sums are extras that the reference does
	// not make.
	extra := cpu["pack"] + cpu["publish"]
	total := ours.cpu - extra
	fmt.Printf("  %-12s %8.2f %8.2f %8.2f %8.2f   %d\n", "imgbuild", sec(decode), sec(compress), sec(total-decode-compress), sec(total), res.Root)
	fmt.Printf("  %-12s %8.2f %8.2f %8.2f %8.2f   %d\n", "reference", sec(ref.decode), sec(ref.compress), sec(ref.rest), sec(ref.decode+ref.compress+ref.rest), ref.size)
	fmt.Printf("  %-12s %35.2f   (.img.zst and SHA256SUMS, not counted above)\n", "", sec(extra))
	fmt.Printf("  %-12s %35.2f   (nothing changed since the last build)\n", "imgbuild again", sec(warm.cpu))
	b.row("CPU, all", sec(total)/sec(ref.decode+ref.compress+ref.rest), 0.8, "")
	b.row("CPU, compression", sec(compress)/sec(ref.compress), 0.5, "")
	b.row("size of the squashfs", float64(res.Root)/float64(ref.size), 1.065, "")
	b.row("peak memory", float64(ours.peak)/(1<<20), 400, "MiB")
	b.row("init", float64(res.Init)/(1<<20), 15, "MiB")
	b.row("initramfs", float64(res.Initrd)/(1<<20), 8, "MiB")
	return nil
}

type chain struct {
	decode, compress, rest time.Duration
	size                   int64
}

// chain runs the reference tools. The tree that mksquashfs gets is the very one of our image.
func (b *bench) chain(ctx context.Context, cache, image string) (c chain, err error) {
	l, err := debian.ParseLock("the embedded lock", images.Lock("rpi64", "k3s"))
	if err != nil {
		return c, err
	}
	unpacked := filepath.Join(b.dir, "unpacked")
	if err := os.Mkdir(unpacked, 0o755); err != nil {
		return c, err
	}
	for _, p := range l.Packages {
		d, err := reference(ctx, b.dir, "dpkg-deb", "-x", filepath.Join(cache, "blob", p.SHA256[:2], p.SHA256), unpacked)
		if err != nil {
			return c, err
		}
		c.decode += d
	}
	im, err := vm.OpenImage(image)
	if err != nil {
		return c, err
	}
	defer im.Close()
	m, err := im.Manifest(vm.SlotA)
	if err != nil {
		return c, err
	}
	slot := im.Partition(vm.SlotA)
	ours, root := filepath.Join(b.dir, "ours.squashfs"), filepath.Join(b.dir, "root")
	if err := section(ours, io.NewSectionReader(slot, m.Root.Offset, m.Root.Size)); err != nil {
		return c, err
	}
	if _, err := reference(ctx, b.dir, "unsquashfs", "-q", "-n", "-no-xattrs", "-d", root, ours); err != nil {
		return c, err
	}
	// The modules of the tree were unpacked too.
	modules, err := filepath.Glob(filepath.Join(unpacked, "usr/lib/modules/*/kernel"))
	if err != nil || len(modules) != 1 {
		return c, fmt.Errorf("the kernel package has modules in %v: %v", modules, err)
	}
	var packed []string
	kept := filepath.Join(root, "lib/modules", filepath.Base(filepath.Dir(modules[0])), "kernel")
	err = filepath.WalkDir(kept, func(name string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".ko") {
			rel, err := filepath.Rel(kept, name)
			if err != nil {
				return err
			}
			packed = append(packed, filepath.Join(modules[0], rel+".xz"))
		}
		return err
	})
	if err != nil {
		return c, err
	}
	d, err := reference(ctx, b.dir, "xz", append([]string{"-dk"}, packed...)...)
	if err != nil {
		return c, err
	}
	c.decode += d
	theirs := filepath.Join(b.dir, "theirs.squashfs")
	if c.compress, err = reference(ctx, b.dir, "mksquashfs", root, theirs, "-comp", "zstd", "-Xcompression-level", "15", "-b", "256K",
		"-noappend", "-all-root", "-no-progress", "-quiet", "-processors", fmt.Sprint(runtime.GOMAXPROCS(0))); err != nil {
		return c, err
	}
	info, err := os.Stat(theirs)
	if err != nil {
		return c, err
	}
	c.size = info.Size()
	c.rest, err = b.assemble(ctx, im, m.Root.Size, theirs)
	return c, err
}

func section(name string, r io.Reader) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	return f.Close()
}

// assemble makes BOOT and a slot with mkfs.vfat and mcopy, and the disk with genimage.
func (b *bench) assemble(ctx context.Context, im *vm.Image, _ int64, root string) (sum time.Duration, err error) {
	step := func(name string, args ...string) {
		if err == nil {
			var d time.Duration
			d, err = reference(ctx, b.dir, name, args...)
			sum += d
		}
	}
	input := filepath.Join(b.dir, "input")
	if err := os.Mkdir(input, 0o755); err != nil {
		return 0, err
	}
	kernel, err := im.ReadFile(vm.SlotA, "kernel")
	if err != nil {
		return 0, err
	}
	for name, size := range map[string]int64{"boot.vfat": diskmap.BootSize, "slot.vfat": diskmap.SlotSize} {
		f, err := os.Create(filepath.Join(input, name))
		if err != nil {
			return 0, err
		}
		if err := f.Truncate(size); err != nil {
			return 0, err
		}
		f.Close()
	}
	if err := os.WriteFile(filepath.Join(b.dir, "kernel"), kernel, 0o600); err != nil {
		return 0, err
	}
	config := `image disk.img {
	hdimage { align = 4M }
	partition boot { image = "boot.vfat" partition-type = 0xC offset = 16M }
	partition a { image = "slot.vfat" partition-type = 0x1C offset = 240M }
}
`
	if err := os.WriteFile(filepath.Join(b.dir, "genimage.cfg"), []byte(config), 0o600); err != nil {
		return 0, err
	}
	step("mkfs.vfat", "-F", "32", "--invariant", filepath.Join(input, "boot.vfat"))
	step("mkfs.vfat", "-F", "32", "-s", "8", "--invariant", filepath.Join(input, "slot.vfat"))
	step("mcopy", "-i", filepath.Join(input, "boot.vfat"), filepath.Join(b.dir, "kernel"), "::kernel")
	step("mcopy", "-i", filepath.Join(input, "slot.vfat"), filepath.Join(b.dir, "kernel"), "::kernel")
	step("mcopy", "-i", filepath.Join(input, "slot.vfat"), root, "::root.squashfs")
	if err := os.Mkdir(filepath.Join(b.dir, "empty"), 0o755); err != nil {
		return 0, err
	}
	step("genimage", "--config", "genimage.cfg", "--rootpath", "empty", "--inputpath", "input", "--outputpath", "images", "--tmppath", "gentmp")
	return sum, err
}
