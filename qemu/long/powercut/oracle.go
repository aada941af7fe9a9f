package powercut

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"imgbuild/builder/bootscript"
	"imgbuild/builder/bootscript/emulate"
	"imgbuild/init/contract/bootstate"
)

// An oracle reports what U-Boot does with a medium, by running boot.scr on a model of the board.
type oracle struct {
	disk   *Disk
	script string
	known  map[question][]boot // what was asked before
}

// script is boot.scr as it is on QEMU's virt; the parts that read and write the record are every
// board's.
var script = sync.OnceValue(func() string {
	text, err := bootscript.Script(bootscript.Params{Board: "qemu-arm64", Kernel: bootscript.ImageGz, Console: "ttyAMA0",
		Addr: bootscript.Addresses{Kernel: 0x40400000, Packed: 0x48000000, Initrd: 0x44000000}})
	if err != nil {
		panic(err) // constants
	}
	return text
})

func newOracle(d *Disk) *oracle {
	return &oracle{disk: d, script: script(), known: map[question][]boot{}}
}

// A question is all of the medium that boot.scr reads: the record's two sectors, and which slots
// load.
type question struct {
	copies [2]id
	loads  [2]bool
}

// A boot is one run of boot.scr: the slot that it started, or why it did not, and the record it
// left.
type boot struct {
	slot   int // 0 and 1; -1 = none
	end    string
	copies [2][]byte
	writes []int // of copies, in order
}

// boots are as many boots as it takes for a system that never comes up to use up all its attempts,
// and the other one's.
const boots = 2*bootstate.MaxLeft + 2

// ask returns the boots that follow each other when no system ever reports that it is healthy.
func (o *oracle) ask(q question) []boot {
	if known, ok := o.known[q]; ok {
		return known
	}
	m := &emulate.Machine{Board: "qemu-arm"}
	for i, n := range q.copies {
		m.Sectors[i] = slices.Clone(o.disk.list[n])
		if q.loads[i] {
			m.Slots += string("ab"[i])
		}
	}
	var all []boot
	for range boots {
		end, _ := m.Boot(o.script)
		b := boot{slot: -1, end: end, writes: m.Writes}
		if name, slot, ok := strings.Cut(end, " "); ok && strings.HasPrefix(name, "boot") {
			b.slot = strings.Index("ab", slot)
		}
		for i, s := range m.Sectors {
			b.copies[i] = slices.Clone(s)
		}
		all = append(all, b)
	}
	o.known[q] = all
	return all
}

// questions returns what may be asked of a view. A first sector that is torn may load or not.
func (o *oracle) questions(v *view) (all []question) {
	q := question{copies: [2]id{v.get(bootstate.Copy0 / Sector), v.get(bootstate.Copy1 / Sector)}}
	all = []question{q}
	for i, first := range v.slots {
		n := v.get(first)
		if n == zeros || n == ones {
			continue
		}
		torn := !slices.ContainsFunc(v.images, func(m image) bool { return m[0] == n })
		for j := range all {
			if torn {
				all = append(all, all[j])
			}
			all[j].loads[i] = true
		}
	}
	return all
}

// An expectation is what must hold of a medium: the images that may start, each with the slot it
// may start from.
type expectation struct {
	may   [][2]int // slot, image
	first [][2]int // of the very next boot, where that is narrower; nil = may
}

// judge reports what is wrong with a state; "" if nothing is. Whatever boots, the record can be
// read, and a slot that may load is whole, so that a second fault (the other slot does not load,
// the record is lost) finds a system too.
func (o *oracle) judge(v *view, want expectation) string {
	for i, q := range o.questions(v) {
		if i == 0 {
			if _, _, err := bootstate.Choose(o.disk.list[q.copies[0]], o.disk.list[q.copies[1]]); err != nil {
				return err.Error()
			}
		}
		for slot, loads := range q.loads {
			if loads && v.whole(slot) < 0 {
				return fmt.Sprintf("slot %d may load and is not whole", slot)
			}
		}
		for i, b := range o.ask(q) {
			allowed := want.may
			if i == 0 && want.first != nil {
				allowed = want.first
			}
			if b.slot < 0 {
				return fmt.Sprintf("boot %d: nothing starts: %q", i+1, b.end)
			}
			got := [2]int{b.slot, v.whole(b.slot)}
			if !slices.Contains(allowed, got) {
				return fmt.Sprintf("boot %d: slot %d starts with image %d, allowed are %v", i+1, got[0], got[1], allowed)
			}
		}
	}
	return ""
}
