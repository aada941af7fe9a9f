// Package ubootstates boots states of a disk after a power cut on the real U-Boot in QEMU, and
// compares the slot that it starts and the record that it leaves with those of the model of
// boot.scr.
package ubootstates

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"imgbuild/init/contract/bootstate"
	"imgbuild/qemu/long/powercut"
	"imgbuild/qemu/vm"
)

// Where the slots of an image begin, in bytes, and how much of one is copied.
const (
	slotA  = 240 << 20
	slotB  = 880 << 20
	system = 320 << 20
)

// patience is for U-Boot to load a slot; it only ends what hangs.
const patience = 4 * time.Minute

// Run boots samples one after the other on a guest whose two slots hold the system of image, and
// gives what is wrong. The guest is halted before the kernel it loaded does anything.
func Run(ctx context.Context, image, dir string, samples []powercut.Sample, say func(format string, args ...any)) (wrong []string, err error) {
	guest, err := vm.Start(ctx, vm.Options{Image: image, Dir: dir, Name: "states", Machine: "virt", Offline: true})
	if err != nil {
		return nil, err
	}
	defer guest.Stop()
	disk, err := os.OpenFile(guest.Disk, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer disk.Close()
	if _, err := chosen(ctx, guest); err != nil { // on what the image holds
		return nil, err
	}
	first := make([]byte, powercut.Sector)
	if _, err := disk.ReadAt(first, slotA); err != nil {
		return nil, err
	}
	if err := copySlot(disk); err != nil {
		return nil, err
	}
	for i, s := range samples {
		if err := prepare(disk, s, first); err != nil {
			return wrong, err
		}
		if err := guest.Reset(); err != nil {
			return wrong, err
		}
		if err := order(guest, "cont"); err != nil {
			return wrong, err
		}
		slot, err := chosen(ctx, guest)
		if err != nil {
			return wrong, fmt.Errorf("%s: %w", s.Name, err)
		}
		if problem, err := judge(disk, s, slot); err != nil {
			return wrong, err
		} else if problem != "" {
			wrong = append(wrong, s.Name+": "+problem)
		}
		say("%d of %d: %s: slot %s", i+1, len(samples), s.Name, slot)
	}
	return wrong, nil
}

// chosen waits until U-Boot has loaded a slot and halts the guest: the kernel does nothing.
func chosen(ctx context.Context, guest *vm.VM) (slot string, err error) {
	m, err := guest.Expect(ctx, `shelf: booting slot ([ab])`, patience)
	if err != nil {
		return "", err
	}
	return m[1], order(guest, "stop")
}

// order gives QEMU an order that it answers with nothing.
func order(guest *vm.VM, line string) error {
	out, err := guest.Monitor(line)
	if err == nil && out != "" {
		err = fmt.Errorf("QEMU's answer to %s: %s", line, out)
	}
	return err
}

// copySlot puts slot a's system into slot b.
func copySlot(disk *os.File) error {
	buf, zero := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); at < system; at += int64(len(buf)) {
		if _, err := disk.ReadAt(buf, slotA+at); err != nil {
			return err
		}
		if bytes.Equal(buf, zero) {
			continue
		}
		if _, err := disk.WriteAt(buf, slotB+at); err != nil {
			return err
		}
	}
	return nil
}

// prepare writes what U-Boot looks at.
func prepare(disk *os.File, s powercut.Sample, first []byte) error {
	for at, sector := range map[int64][]byte{
		bootstate.Copy0: s.Record[0], bootstate.Copy1: s.Record[1], slotA: s.First[0].Of(first), slotB: s.First[1].Of(first),
	} {
		if _, err := disk.WriteAt(sector, at); err != nil {
			return err
		}
	}
	return nil
}

// judge compares the slot that was started and the record that is on the disk with the oracle's.
func judge(disk *os.File, s powercut.Sample, slot string) (problem string, err error) {
	var got [2][]byte
	for i, at := range []int64{bootstate.Copy0, bootstate.Copy1} {
		got[i] = make([]byte, bootstate.Size)
		if _, err := disk.ReadAt(got[i], at); err != nil {
			return "", err
		}
	}
	for _, o := range s.Boots {
		if o.Slot == slot && bytes.Equal(got[0], o.Record[0]) && bytes.Equal(got[1], o.Record[1]) {
			return "", nil
		}
	}
	list := ""
	for _, o := range s.Boots {
		list += fmt.Sprintf("; slot %s, %q, %q", o.Slot, text(o.Record[0]), text(o.Record[1]))
	}
	return fmt.Sprintf("U-Boot starts slot %s and leaves %q, %q; the oracle expects%s", slot, text(got[0]), text(got[1]), list), nil
}

// text is a record's sector without the zeros behind it.
func text(sector []byte) []byte { return bytes.TrimRight(sector, "\x00") }
