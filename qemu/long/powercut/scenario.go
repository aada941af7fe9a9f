package powercut

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/upgrade/slot"
)

// The slots of the model are where those of a card are; their systems are smaller than a real
// one's, whose size is an image's own.
const (
	slotA = diskmap.SlotA
	slotB = diskmap.SlotB
)

// A system fills a slot with random bytes, a chunk at a time.
func newSystem(rng *rand.Rand, size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())}).Read(data) // never fails
	return data
}

const chunk = 1 << 20

func fill(data []byte) slot.System {
	return slot.System{Size: int64(len(data)), SHA256: sha256.Sum256(data), Fill: func(_ context.Context, p slot.Partition, _ bool) (first [slot.Sector]byte, err error) {
		for at := slot.Sector; at < len(data); {
			n := min(chunk-at%chunk, len(data)-at)
			if _, err := p.WriteAt(data[at:at+n], int64(at)); err != nil {
				return first, err
			}
			at += n
		}
		copy(first[:], data)
		return first, nil
	}}
}

// A scenario is a disk, what is done to it, and what must hold meanwhile.
type scenario struct {
	name   string
	disk   *Disk
	ops    []op
	images []image
	// want returns what must hold once these operations have returned, or all. A write returns
	// before it is on the medium.
	want func(done []op, all bool) expectation
}

const (
	imageOld  = iota // runs, in slot a
	imagePrev        // was in slot b before
	imageNew         // is written to slot b
)

var (
	inA      = [2]int{0, imageOld}
	inB      = [2]int{1, imageNew}
	inBprev  = [2]int{1, imagePrev}
	areaSize = int64(diskmap.SlotSize)
)

// rig is a disk with a running system in slot a and another one, which ran before it, in slot b.
type rig struct {
	disk   *Disk
	new    []byte
	images []image
}

func newRig(rng *rand.Rand, size int) (*rig, error) {
	r := &rig{disk: NewDisk()}
	for i := range 3 {
		s := newSystem(rng, size)
		var m image
		for at := 0; at < size; at += Sector {
			m = append(m, r.disk.intern(s[at:at+Sector]))
		}
		r.images = append(r.images, m)
		if i == imageNew {
			r.new = s
		} else if _, err := r.disk.WriteAt(s, []int64{slotA, slotB}[i]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// with returns a copy of the disk whose record has this state of slot b.
func (r *rig) with(state string) (*Disk, error) {
	d := &Disk{contents: r.disk.contents, now: r.disk.now.clone()}
	rec := bootstate.Fresh(bootstate.A)
	rec.B, rec.Seq = state, 41
	_, err := bootstate.Store(d, rec)
	return d, err
}

// scenarios are the life of an upgrade: written and armed; tried and committed; tried and given up.
func scenarios(rng *rand.Rand, size int) (all []scenario, err error) {
	r, err := newRig(rng, size)
	if err != nil {
		return nil, err
	}
	for _, prev := range []string{bootstate.Good, bootstate.Empty} {
		d, err := r.with(prev)
		if err != nil {
			return nil, err
		}
		before := []([2]int){inA}
		if prev == bootstate.Good {
			before = append(before, inBprev) // when a uses up its attempts
		}
		d.Record()
		if err := upgrade(d, r.new); err != nil {
			return nil, err
		}
		ops := d.ops
		ops[len(ops)-2].arms = true // before the last flush
		all = append(all, scenario{"upgrade, slot b " + prev, d, ops, r.images, func(done []op, all bool) expectation {
			e := expectation{may: append([][2]int{inA, inB}, before[1:]...), first: [][2]int{inA, inB}}
			switch {
			case all:
				e.first = [][2]int{inB}
			case !slices.ContainsFunc(done, func(o op) bool { return o.arms }):
				e.first = [][2]int{inA}
				e.may = before
			}
			return e
		}})
	}
	for _, name := range []string{"commit", "rollback"} {
		d, err := r.with(bootstate.Empty)
		if err != nil {
			return nil, err
		}
		if err := upgrade(d, r.new); err != nil {
			return nil, err
		}
		d.Record()
		if _, err := d.boot(); err != nil {
			return nil, err
		}
		end := inB
		if name == "commit" {
			_, err = bootstate.Healthy(d, bootstate.B)
		} else {
			_, err = bootstate.Rollback(d, "health: k3s")
			end = inA
		}
		if err != nil {
			return nil, err
		}
		ops := d.ops
		all = append(all, scenario{name, d, ops, r.images, func(_ []op, all bool) expectation {
			e := expectation{may: [][2]int{inA, inB}}
			if all {
				e.first = [][2]int{end}
			}
			if all && end == inA {
				e.may = [][2]int{inA}
			}
			return e
		}})
	}
	return all, nil
}

// upgrade is what a node does, in its order.
func upgrade(d *Disk, system []byte) error {
	if _, err := bootstate.Forget(d, bootstate.B); err != nil {
		return err
	}
	if err := slot.Write(context.Background(), d, slot.Area{Start: slotB, Size: areaSize}, fill(system), nil); err != nil {
		return err
	}
	_, err := bootstate.Arm(d, bootstate.B)
	return err
}

// boot is U-Boot's part: the script runs, what it writes to the record is on the medium when it
// goes on, and a slot starts.
func (d *Disk) boot() (running int, err error) {
	o := newOracle(d)
	q := question{copies: [2]id{d.now.get(bootstate.Copy0 / Sector), d.now.get(bootstate.Copy1 / Sector)}}
	for i, at := range []int64{slotA, slotB} {
		q.loads[i] = d.now.get(at/Sector) != zeros
	}
	b := o.ask(q)[0]
	if b.slot < 0 {
		return -1, fmt.Errorf("nothing starts: %s", b.end)
	}
	for _, i := range b.writes {
		if _, err := d.WriteAt(b.copies[i], []int64{bootstate.Copy0, bootstate.Copy1}[i]); err != nil {
			return -1, err
		}
		if err := d.Flush(); err != nil {
			return -1, err
		}
	}
	return b.slot, nil
}
