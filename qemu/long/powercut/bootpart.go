package powercut

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fat"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/firmware"
	"imgbuild/init/contract/mbr"
	"imgbuild/init/upgrade/bootcopy"
	"imgbuild/init/upgrade/slot"
)

// The boot partition and its reserved copy, and the disk of the model, in bytes.
const (
	boot0    = diskmap.Boot
	boot1    = diskmap.Spare
	bootSize = diskmap.BootSize
	diskSize = 8 << 30
)

// A change is one of sector 0 or of the boot partition, by the code that a node runs.
type change struct {
	name string
	disk *Disk
	ops  []op
	// judge reports what is wrong with a medium; "" if nothing is.
	judge func(m *medium) string
	// excepted reports whether a state is one that docs/disk.md excepts: sector 0 torn or lost.
	excepted func(m *medium) bool
}

// bootFiles are what boots (kept whole), and what is rewritten in place.
var bootFiles = []struct {
	name  string
	size  int
	apart bool
}{{"boot.scr", 6000, false}, {"config.txt", 900, false}, {"kernel8.img", 40 << 10, false}, {"config.yaml", 32 << 10, true}, {"report.txt", 64 << 10, true}, {"rescue.txt", 600, true}}

// volume writes a boot partition at an offset, and returns the content of its files.
func (d *Disk) volume(rng *rand.Rand, at int64) (map[string][]byte, error) {
	v := &fat.Volume{Label: "BOOT", ID: 7, Start: uint32(at / Sector), Size: bootSize, ClusterSize: 1 << 10}
	content := map[string][]byte{}
	for _, f := range bootFiles {
		data := make([]byte, f.size)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		content[f.name] = data
		v.Files = append(v.Files, fat.File{Path: f.name, Size: int64(f.size), Apart: f.apart, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
	}
	return content, v.Write(&padded{partition{d, at}})
}

// partition is a part of a disk.
type partition struct {
	d  *Disk
	at int64
}

func (p partition) ReadAt(b []byte, off int64) (int, error)  { return p.d.ReadAt(b, p.at+off) }
func (p partition) WriteAt(b []byte, off int64) (int, error) { return p.d.WriteAt(b, p.at+off) }

// device is how the firmware upgrade of a change sees its disk; a test replaces it.
var device = func(d *Disk) slot.Device { return d }

// newFirmware is a bundle with other files of the board, and what a BOOT has after the upgrade from
// one with files.
func newFirmware(rng *rand.Rand, files map[string][]byte) (*bundle.Bundle, map[string][]byte) {
	var data memory
	m, after := &bundle.Manifest{Version: "new"}, map[string][]byte{}
	for _, f := range bootFiles { // in the order of a bundle
		if after[f.name] = files[f.name]; firmware.User(f.name) {
			continue
		}
		text := make([]byte, f.size+f.size/5)
		for i := range text {
			text[i] = byte(rng.Uint32())
		}
		sum := sha256.Sum256(text)
		m.Firmware = append(m.Firmware, firmware.File{Path: f.name, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])})
		after[f.name], data = text, append(data, text...)
	}
	return &bundle.Bundle{Source: data, Manifest: m}, after
}

// memory is a bundle that is nothing but its firmware.
type memory []byte

func (m memory) Range(_ context.Context, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[off : off+n])), nil
}

// padded takes writes of any length, at the start of sectors.
type padded struct{ p partition }

func (w *padded) WriteAt(b []byte, off int64) (int, error) {
	whole := make([]byte, (len(b)+Sector-1)/Sector*Sector)
	copy(whole, b)
	_, err := w.p.WriteAt(whole, off)
	return len(b), err
}

// state reads a medium.
type state struct {
	*contents
	m  *medium
	at int64
}

func (s state) ReadAt(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		at := s.at + off + int64(done)
		done += copy(p[done:], s.list[s.m.get(at/Sector)][at%Sector:])
	}
	return len(p), nil
}

// changes are those of a card's life that are not an upgrade of a slot.
func changes(rng *rand.Rand) (all []change, err error) {
	d := NewDisk()
	table := mbr.Table{Signature: 0x1a2b3c4d}
	for i, p := range []mbr.Partition{{Start: boot0 / Sector, Sectors: bootSize / Sector, Type: diskmap.TypeBoot}, {Start: slotA / Sector, Sectors: uint32(areaSize / Sector), Type: diskmap.TypeSlot},
		{Start: slotB / Sector, Sectors: uint32(areaSize / Sector), Type: diskmap.TypeSlot}, {Start: diskmap.Data / Sector, Sectors: 256 << 11, Type: mbr.Linux}} {
		table.Partitions[i] = p
	}
	first, err := table.Marshal()
	if err != nil {
		return nil, err
	}
	if _, err := d.WriteAt(first[:], 0); err != nil {
		return nil, err
	}
	files, err := d.volume(rng, boot0)
	if err != nil {
		return nil, err
	}
	spare, err := d.volume(rng, boot1)
	if err != nil {
		return nil, err
	}
	add := func(name string, sector0 [][]byte, may map[int64]map[string][]byte, do func(d *Disk) error) error {
		c := &Disk{contents: d.contents, now: d.now.clone()}
		c.Record()
		if err := do(c); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, c.judged(name, sector0, may))
		return nil
	}
	same := [][]byte{first[:]}
	at := map[int64]map[string][]byte{boot0 / Sector: files}
	grown, err := mbr.Grow(first[:], 4, diskSize/Sector, 8192, 0x5e6f7a8b)
	if err != nil {
		return nil, err
	}
	swapped := mbr.Set(first[:], 1, mbr.Partition{Start: boot1 / Sector, Sectors: bootSize / Sector, Type: diskmap.TypeBoot})
	write := func(sector []byte) func(*Disk) error {
		return func(d *Disk) error {
			if _, err := d.WriteAt(sector, 0); err != nil {
				return err
			}
			return d.Flush()
		}
	}
	overwrite := func(name string, data []byte) func(*Disk) error {
		return func(d *Disk) error {
			if err := fatfile.Overwrite(partition{d, boot0}, name, data, ' '); err != nil {
				return err
			}
			return d.Flush()
		}
	}
	b, after := newFirmware(rng, files)
	text := func(n int) []byte { return bytes.Repeat([]byte("# x\n"), n/4) }
	return all, firstOf(
		add("growth at first boot", [][]byte{first[:], grown}, at, write(grown)),
		add("swap of BOOT", [][]byte{first[:], swapped}, map[int64]map[string][]byte{boot0 / Sector: files, boot1 / Sector: spare}, write(swapped)),
		add("firmware upgrade", [][]byte{first[:], swapped}, map[int64]map[string][]byte{boot0 / Sector: files, boot1 / Sector: after}, func(d *Disk) error {
			_, err := bootcopy.Upgrade(context.Background(), device(d), b, "any", nil)
			return err
		}),
		add("secrets blanked on BOOT", same, at, overwrite("config.yaml", text(32<<10))),
		add("settings applied, on BOOT too", same, at, overwrite("config.yaml", text(900))),
		add("report", same, at, overwrite("report.txt", text(60<<10))),
	)
}

func firstOf(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// judged makes the change out of a disk that recorded it. sector0 is what sector 0 may hold, may
// the files of each place of BOOT.
func (d *Disk) judged(name string, sector0 [][]byte, may map[int64]map[string][]byte) change {
	return change{name, d, d.thin(sectorwise(d.ops)), func(m *medium) string {
		table, err := mbr.Decode(d.list[m.get(0)])
		if err != nil {
			return err.Error()
		}
		p := table.Partitions[0]
		files, ok := may[int64(p.Start)]
		if !ok {
			return fmt.Sprintf("BOOT is at sector %d", p.Start)
		}
		v := state{d.contents, m, int64(p.Start) * Sector}
		for _, f := range bootFiles {
			got, err := fatfile.ReadFile(v, f.name)
			switch {
			case err != nil:
				return err.Error()
			case f.apart && len(got) != f.size, !f.apart && !bytes.Equal(got, files[f.name]):
				return f.name + " has another content"
			}
		}
		return ""
	}, func(m *medium) bool {
		for _, s := range sector0 {
			if bytes.Equal(d.list[m.get(0)], s) {
				return false
			}
		}
		return true
	}}
}

// sectorwise takes writes apart: a medium may write the sectors of one in any order.
func sectorwise(ops []op) (all []op) {
	for _, o := range ops {
		if o.flush() {
			all = append(all, o)
		}
		for i := range o.ids {
			all = append(all, op{sector: o.sector + int64(i), ids: o.ids[i : i+1]})
		}
	}
	return all
}

// thin leaves writes of single sectors out that change nothing, except for the first one in each
// area between two flushes: a card may lose that area.
func (d *Disk) thin(ops []op) (all []op) {
	now, areas := d.start.clone(), map[int64]bool{}
	for _, o := range ops {
		if o.flush() {
			clear(areas)
			all = append(all, o)
			continue
		}
		area := o.sector * Sector / diskmap.Erase
		if now.get(o.sector) != o.ids[0] || !areas[area] {
			all = append(all, o)
		}
		areas[area] = true
		now.put(o.sector, o.ids[0])
	}
	return all
}

// BootReport counts what was explored of sector 0 and BOOT.
type BootReport struct {
	States   int // distinct ones that were judged
	Excepted int // sector 0 torn, or lost with its area: see docs/disk.md
	Wrong    int
	Examples []string
}

func (r *BootReport) String() string {
	return fmt.Sprintf("%d states of sector 0 and BOOT, %d wrong; %d states excepted (sector 0 torn or lost)", r.States, r.Wrong, r.Excepted)
}

// RunBoot explores the changes of sector 0 and of the boot partition.
func RunBoot(ctx context.Context, seed uint64, progress func(string)) (*BootReport, error) {
	rng := rand.New(rand.NewPCG(seed, 77))
	all, err := changes(rng)
	if err != nil {
		return nil, err
	}
	r := &BootReport{}
	for _, c := range all {
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		v := newView(c.disk.start, [2]int64{slotA / Sector, slotB / Sector}, nil)
		seen := map[uint64]bool{}
		before := *r
		c.disk.explore(v, c.ops, rng, 20, func(done int) bool {
			if seen[v.digest] {
				return true
			}
			seen[v.digest] = true
			if c.excepted(&v.medium) {
				r.Excepted++
				return true
			}
			r.States++
			if problem := c.judge(&v.medium); problem != "" {
				r.Wrong++
				if len(r.Examples) < 5 {
					r.Examples = append(r.Examples, fmt.Sprintf("%s, after %d of %d operations: %s", c.name, done, len(c.ops), problem))
				}
			}
			return r.Wrong < 5
		})
		if progress != nil {
			progress(fmt.Sprintf("%s: %d states, %d excepted", c.name, r.States-before.States, r.Excepted-before.Excepted))
		}
	}
	return r, nil
}
