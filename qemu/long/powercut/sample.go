package powercut

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"imgbuild/init/contract/bootstate"
)

// A Sample is a state of a medium, as far as U-Boot looks at it, and what the oracle expects of the
// boot that follows.
type Sample struct {
	Name   string    // scenario, and how many operations had returned
	Record [2][]byte // the two copies of the boot record
	First  [2]Bytes  // first sector of slot a and b
	Boots  []Outcome // of which one must come: a torn first sector may load or not
}

// An Outcome is what a boot of a Sample starts and leaves.
type Outcome struct {
	Slot   string // a or b
	Record [2][]byte
}

// Bytes names the source of each byte of a sector.
type Bytes [Sector]Source

// A Source is where a byte comes from.
type Source byte

// The sources.
const (
	Zero   Source = iota
	One           // 0xff
	System        // what a whole system has there
)

// Of makes the sector out of that of a system.
func (b Bytes) Of(system []byte) []byte {
	out := make([]byte, Sector)
	for i, s := range b {
		out[i] = map[Source]byte{Zero: 0, One: 0xff, System: system[i]}[s]
	}
	return out
}

// sources finds where the bytes of a sector come from; images begin with different random bytes.
func sources(sector []byte, images [][]byte) (b Bytes) {
	for i, c := range sector {
		switch {
		case slices.ContainsFunc(images, func(m []byte) bool { return m[i] == c }):
			b[i] = System
		case c == 0xff:
			b[i] = One
		}
	}
	if slices.Min(sector) == slices.Max(sector) { // zeros or ones, whatever the images hold there
		for i := range b {
			b[i] = map[byte]Source{0xff: One}[sector[0]]
		}
	}
	return b
}

// Samples gives n states that look different to U-Boot, in turn out of each scenario and of the
// recoveries from its states. A seed gives the same ones each time.
func Samples(seed uint64, n int) ([]Sample, error) {
	rng := rand.New(rand.NewPCG(seed, 12))
	all, err := scenarios(rng, 3<<20)
	if err != nil {
		return nil, err
	}
	var found [][]Sample
	seen := map[string]bool{}
	for _, s := range all {
		var recoveries []scenario
		mine := s.sample(rng, seen, func(v *view) {
			if len(recoveries) < 8 && rng.IntN(20) == 0 {
				recoveries = append(recoveries, s.recover(v)...)
			}
		})
		var later []Sample
		for _, r := range recoveries {
			later = append(later, r.sample(rng, seen, nil)...)
		}
		found = append(found, mine, later)
	}
	for _, list := range found {
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	var out []Sample
	for turn := 0; len(out) < n; turn++ {
		before := len(out)
		for _, list := range found {
			if turn < len(list) && len(out) < n {
				out = append(out, list[turn])
			}
		}
		if len(out) == before {
			return out, fmt.Errorf("only %d states look different to U-Boot, not %d", len(out), n)
		}
	}
	return out, nil
}

// sample returns states of a scenario that U-Boot has not seen; each is called for all of them.
func (s scenario) sample(rng *rand.Rand, seen map[string]bool, each func(v *view)) (all []Sample) {
	o, v := newOracle(s.disk), newView(s.disk.start, [2]int64{slotA / Sector, slotB / Sector}, s.images)
	var firsts [][]byte
	for _, m := range s.images {
		firsts = append(firsts, s.disk.list[m[0]])
	}
	s.disk.explore(v, s.ops, rng, 1, func(done int) bool {
		if each != nil {
			each(v)
		}
		one := Sample{Name: fmt.Sprintf("%s, after %d of %d operations", s.name, done, len(s.ops))}
		for i, at := range []int64{bootstate.Copy0, bootstate.Copy1} {
			one.Record[i] = s.disk.list[v.get(at/Sector)]
		}
		for i, at := range v.slots {
			one.First[i] = sources(s.disk.list[v.get(at)], firsts)
		}
		key := fmt.Sprint(one.Record, one.First)
		if seen[key] {
			return true
		}
		seen[key] = true
		outcomes := map[string]Outcome{}
		for _, q := range o.questions(v) {
			b := o.ask(q)[0]
			if b.slot >= 0 {
				outcomes[fmt.Sprint(b.slot, b.copies)] = Outcome{string("ab"[b.slot]), b.copies}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(outcomes)) {
			one.Boots = append(one.Boots, outcomes[name])
		}
		all = append(all, one)
		return true
	})
	slices.SortStableFunc(all, func(a, b Sample) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
