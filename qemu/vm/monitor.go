package vm

import (
	"context"
	"fmt"
	"maps"
	"sync"
)

// Monitor sends QEMU a line of its human monitor and returns what it prints: nothing when all is
// well. Devices come and go with Plug and Unplug.
func (v *VM) Monitor(line string) (string, error) {
	var out string
	err := v.qmp.do("human-monitor-command", map[string]any{"command-line": line}, &out)
	return out, err
}

// Plug adds a device while the guest runs. properties are those of QEMU's device_add: "bus",
// "drive" and so on.
func (v *VM) Plug(driver, id string, properties map[string]any) error {
	args := map[string]any{"driver": driver, "id": id}
	maps.Copy(args, properties)
	return v.qmp.do("device_add", args, nil)
}

// Unplug takes a device away and waits until QEMU has let it go: device_del only presses the slot's
// button, the guest answers seconds later, and until then the id is taken.
func (v *VM) Unplug(ctx context.Context, id string) error {
	before := v.qmp.removed.of(id)
	if err := v.qmp.do("device_del", map[string]any{"id": id}, nil); err != nil {
		return err
	}
	return v.qmp.removed.wait(ctx, id, before)
}

// deletions counts QEMU's DEVICE_DELETED events by the device's id.
type deletions struct {
	mu    sync.Mutex
	count map[string]int
	ended bool
	news  chan struct{} // closed at every change, and replaced
}

func (d *deletions) add(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count[id]++
	close(d.news)
	d.news = make(chan struct{})
}

func (d *deletions) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	close(d.news)
	d.news = make(chan struct{})
}

func (d *deletions) of(id string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count[id]
}

// wait waits for one more event about id than there were before.
func (d *deletions) wait(ctx context.Context, id string, before int) error {
	for {
		d.mu.Lock()
		done, ended, news := d.count[id] > before, d.ended, d.news
		d.mu.Unlock()
		switch {
		case done:
			return nil
		case ended:
			return fmt.Errorf("QEMU ended before it let the device %s go", id)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("QEMU does not let the device %s go: %w", id, ctx.Err())
		}
	}
}
