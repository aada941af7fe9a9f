package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/lan"
	"imgbuild/qemu/vm"
)

// slower is how much slower than the other commit a boot and ssh may be.
const slower = 1.05

// boot measures, on the kernel's own clock, how long it takes from kernel entry to /init and to the
// exec of k3s, with DHCP and time from a LAN of the test's own. With a commit it measures what that
// one builds as well, in turn, and ssh of both.
func (b *bench) boot(ctx context.Context, n int, against string) error {
	key, config, err := b.owner()
	if err != nil {
		return err
	}
	builds := []*build{{name: "ours", program: b.program, source: "."}}
	if against != "" {
		other, err := b.other(ctx, ".", against)
		if err != nil {
			return err
		}
		builds = append(builds, other)
	}
	for _, v := range builds {
		standin, err := b.standin(ctx, v)
		if err != nil {
			return err
		}
		if v.disk, err = b.image(ctx, v.program, "board=qemu-arm64", "role=server", "k3s="+standin, "config="+config); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	// The first boot of a card makes keys and grows its data partition; it is shown, the boots
	// after it count.
	for i := range n + 1 {
		for _, v := range turn(builds, i) {
			dir, err := b.mkdir("guest")
			if err != nil {
				return err
			}
			entry, k3s, err := bootOnce(ctx, key, &v.disk, dir)
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			fmt.Printf("  boot %d of %s: /init at %.2f s, k3s at %.2f s\n", i, v.name, entry, k3s)
			if i > 0 {
				v.figures = append(v.figures, k3s/entry)
			}
		}
	}
	what := fmt.Sprintf("kernel entry to k3s, over to /init, median of %d", n)
	ours := median(builds[0].figures)
	b.row(what, ours, 2.5, "")
	if against == "" {
		return nil
	}
	theirs := median(builds[1].figures)
	b.row(fmt.Sprintf("the same, over that of %s: %.3f/%.3f", builds[1].name, ours, theirs), ours/theirs, slower, "")
	var sides []*side
	for _, v := range builds {
		disk, err := b.image(ctx, v.program, "board=qemu-arm64", "role=worker", "k3s=none", "config="+config)
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		sides = append(sides, node(v.name, disk))
	}
	return b.reach(ctx, key, sides, n)
}

// build is what one commit builds.
type build struct {
	name, program, source, disk string
	figures                     []float64 // per boot: time to k3s over time to /init
}

// standin builds the commit's own stand-in for k3s: it does what that commit's init
// asks of it. It was in qemu/standin before qemu had folders.
func (b *bench) standin(ctx context.Context, v *build) (string, error) {
	file, dir := filepath.Join(b.dir, "standin-"+v.name), "./qemu/fixtures/standin"
	if _, err := os.Stat(filepath.Join(v.source, dir)); err != nil {
		dir = "./qemu/standin"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", file, dir)
	cmd.Dir = v.source
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the k3s of %s: %w\n%s", v.name, err, out)
	}
	return file, nil
}

// turn returns the order of round i: a machine that gets busy does so for both sides, and none of
// them always comes first.
func turn[T any](list []T, i int) []T {
	list = slices.Clone(list)
	if i%2 == 1 {
		slices.Reverse(list)
	}
	return list
}

// other builds the programs of a commit of the repository in a copy of its own.
func (b *bench) other(ctx context.Context, repository, commit string) (*build, error) {
	git := func(words ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", words...).Output()
		return strings.TrimSpace(string(out)), err
	}
	sum, err := git("-C", repository, "rev-parse", "--verify", "--quiet", "--end-of-options", commit+"^{commit}")
	if err != nil {
		return nil, fault.Wrap(err, fault.Usage, "name a commit, a branch or a tag of this repository", "against=%s", commit)
	}
	dir := filepath.Join(b.dir, "other")
	if _, err := git("clone", "--quiet", "--shared", "--no-checkout", repository, dir); err != nil {
		return nil, fmt.Errorf("copying the repository: %w", err)
	}
	if _, err := git("-C", dir, "checkout", "--quiet", "--detach", sum); err != nil {
		return nil, fmt.Errorf("checking out %s: %w", commit, err)
	}
	if out, err := exec.CommandContext(ctx, "make", "-C", dir, "bin/imgbuild").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building %s: %w\n%s", commit, err, out)
	}
	return &build{name: sum[:7], program: filepath.Join(dir, "bin/imgbuild"), source: dir}, nil
}

// bootOnce returns when /init and k3s were started, in seconds of the kernel's clock: the line in
// its log, and the start time of the process in /proc (in ticks of 1/100 s, proc(5)). disk becomes
// the one that the guest leaves behind.
func bootOnce(ctx context.Context, key ssh.Signer, disk *string, dir string) (entry, k3s float64, err error) {
	_, link, err := lan.New(0)
	if err != nil {
		return 0, 0, err
	}
	g, err := vm.Start(ctx, vm.Options{Image: *disk, Dir: dir, Direct: true, Size: 4 << 30, Memory: 2048, Links: []*vm.Link{link}})
	if err != nil {
		return 0, 0, err
	}
	defer g.Stop()
	if _, err := g.Expect(ctx, `shelf: ready`, 10*time.Minute); err != nil {
		return 0, 0, err
	}
	sh, err := g.SSH(ctx, "rancher", key)
	if err != nil {
		return 0, 0, err
	}
	defer sh.Close()
	text, err := sh.Run(ctx, `sudo dmesg | sed -n 's/^\[ *\([0-9.]*\)\] Run \/init as.*/\1/p'; for p in /proc/[0-9]*; do case $(cat $p/comm 2>/dev/null) in k3s|k3s-server) cut -d' ' -f22 $p/stat;; esac; done | sort -n | head -n 1`)
	if err != nil {
		return 0, 0, err
	}
	var ticks float64
	if _, err := fmt.Sscan(text, &entry, &ticks); err != nil {
		return 0, 0, fmt.Errorf("the guest prints %q: %w", text, err)
	}
	_, _ = sh.Run(ctx, "sudo poweroff") // the connection may end before the answer
	if err := g.Wait(ctx); err != nil {
		return 0, 0, err
	}
	*disk = g.Disk
	return entry, ticks / 100, nil
}

// owner makes a key and the config.yaml of a node that lets it in.
func (b *bench) owner() (ssh.Signer, string, error) {
	key, line, err := vm.NewKey()
	if err != nil {
		return nil, "", err
	}
	config := filepath.Join(b.dir, "config.yaml")
	return key, config, os.WriteFile(config, []byte("ssh_authorized_keys:\n- "+line+"\n"), 0o600)
}

// image builds an image with an imgbuild and returns its file.
func (b *bench) image(ctx context.Context, program string, words ...string) (string, error) {
	out, err := b.mkdir("image")
	if err != nil {
		return "", err
	}
	_, text, err := measure(exec.CommandContext(ctx, program, append(words, "output=json", "pack=no", "out="+out)...))
	if err != nil {
		return "", err
	}
	var res result
	err = json.Unmarshal(text, &res)
	return res.Image, err
}

// mkdir makes a new directory.
func (b *bench) mkdir(name string) (string, error) { return os.MkdirTemp(b.dir, name+"-") }
