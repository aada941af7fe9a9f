package main

import (
	"context"

	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/bundle"
	plan "imgbuild/builder/order"
	"imgbuild/qemu/fixtures/nodeflags"
	"imgbuild/qemu/tool"
)

// pairBoard is what the pairs of versions are built for.
var pairBoard = []string{"board=qemu-arm64", "role=worker"}

// pair is two versions of the system, and what they are allowed to cost.
type pair struct {
	name, what string
	pin        []string // of the old one: PACKAGE=VERSION; the new one has the newest
	otherInit  bool     // the old one has the init of an earlier commit

	most   float64 // MB over the wire
	chunks float64 // of content-defined chunks
	patch  float64 // of zstd --patch-from; 0 = printed only
}

// upgrade compares deltas between versions that the archive has at the same time with two methods
// that know nothing of the formats.
func (b *bench) upgrade(ctx context.Context) error {
	pairs, err := b.pairs(ctx)
	if err != nil {
		return err
	}
	newest, err := b.locked(ctx, "new", nil)
	if err != nil {
		return err
	}
	image, err := b.slot(ctx, b.program, "new", newest)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if err := b.pair(ctx, p, image); err != nil {
			return fmt.Errorf("pair %s: %w", p.name, err)
		}
	}
	return nil
}

// pairs finds versions that the archive offers now.
func (b *bench) pairs(ctx context.Context) ([]pair, error) {
	r, t, err := plan.Open(plan.Plan{Board: "qemu-arm64", Role: "worker"}, quiet{})
	if err != nil {
		return nil, err
	}
	ix, err := t.Client.Index(ctx, r.Family.Arch, r.Request().Suites)
	if err != nil {
		return nil, err
	}
	before := func(name string) (string, error) {
		v := ix.Versions(name)
		if len(v) < 2 {
			return "", fmt.Errorf("the archive has %s in one version only, %s: there is no pair today", name, strings.Join(v, ", "))
		}
		fmt.Printf("%s: %s, before it %s\n", name, v[0], v[1])
		return name + "=" + v[1], nil
	}
	kernel, err := before("linux-image-arm64")
	if err != nil {
		return nil, err
	}
	var ssl []string
	for _, name := range []string{"openssl", "libssl3t64"} {
		pin, err := before(name)
		if err != nil {
			return nil, err
		}
		ssl = append(ssl, pin)
	}
	return []pair{
		{"K", "another kernel", []string{kernel}, false, 4, 0.12, 0.6},
		{"S", "another openssl", ssl, false, 1, 0.15, 0},
		{"R", "both, and another init", append(slices.Clone(ssl), kernel), true, 5, 0, 0},
	}, nil
}

type quiet struct{}

func (quiet) Progress(string, int64, int64) {}
func (quiet) Warn(...string)                {}

// locked writes a lock with pinned versions, prints what it differs in and returns its file.
func (b *bench) locked(ctx context.Context, name string, pin []string) (string, error) {
	file := filepath.Join(b.dir, name+".lock")
	words := append(append([]string{"lock"}, pairBoard...), "file="+file)
	if len(pin) > 0 {
		words = append(words, "pin="+strings.Join(pin, ","))
	}
	_, out, err := measure(exec.CommandContext(ctx, b.program, words...))
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	fmt.Println("  lock:", lines[len(lines)-1])
	return file, err
}

// slot builds an image of a lock.
func (b *bench) slot(ctx context.Context, program, name, lock string) (string, error) {
	words := append(slices.Clone(pairBoard), "k3s=none", "pack=no", "sign=none", "output=json", "lock="+lock, "out="+filepath.Join(b.dir, name))
	_, out, err := measure(exec.CommandContext(ctx, program, words...))
	if err != nil {
		return "", err
	}
	var res result
	if err := json.Unmarshal(out, &res); err != nil {
		return "", err
	}
	return res.Image, nil
}

// pair measures one pair.
func (b *bench) pair(ctx context.Context, p pair, newImage string) error {
	fmt.Printf("pair %s: %s (%s)\n", p.name, p.what, strings.Join(p.pin, ", "))
	lock, err := b.locked(ctx, "old-"+p.name, p.pin)
	if err != nil {
		return err
	}
	program := b.program
	if p.otherInit {
		if program, err = earlier(ctx, b.dir); err != nil {
			return err
		}
	}
	oldImage, err := b.slot(ctx, program, "old-"+p.name, lock)
	if err != nil {
		return err
	}
	file, making, err := b.make(ctx, p.name, oldImage, newImage)
	if err != nil {
		return err
	}
	applied, applying, err := applyApart(ctx, file, oldImage)
	if err != nil {
		return err
	}
	old, err := bundle.OpenFile(oldImage)
	if err != nil {
		return err
	}
	defer old.Close()
	fresh, err := bundle.OpenFile(newImage)
	if err != nil {
		return err
	}
	defer fresh.Close()
	chunked, err := chunks(old, fresh)
	if err != nil {
		return err
	}
	patched, err := patchFrom(ctx, b.dir, old, fresh)
	if err != nil {
		return err
	}
	mb := func(n int64) float64 { return float64(n) / 1e6 }
	fmt.Printf("  slot %.2f MB; ours %.3f MB (delta %.3f, whole %.3f, head %.3f), 16 KiB chunks of the slot %.2f MB, zstd -19 --patch-from of the contents %.2f MB\n",
		mb(fresh.Size), mb(applied.wire()), mb(applied.Delta), mb(applied.Fetched), mb(applied.Head), mb(chunked), mb(patched))
	fmt.Printf("  making %.1f CPU s, %.0f MB; applying %.1f CPU s, %.0f MB\n", making.cpu.Seconds(), mb(making.peak), applying.cpu.Seconds(), mb(applying.peak))
	b.row(p.name+": MB over the wire", mb(applied.wire()), p.most, "MB")
	ratio := func(what string, other int64, limit float64) {
		if r := float64(applied.wire()) / float64(other); limit > 0 {
			b.row(p.name+": "+what, r, limit, "")
		} else {
			fmt.Printf("  %-58s %8.3f\n", p.name+": "+what, r)
		}
	}
	ratio("of 16 KiB chunks", chunked, p.chunks)
	ratio("of zstd -19 --patch-from", patched, p.patch)
	b.row(p.name+": making, CPU", making.cpu.Seconds(), 10, "s")
	b.row(p.name+": making, peak memory", mb(making.peak), 600, "MB")
	b.row(p.name+": applying, CPU", applying.cpu.Seconds(), 6, "s")
	b.row(p.name+": applying, peak memory", mb(applying.peak), 40, "MB")
	return nil
}

// make makes the bundle with the delta in a process of its own, with an empty cache.
func (b *bench) make(ctx context.Context, name, oldImage, newImage string) (file string, u used, err error) {
	key := filepath.Join(b.dir, "key")
	if _, err := os.Stat(key); err != nil {
		if _, _, err := measure(exec.CommandContext(ctx, b.program, "keygen", "key="+key, "passphrase=no")); err != nil {
			return "", u, err
		}
	}
	file = filepath.Join(b.dir, name+".upgrade")
	cache := filepath.Join(b.dir, "cache-"+name)
	if _, err := blockcache.Open(cache); err != nil {
		return "", u, err
	}
	u, _, err = measure(exec.CommandContext(ctx, b.program, "bundle", newImage, "from="+oldImage, "sign="+key, "out="+file, "cache="+cache))
	return file, u, err
}

// earlier builds an imgbuild with the programs of the node of an earlier commit of this repository,
// but all else as it is now. Up to c808147 both were one.
func earlier(ctx context.Context, dir string) (string, error) {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", args...).Output()
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("log", "-1", "--skip=1", "--format=%H %h %s", "--", "cmd/init", "cmd/shelf", "init")
	if err != nil {
		return "", err
	}
	hash, title, _ := strings.Cut(commit, " ")
	fmt.Printf("  the old init and shelf are those of %s\n", title)
	tree := filepath.Join(dir, "earlier")
	if _, err := git("worktree", "add", "--detach", tree, hash); err != nil {
		return "", err
	}
	defer git("worktree", "remove", "--force", tree)
	flags, err := nodeflags.Read("Makefile")
	if err != nil {
		return "", err
	}
	build := func(where, out, pkg string, more ...string) error {
		cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out}, append(more, pkg)...)...)
		cmd.Dir = where
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if where != "" {
			cmd.Env = append(cmd.Env, "GOOS=linux", "GOARCH=arm64")
		}
		_, _, err := measure(cmd)
		return err
	}
	replace := map[string]string{}
	for _, name := range []string{"init", "shelf"} {
		program, from := filepath.Join(dir, name+"-earlier"), "./cmd/"+name
		if _, err := os.Stat(filepath.Join(tree, from)); errors.Is(err, fs.ErrNotExist) {
			from = "./cmd/init"
		}
		if err := build(tree, program, from, flags...); err != nil {
			return "", err
		}
		embedded, err := filepath.Abs("builder/image/programs/" + name + "-arm64")
		if err != nil {
			return "", err
		}
		replace[embedded] = program
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return "", err
	}
	out := filepath.Join(dir, "imgbuild-earlier")
	return out, build("", out, "./cmd/imgbuild", "-overlay", overlay)
}

// patchFrom returns the size of what zstd makes of the contents of two slots.
func patchFrom(ctx context.Context, dir string, old, fresh *bundle.Slot) (int64, error) {
	names := []string{filepath.Join(dir, "contents-old"), filepath.Join(dir, "contents-new"), filepath.Join(dir, "patch")}
	for i, s := range []*bundle.Slot{old, fresh} {
		f, err := os.Create(names[i])
		if err != nil {
			return 0, err
		}
		err = contents(f, s)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return 0, err
		}
	}
	cmd, err := tool.Command(ctx, "zstd", "-q", "-f", "-19", "--long=28", "--patch-from="+names[0], names[1], "-o", names[2])
	if err != nil {
		return 0, err
	}
	if _, _, err := measure(cmd); err != nil {
		return 0, err
	}
	info, err := os.Stat(names[2])
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
