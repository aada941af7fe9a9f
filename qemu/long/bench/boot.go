package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"time"

	"golang.org/x/crypto/ssh"

	"imgbuild/qemu/fixtures/lan"
	"imgbuild/qemu/vm"
)

// boot measures, on the kernel's own clock, how long it takes from kernel entry to /init and to the
// exec of k3s, with DHCP and time from a LAN of the test's own.
func (b *bench) boot(ctx context.Context, n int) error {
	standin := filepath.Join(b.dir, "standin")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", standin, "./qemu/fixtures/standin")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	key, config, err := b.owner()
	if err != nil {
		return err
	}
	image, err := b.image(ctx, "board=qemu-arm64", "role=server", "k3s="+standin, "config="+config)
	if err != nil {
		return err
	}
	// The first boot of a card makes keys and grows its data partition; it is shown, the boots
	// after it count.
	var ratios []float64
	for i := range n + 1 {
		entry, k3s, err := bootOnce(ctx, key, &image, filepath.Join(b.dir, fmt.Sprint("guest", i)))
		if err != nil {
			return err
		}
		fmt.Printf("  boot %d: /init at %.2f s, k3s at %.2f s\n", i, entry, k3s)
		if i > 0 {
			ratios = append(ratios, k3s/entry)
		}
	}
	sort.Float64s(ratios)
	b.row(fmt.Sprintf("kernel entry to k3s, over to /init, median of %d", n), ratios[len(ratios)/2], 2.5, "")
	return nil
}

// bootOnce gives when /init and k3s were started, in seconds of the kernel's clock: the line in its
// log, and the start time of the process in /proc (in ticks of 1/100 s, proc(5)). disk becomes the
// one that the guest leaves behind.
func bootOnce(ctx context.Context, key ssh.Signer, disk *string, dir string) (entry, k3s float64, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, 0, err
	}
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
	text, err := sh.Run(ctx, `sudo dmesg | sed -n 's/^\[ *\([0-9.]*\)\] Run \/init as.*/\1/p'; for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = k3s ] && cut -d' ' -f22 $p/stat; done | sort -n | head -n 1`)
	if err != nil {
		return 0, 0, err
	}
	var ticks float64
	if _, err := fmt.Sscan(text, &entry, &ticks); err != nil {
		return 0, 0, fmt.Errorf("the guest says %q: %w", text, err)
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

// image builds an image and gives its file.
func (b *bench) image(ctx context.Context, words ...string) (string, error) {
	out, err := b.mkdir("image")
	if err != nil {
		return "", err
	}
	_, text, err := measure(exec.CommandContext(ctx, b.program, append(words, "output=json", "pack=no", "out="+out)...))
	if err != nil {
		return "", err
	}
	var res result
	err = json.Unmarshal(text, &res)
	return res.Image, err
}

// mkdir makes a new directory.
func (b *bench) mkdir(name string) (string, error) { return os.MkdirTemp(b.dir, name+"-") }
