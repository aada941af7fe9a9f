package powercut

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// A mutant is a scenario with one step left out or in the wrong place.
type mutant struct {
	name string
	ops  []op
}

// mutants drops each flush and swaps each operation with the next. Two writes that no
// flush parts may arrive in any order already, so swapping them is not a mutant.
func mutants(ops []op) (all []mutant) {
	for i, o := range ops {
		if o.flush() {
			all = append(all, mutant{fmt.Sprintf("without flush %d", i), slices.Delete(slices.Clone(ops), i, i+1)})
		}
		if i+1 < len(ops) && (o.flush() != ops[i+1].flush()) {
			m := slices.Clone(ops)
			m[i], m[i+1] = m[i+1], m[i]
			all = append(all, mutant{fmt.Sprintf("operations %d and %d swapped", i, i+1), m})
		}
	}
	return all
}

// hunt explores a mutant until a state is wrong, and returns what is wrong; "" if nothing is.
func (s scenario) hunt(m mutant, rng *rand.Rand) (caught string) {
	o, v := newOracle(s.disk), newView(s.disk.start, [2]int64{slotA / Sector, slotB / Sector}, s.images)
	s.disk.explore(v, m.ops, rng, 20, func(done int) bool {
		caught = o.judge(v, s.want(m.ops[:done], done == len(m.ops)))
		return caught == ""
	})
	return caught
}
