package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"imgbuild/qemu/vm"
)

// settled is how long after the first login a node has come to rest.
const settled = time.Minute

// memory measures a node of 512 MB that runs sshd and node-exporter, and nothing that its role
// would add: what of the machine is not available for anything else, as node-exporter reports it
// while nobody is logged in, and what PID 1 has in memory.
func (b *bench) memory(ctx context.Context, key ssh.Signer, disk string) error {
	const exporter = 9100
	g, err := b.start(ctx, "memory", vm.Options{Image: disk, Memory: 512, Ports: []int{exporter}})
	if err != nil {
		return err
	}
	defer g.Stop()
	sh, err := g.SSH(ctx, "rancher", key)
	if err != nil {
		return err
	}
	sh.Close()
	select {
	case <-time.After(settled):
	case <-ctx.Done():
		return ctx.Err()
	}
	total, err := metric(ctx, g.Forward[exporter], "node_memory_MemTotal_bytes")
	if err != nil {
		return err
	}
	free, err := metric(ctx, g.Forward[exporter], "node_memory_MemAvailable_bytes")
	if err != nil {
		return err
	}
	if sh, err = g.SSH(ctx, "rancher", key); err != nil {
		return err
	}
	defer sh.Close()
	text, err := sh.Run(ctx, `for p in /proc/[0-9]*; do sed -n "s/^VmRSS:[^0-9]*/$(cat $p/comm) /p" $p/status; done 2>/dev/null; true`)
	if err != nil {
		return err
	}
	var kib float64
	if _, err := fmt.Sscanf(text, "init %f", &kib); err != nil {
		return fmt.Errorf("the first process is not init: %q: %w", text, err)
	}
	fmt.Printf("a node of 512 MB at rest: %s\n", strings.Join(strings.Split(strings.TrimSpace(strings.ReplaceAll(text, " kB", " KiB")), "\n"), ", "))
	b.row("memory of init (VmRSS)", kib*1024/1e6, 20, "MB")
	b.row("memory in use (MemTotal - MemAvailable)", (total-free)/1e6, 60, "MB")
	return nil
}

// metric asks node-exporter for one value.
func metric(ctx context.Context, host, name string) (float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var value float64
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			_, err := fmt.Sscan(rest, &value)
			return value, err
		}
	}
	return 0, fmt.Errorf("node-exporter does not report %s", name)
}

// start starts a guest with a directory of its own, its kernel without firmware, on a card of 4
// GiB.
func (b *bench) start(ctx context.Context, name string, o vm.Options) (*vm.VM, error) {
	dir, err := b.mkdir(name)
	if err != nil {
		return nil, err
	}
	o.Name, o.Dir, o.Direct, o.Size = name, dir, true, 4<<30
	return vm.Start(ctx, o)
}
