package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"encoding/json"

	"imgbuild/qemu/vm"
)

// boot measures, on the kernel's own clock, how long it takes from kernel entry to /init and to the exec of k3s, with
// DHCP and time from a LAN of the test's own.
func (b *bench) boot(ctx context.Context, n int) error {
	standin := filepath.Join(b.dir, "standin")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", standin, "./qemu/standin")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	config := filepath.Join(b.dir, "config.yaml")
	if err := os.WriteFile(config, []byte("k3os: {token: bench, server_url: 'https://10.0.2.2:6443'}\n"), 0o600); err != nil {
		return err
	}
	_, out, err := measure(exec.CommandContext(ctx, b.program, "board=qemu-arm64", "role=worker", "k3s="+standin, "config="+config, "output=json", "out="+filepath.Join(b.dir, "bootout")))
	if err != nil {
		return err
	}
	var res result
	if err := json.Unmarshal(out, &res); err != nil {
		return err
	}
	var ratios []float64
	for i := range n {
		entry, k3s, err := bootOnce(ctx, res.Image, filepath.Join(b.dir, fmt.Sprint("guest", i)))
		if err != nil {
			return err
		}
		fmt.Printf("  boot %d: /init at %.2f s, k3s exec at %.2f s\n", i+1, entry, k3s)
		ratios = append(ratios, k3s/entry)
	}
	sort.Float64s(ratios)
	b.row(fmt.Sprintf("kernel entry to k3s, over to /init, median of %d", n), ratios[len(ratios)/2], 2.5, "")
	return nil
}

func bootOnce(ctx context.Context, image, dir string) (entry, k3s float64, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, 0, err
	}
	_, link, err := vm.NewLAN(0)
	if err != nil {
		return 0, 0, err
	}
	g, err := vm.Start(ctx, vm.Options{Image: image, Dir: dir, Direct: true, Size: 4 << 30, Offline: true, Links: []*vm.Link{link}})
	if err != nil {
		return 0, 0, err
	}
	defer g.Stop()
	at := func(pattern string) (float64, error) {
		m, err := g.Expect(ctx, `\[\s*(\d+\.\d+)\] `+pattern, 5*time.Minute)
		if err != nil {
			return 0, err
		}
		return strconv.ParseFloat(strings.TrimSpace(m[1]), 64)
	}
	if entry, err = at(`Run /init as init process`); err != nil {
		return 0, 0, err
	}
	k3s, err = at(`shelf: service k3s starts`)
	return entry, k3s, err
}
