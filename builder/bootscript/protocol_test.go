package bootscript

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"imgbuild/builder/bootscript/emulate"
	"imgbuild/init/contract/bootstate"
)

// errCut is a power cut in the middle of a write.
var errCut = errors.New("power cut")

// cutDisk is the node's view of a machine's record. The write with number cut (from 0) ends in a
// power cut that leaves outcome of it; power stays off after that.
type cutDisk struct {
	m       *emulate.Machine
	cut     int
	outcome func(old, young []byte) []byte
	writes  int
}

func copyAt(off int64) int {
	return map[int64]int{bootstate.Copy0: 0, bootstate.Copy1: 1}[off]
}

func (d *cutDisk) ReadAt(p []byte, off int64) (int, error) {
	return copy(p, d.m.Sectors[copyAt(off)]), nil
}

func (d *cutDisk) WriteAt(p []byte, off int64) (int, error) {
	defer func() { d.writes++ }()
	old := &d.m.Sectors[copyAt(off)]
	switch {
	case d.cut >= 0 && d.writes > d.cut:
		return 0, errCut
	case d.writes == d.cut:
		*old = d.outcome(*old, p)
		return 0, errCut
	}
	*old = slices.Clone(p)
	return len(p), nil
}

func (d *cutDisk) Flush() error {
	if d.cut >= 0 && d.writes > d.cut {
		return errCut
	}
	return nil
}

var outcomes = map[string]func(old, young []byte) []byte{
	"kept":   func(old, _ []byte) []byte { return old },
	"done":   func(_, young []byte) []byte { return slices.Clone(young) },
	"zeroed": func(old, _ []byte) []byte { return make([]byte, bootstate.Size) },
	"torn":   func(old, young []byte) []byte { return append(slices.Clone(young[:20]), old[20:]...) },
	"erased": func(old, _ []byte) []byte { return bytes.Repeat([]byte{0xff}, bootstate.Size) },
}

// world is a node whose slot a works. Of slot b: whole means that it loads and is what was meant to
// be written; half that it loads and is not.
type world struct {
	m     *emulate.Machine
	whole bool
	half  bool
}

// upgrade is what a running slot a does to bring in slot b, one step after the other; each may be
// the last before the cut.
func (w *world) upgrade(d bootstate.Device, zeroFirst bool) error {
	if _, err := bootstate.Healthy(d, "a"); err != nil {
		return err
	}
	w.whole, w.half = false, !zeroFirst
	w.load()
	// Here the slot is written, read back, and its first sector comes last.
	if _, err := d.ReadAt(make([]byte, bootstate.Size), bootstate.Copy0); err != nil {
		return err
	}
	if d.(*cutDisk).cut == -2 { // cut while the slot is being written
		return errCut
	}
	w.whole, w.half = true, false
	w.load()
	_, err := bootstate.Arm(d, "b")
	return err
}

func (w *world) load() {
	w.m.Slots = "a"
	if w.whole || w.half {
		w.m.Slots = "ab"
	}
}

// explore cuts the power everywhere in an upgrade, boots by the script, and lets a healthy slot
// commit, with a cut there as well. It returns the first thing that must not happen: a boot into
// half a slot, no boot, or a slot b that is committed without having been healthy.
func explore(text string, zeroFirst bool, start [2][]byte, t *testing.T) (boots int, wrong string) {
	for cut := -2; cut < 5; cut++ {
		for how, outcome := range outcomes {
			for cut2 := -1; cut2 < 2; cut2++ {
				if cut < 0 && cut2 < 0 && how != "done" {
					continue // no write is cut
				}
				m := &emulate.Machine{Sectors: start, Slots: "ab"}
				w := &world{m: m, whole: true}
				d := &cutDisk{m: m, cut: cut, outcome: outcome}
				err := w.upgrade(d, zeroFirst)
				if err != nil && !errors.Is(err, errCut) && !strings.Contains(err.Error(), "under trial") {
					t.Fatal(err)
				}
				for boot := range 4 {
					why, args := m.Boot(text)
					boots++
					_, slot, ok := strings.Cut(why, " ")
					at := fmt.Sprintf("cut at write %d (%s), then at %d, boot %d", cut, how, cut2, boot)
					if !ok {
						return boots, at + ": nothing boots"
					}
					if slot == "b" && w.half {
						return boots, at + ": half a slot boots"
					}
					if boot != 1 {
						continue // this one hangs, the second one is healthy, the others show what remains
					}
					d := &cutDisk{m: m, cut: cut2, outcome: outcome}
					if _, err := bootstate.Healthy(d, slot); err != nil && !errors.Is(err, errCut) {
						return boots, at + ": " + err.Error()
					}
					r, err := bootstate.Load(&cutDisk{m: m, cut: -1})
					if err != nil {
						return boots, at + ": " + err.Error()
					}
					if cut2 < 0 && (r.Active != slot || r.Left != bootstate.MaxLeft) && !(r.Trial != "" && args["shelf.trial"] == "0") {
						return boots, fmt.Sprintf("%s: healthy in %s, and the record is %+v", at, slot, r)
					}
				}
			}
		}
	}
	return boots, ""
}

// Whatever moment the power goes at, the node boots a whole slot; twice in a row, and with a
// hanging boot between.
func TestPowerCutsDuringUpgrade(t *testing.T) {
	text := script(t, boards[0])
	total := 0
	for _, r := range records(9) {
		if r.Active != "a" || r.A != bootstate.Good {
			continue // slot a is the one that works
		}
		s := sector(t, r)
		boots, wrong := explore(text, true, [2][]byte{s, s}, t)
		if total += boots; wrong != "" {
			t.Fatalf("%+v: %s, want %q", r, wrong, "")
		}
	}
	if total < 5000 {
		t.Errorf("only %d boots", total)
	}
}

// The control: an upgrade that does not zero the first sector of the slot before it writes the rest
// must be found out.
func TestPowerCutsControl(t *testing.T) {
	text := script(t, boards[0])
	r := bootstate.Fresh("a")
	r.B = bootstate.Good
	for left := range 2 {
		r.Left = left
		s := sector(t, r)
		// Once no attempt is left, the script yields to the other slot, which the record calls
		// good.
		_, wrong := explore(text, false, [2][]byte{s, s}, t)
		if wrong == "" {
			t.Errorf("%d attempts left: half a slot passes", left)
		}
	}
}
