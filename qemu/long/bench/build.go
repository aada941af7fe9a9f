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
	"slices"
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
	cpu, wall time.Duration
	peak      int64 // bytes
}

func measure(cmd *exec.Cmd) (used, []byte, error) {
	began := time.Now()
	out, err := cmd.Output()
	if err != nil {
		var text []byte
		if e, ok := err.(*exec.ExitError); ok {
			text = e.Stderr
		}
		return used{}, nil, fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, text)
	}
	u := used{wall: time.Since(began), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.peak = r.Maxrss << 10
	}
	return u, out, nil
}

// reference runs a tool of the reference chain.
func reference(ctx context.Context, dir, name string, args ...string) (used, error) {
	cmd, err := tool.Command(ctx, name, args...)
	if err != nil {
		return used{}, err
	}
	cmd.Dir = dir
	u, _, err := measure(cmd)
	return u, err
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

// words are those of the image that is built.
func (b *bench) words(more ...string) []string {
	return append([]string{"board=rpi4", "role=worker", "k3s=none", "key=none", "output=json", "pack=no"}, more...)
}

// build compares a build from locked packages in the cache with the reference: dpkg-deb, the same
// drops, mksquashfs at zstd level 15, mkfs.vfat with mcopy, genimage. Both take turns, n times: a
// neighbour that makes the machine slow meets both.
func (b *bench) build(ctx context.Context, n int) error {
	if _, _, err := measure(exec.CommandContext(ctx, b.program, b.words("out="+filepath.Join(b.dir, "out"))...)); err != nil { // fetches what is missing
		return err
	}
	l, err := debian.ParseLock("the embedded lock", images.Lock("rpi64", "k3s"))
	if err != nil {
		return err
	}
	fmt.Printf("build of rpi4 worker, locked packages in the cache to .img; CPU seconds, and seconds by the clock\n")
	fmt.Printf("  %-12s %8s %8s %8s %8s %8s   squashfs\n", "", "decode", "compress", "rest", "all", "clock")
	show := func(what string, decode, compress, all, wall time.Duration, size int64) {
		fmt.Printf("  %-12s %8.2f %8.2f %8.2f %8.2f %8.2f   %d\n", what, decode.Seconds(), compress.Seconds(), (all - decode - compress).Seconds(), all.Seconds(), wall.Seconds(), size)
	}
	var all, compress, wall, peak []float64
	var last *cold
	for i := range n {
		dir := filepath.Join(b.dir, fmt.Sprint("run", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		ours, err := b.cold(ctx, dir, l)
		if err != nil {
			return err
		}
		show("imgbuild", ours.decode, ours.compress, ours.cpu, ours.wall, ours.Root)
		c := chain{dir: dir}
		if err := c.run(ctx, l, ours.blobs, ours.Image); err != nil {
			return err
		}
		show("reference", c.decode.cpu, c.compress.cpu, c.all().cpu, c.all().wall, c.size)
		all = append(all, ours.cpu.Seconds()/c.all().cpu.Seconds())
		compress = append(compress, ours.compress.Seconds()/c.compress.cpu.Seconds())
		wall = append(wall, ours.wall.Seconds()/c.all().wall.Seconds())
		peak = append(peak, float64(ours.peak)/(1<<20))
		ours.size = float64(ours.Root) / float64(c.size)
		last = ours
		if i < n-1 {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	fmt.Printf("  medians of %d runs\n", n)
	b.row("CPU, all", median(all), 0.7, "")
	b.row("CPU, compression", median(compress), 0.5, "")
	fmt.Printf("  %-58s %8.3f\n", "clock (the reference's tools run one after the other)", median(wall))
	b.row("size of the squashfs", last.size, 1.065, "")
	b.row("peak memory", median(peak), 400, "MiB")
	b.row("init", float64(last.Init)/(1<<20), 15, "MiB")
	b.row("initramfs", float64(last.Initrd)/(1<<20), 8, "MiB")
	return b.little(ctx, n, last.cache)
}

// little measures builds that change little, with a cache that has the rest.
func (b *bench) little(ctx context.Context, n int, cache string) error {
	var same, other, packed []float64
	out := filepath.Join(b.dir, "little")
	for i := range n + 1 {
		config := filepath.Join(b.dir, "config.yaml")
		if err := os.WriteFile(config, fmt.Appendf(nil, "hostname: node%d\n", i), 0o600); err != nil {
			return err
		}
		for _, m := range []struct {
			list  *[]float64
			words []string
		}{{&other, nil}, {&same, nil}, {&packed, []string{"pack=yes"}}} {
			words := append(b.words("cache="+cache, "config="+config, "out="+out, "sign=none"), m.words...)
			if m.words != nil {
				words = slices.DeleteFunc(words, func(w string) bool { return w == "pack=no" })
			}
			u, _, err := measure(exec.CommandContext(ctx, b.program, slices.DeleteFunc(words, func(w string) bool { return w == "key=none" })...))
			if err != nil {
				return err
			}
			if i > 0 { // the first one fills the cache
				*m.list = append(*m.list, u.cpu.Seconds())
			}
		}
		if err := os.RemoveAll(out); err != nil {
			return err
		}
	}
	fmt.Printf("builds that change little, CPU seconds, medians of %d runs\n", n)
	b.row("nothing changed", median(same), 0.5, "s")
	b.row("another configuration, the .img", median(other), 1, "s")
	fmt.Printf("  %-58s %8.3f s\n", "another configuration, with .img.zst and SHA256SUMS", median(packed))
	return nil
}

// cold is what one build cost that had its packages and nothing else.
type cold struct {
	used
	result
	decode, compress time.Duration
	cache, blobs     string
	size             float64 // of the squashfs, in those of the reference
}

// cold builds with a cache that has the packages of the lock alone.
func (b *bench) cold(ctx context.Context, dir string, l *debian.Lock) (*cold, error) {
	home, err := blockcache.Default()
	if err != nil {
		return nil, err
	}
	if dir := os.Getenv("IMGBUILD_CACHE"); dir != "" {
		home = dir
	}
	c := &cold{cache: filepath.Join(dir, "cache"), blobs: filepath.Join(home, "blob")}
	for _, p := range l.Packages {
		to := filepath.Join(c.cache, "blob", p.SHA256[:2])
		if err := os.MkdirAll(to, 0o755); err != nil {
			return nil, err
		}
		// A file in the cache is never written to again.
		if err := os.Link(filepath.Join(c.blobs, p.SHA256[:2], p.SHA256), filepath.Join(to, p.SHA256)); err != nil {
			return nil, err
		}
	}
	u, out, err := measure(exec.CommandContext(ctx, b.program, b.words("cache="+c.cache, "out="+filepath.Join(dir, "out"))...))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(out, &c.result); err != nil {
		return nil, err
	}
	c.used = u
	for _, s := range c.Steps {
		switch s.Name {
		case "unpack", "kernel":
			c.decode += s.CPU
		case "squashfs":
			c.compress += s.CPU
		}
	}
	return c, nil
}

// chain is what one run of the reference tools cost, in a directory of its own.
type chain struct {
	dir                    string
	decode, compress, rest used
	size                   int64
}

// all is the whole of it; the tools run one after the other.
func (c *chain) all() used {
	return used{cpu: c.decode.cpu + c.compress.cpu + c.rest.cpu, wall: c.decode.wall + c.compress.wall + c.rest.wall}
}

func (u *used) add(more used) { u.cpu, u.wall = u.cpu+more.cpu, u.wall+more.wall }

// run runs the reference tools. The tree that mksquashfs gets is the very one of our image.
func (c *chain) run(ctx context.Context, l *debian.Lock, blobs, image string) error {
	unpacked := filepath.Join(c.dir, "unpacked")
	if err := os.Mkdir(unpacked, 0o755); err != nil {
		return err
	}
	for _, p := range l.Packages {
		d, err := reference(ctx, c.dir, "dpkg-deb", "-x", filepath.Join(blobs, p.SHA256[:2], p.SHA256), unpacked)
		if err != nil {
			return err
		}
		c.decode.add(d)
	}
	im, err := vm.OpenImage(image)
	if err != nil {
		return err
	}
	defer im.Close()
	m, err := im.Manifest(vm.SlotA)
	if err != nil {
		return err
	}
	slot := im.Partition(vm.SlotA)
	ours, root := filepath.Join(c.dir, "ours.squashfs"), filepath.Join(c.dir, "root")
	if err := section(ours, io.NewSectionReader(slot, m.Root.Offset, m.Root.Size)); err != nil {
		return err
	}
	if _, err := reference(ctx, c.dir, "unsquashfs", "-q", "-n", "-no-xattrs", "-d", root, ours); err != nil {
		return err
	}
	// The modules of the tree were unpacked too.
	modules, err := filepath.Glob(filepath.Join(unpacked, "usr/lib/modules/*/kernel"))
	if err != nil || len(modules) != 1 {
		return fmt.Errorf("the kernel package has modules in %v: %v", modules, err)
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
		return err
	}
	d, err := reference(ctx, c.dir, "xz", append([]string{"-dk"}, packed...)...)
	if err != nil {
		return err
	}
	c.decode.add(d)
	theirs := filepath.Join(c.dir, "theirs.squashfs")
	if c.compress, err = reference(ctx, c.dir, "mksquashfs", root, theirs, "-comp", "zstd", "-Xcompression-level", "15", "-b", "256K",
		"-noappend", "-all-root", "-no-progress", "-quiet", "-processors", fmt.Sprint(runtime.GOMAXPROCS(0))); err != nil {
		return err
	}
	info, err := os.Stat(theirs)
	if err != nil {
		return err
	}
	c.size = info.Size()
	return c.assemble(ctx, im, theirs)
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
func (c *chain) assemble(ctx context.Context, im *vm.Image, root string) (err error) {
	step := func(name string, args ...string) {
		if err == nil {
			var d used
			d, err = reference(ctx, c.dir, name, args...)
			c.rest.add(d)
		}
	}
	input := filepath.Join(c.dir, "input")
	if err := os.Mkdir(input, 0o755); err != nil {
		return err
	}
	kernel, err := im.ReadFile(vm.SlotA, "kernel")
	if err != nil {
		return err
	}
	for name, size := range map[string]int64{"boot.vfat": diskmap.BootSize, "slot.vfat": diskmap.SlotSize} {
		f, err := os.Create(filepath.Join(input, name))
		if err != nil {
			return err
		}
		if err := f.Truncate(size); err != nil {
			return err
		}
		f.Close()
	}
	if err := os.WriteFile(filepath.Join(c.dir, "kernel"), kernel, 0o600); err != nil {
		return err
	}
	config := `image disk.img {
	hdimage { align = 4M }
	partition boot { image = "boot.vfat" partition-type = 0xC offset = 16M }
	partition a { image = "slot.vfat" partition-type = 0x1C offset = 240M }
}
`
	if err := os.WriteFile(filepath.Join(c.dir, "genimage.cfg"), []byte(config), 0o600); err != nil {
		return err
	}
	step("mkfs.vfat", "-F", "32", "--invariant", filepath.Join(input, "boot.vfat"))
	step("mkfs.vfat", "-F", "32", "-s", "8", "--invariant", filepath.Join(input, "slot.vfat"))
	step("mcopy", "-i", filepath.Join(input, "boot.vfat"), filepath.Join(c.dir, "kernel"), "::kernel")
	step("mcopy", "-i", filepath.Join(input, "slot.vfat"), filepath.Join(c.dir, "kernel"), "::kernel")
	step("mcopy", "-i", filepath.Join(input, "slot.vfat"), root, "::root.squashfs")
	if err := os.Mkdir(filepath.Join(c.dir, "empty"), 0o755); err != nil {
		return err
	}
	step("genimage", "--config", "genimage.cfg", "--rootpath", "empty", "--inputpath", "input", "--outputpath", "images", "--tmppath", "gentmp")
	return err
}
