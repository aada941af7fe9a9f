package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"imgbuild/qemu/fixtures/lan"
	"imgbuild/qemu/vm"
)

// reach measures how long it takes from kernel entry until sshd sends its banner, on nodes of ours,
// the second one of another commit, and on the reference, with DHCP from a network of the test's
// own. First boots, which make keys and caches, do not count: all boot once, go down in order, and
// every boot that counts starts from a copy of the disk that was left then.
func (b *bench) reach(ctx context.Context, key ssh.Signer, nodes []*side, n int) error {
	m, err := b.systemd(ctx, nodes[0].options.Image, key.PublicKey())
	if err != nil {
		return fmt.Errorf("building the reference: %w", err)
	}
	systemd := &side{name: "systemd", user: "root", off: "systemctl poweroff", machine: &m}
	sides := append(slices.Clone(nodes), systemd)
	for _, s := range sides {
		if err := b.first(ctx, key, s); err != nil {
			return fmt.Errorf("first boot of %s: %w", s.name, err)
		}
	}
	for i := range n {
		for _, s := range turn(sides, i) {
			took, err := b.greeting(ctx, s)
			if err != nil {
				return fmt.Errorf("boot %d of %s: %w", i+1, s.name, err)
			}
			fmt.Printf("  boot %d: %s greets at %.2f s\n", i+1, s.name, took.Seconds())
			s.took = append(s.took, took)
		}
	}
	row := func(what string, other *side, limit float64) {
		ours, theirs := median(nodes[0].took).Seconds(), median(other.took).Seconds()
		b.row(fmt.Sprintf("kernel entry to ssh, over %s, medians of %d: %.2f/%.2f", what, n, ours, theirs), ours/theirs, limit, "")
	}
	row("systemd's", systemd, 1.0/3)
	for _, s := range nodes[1:] {
		row("that of "+s.name, s, slower)
	}
	return nil
}

// node is a side of ours.
func node(name, image string) *side {
	return &side{name: name, user: "rancher", off: "sudo poweroff", options: vm.Options{Image: image, Direct: true, Size: 4 << 30}}
}

// side is one of those that are compared.
type side struct {
	name, user, off string
	options         vm.Options
	machine         *machine // of the reference
	took            []time.Duration
}

// run starts a guest on a copy of the side's disk.
func (b *bench) run(ctx context.Context, s *side) (*vm.VM, *lan.LAN, error) {
	dir, err := b.mkdir(s.name)
	if err != nil {
		return nil, nil, err
	}
	lan, link, err := lan.New(0)
	if err != nil {
		return nil, nil, err
	}
	o := s.options
	o.Dir, o.Name, o.Memory, o.Links = dir, s.name, 1024, []*vm.Link{link}
	if s.machine != nil {
		disk := dir + "/disk.img"
		if err := vm.Copy(disk, s.machine.disk, 0); err != nil {
			return nil, nil, err
		}
		o.Machine = "virt"
		o.Args = []string{"-drive", "file=" + disk + ",format=raw,id=disk,cache=unsafe,if=none", "-device", "virtio-blk-pci,drive=disk",
			"-kernel", s.machine.kernel, "-initrd", s.machine.initrd, "-append", s.machine.args}
	}
	g, err := vm.Start(ctx, o)
	if err == nil && s.machine != nil {
		g.Disk = dir + "/disk.img"
	}
	return g, lan, err
}

// first lets a side boot once and keeps the disk that it leaves behind.
func (b *bench) first(ctx context.Context, key ssh.Signer, s *side) error {
	g, _, err := b.run(ctx, s)
	if err != nil {
		return err
	}
	defer g.Stop()
	ctx, stop := context.WithTimeout(ctx, 10*time.Minute)
	defer stop()
	sh, err := g.SSH(ctx, s.user, key)
	if err != nil {
		return err
	}
	defer sh.Close()
	if s.machine == nil {
		if _, err := g.Expect(ctx, `shelf: ready`, 10*time.Minute); err != nil {
			return err
		}
	} else {
		said, err := sh.Run(ctx, "systemctl is-system-running --wait; systemctl --failed --no-legend --plain; systemd-analyze time")
		if err != nil {
			return err
		}
		fmt.Printf("  first boot of %s: %s\n", s.name, strings.Join(strings.Split(strings.TrimSpace(said), "\n"), "; "))
	}
	_, _ = sh.Run(ctx, s.off) // the connection may end before the answer
	if err := g.Wait(ctx); err != nil {
		return err
	}
	if s.machine != nil {
		s.machine.disk = g.Disk
	} else {
		s.options.Image = g.Disk
	}
	return nil
}

// greeting boots a side and returns the time from kernel entry to sshd's first line.
func (b *bench) greeting(ctx context.Context, s *side) (time.Duration, error) {
	g, lan, err := b.run(ctx, s)
	if err != nil {
		return 0, err
	}
	defer g.Stop()
	ctx, stop := context.WithTimeout(ctx, 10*time.Minute)
	defer stop()
	at, err := lan.Banner(ctx, 22, "SSH-2.0-")
	return at.Sub(g.Entered), err
}

// median returns the one in the middle, the greater of two.
func median[T cmp.Ordered](list []T) T {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
