// Package powercut explores what a power cut leaves of an upgrade: a disk that records what is
// written to it, the states that its medium may be in at each moment, and an oracle that runs
// boot.scr on each of them.
package powercut

import (
	"fmt"
	"io"
	"slices"
)

// Sector is the unit that a disk writes, Area what an SD card may lose together when its power
// fails, in bytes.
const (
	Sector = 512
	Area   = 4 << 20
)

// An id names the content of a sector; equal contents have one id.
type id = uint32

// The first two contents of every disk: an erased sector reads as zeros or as ones.
const (
	zeros id = iota
	ones
)

// An op is a write of sectors that follow each other, or a flush when there are none.
type op struct {
	sector int64
	ids    []id
	arms   bool // a trial
}

func (o op) flush() bool { return o.ids == nil }

// Disk is a simulated disk. Reads give what was written last; Ops are the writes and
// flushes since Record.
type Disk struct {
	*contents
	now   medium
	start medium // when recording began
	ops   []op
}

// contents numbers the contents of sectors. Disks that share images share it.
type contents struct {
	list  [][]byte
	names map[string]id
}

// NewDisk is a disk of zeros. It has no end.
func NewDisk() *Disk {
	d := &Disk{contents: &contents{names: map[string]id{}}}
	d.intern(make([]byte, Sector))
	one := make([]byte, Sector)
	for i := range one {
		one[i] = 0xff
	}
	d.intern(one)
	return d
}

func (c *contents) intern(sector []byte) id {
	if n, ok := c.names[string(sector)]; ok {
		return n
	}
	n := id(len(c.list))
	c.list = append(c.list, slices.Clone(sector))
	c.names[string(sector)] = n
	return n
}

// Record forgets the writes so far: they are on the medium.
func (d *Disk) Record() {
	d.start, d.ops = d.now.clone(), nil
}

func whole(p []byte, off int64) error {
	if off%Sector != 0 || len(p)%Sector != 0 {
		return fmt.Errorf("%d bytes at %d are not whole sectors", len(p), off)
	}
	return nil
}

// Direct reads what was written last: a disk whose cache loses writes is for another test.
func (d *Disk) Direct() io.ReaderAt { return d }

// ReadAt, WriteAt and Flush take whole sectors.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if err := whole(p, off); err != nil {
		return 0, err
	}
	for i := 0; i < len(p); i += Sector {
		copy(p[i:], d.list[d.now.get((off+int64(i))/Sector)])
	}
	return len(p), nil
}

func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	if err := whole(p, off); err != nil {
		return 0, err
	}
	o := op{sector: off / Sector, ids: make([]id, len(p)/Sector)}
	for i := range o.ids {
		o.ids[i] = d.intern(p[i*Sector : (i+1)*Sector])
		d.now.put(o.sector+int64(i), o.ids[i])
	}
	d.ops = append(d.ops, o)
	return len(p), nil
}

func (d *Disk) Flush() error {
	d.ops = append(d.ops, op{})
	return nil
}
