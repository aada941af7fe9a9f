package main

import "context"

// node measures a node at rest and how soon it can be reached, next to systemd.
func (b *bench) node(ctx context.Context, n int) error {
	key, config, err := b.owner()
	if err != nil {
		return err
	}
	disk, err := b.image(ctx, b.program, "board=qemu-arm64", "role=worker", "k3s=none", "config="+config)
	if err != nil {
		return err
	}
	if err := b.memory(ctx, key, disk); err != nil {
		return err
	}
	return b.reach(ctx, key, []*side{node("ours", disk)}, n)
}
