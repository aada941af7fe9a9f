package powercut

import (
	"context"
	"fmt"
	"math/rand/v2"

	"imgbuild/init/contract/bootstate"
)

// Report counts what was explored.
type Report struct {
	States   int      // with distinct contents of the disk
	Again    int      // that were there before
	Recovery int      // of States: left by a second power cut, while the first was recovered from
	Wrong    int      // that start nothing, or something that they must not
	Examples []string // of Wrong, a few
	Scenario map[string]int
}

func (r *Report) String() string {
	return fmt.Sprintf("%d states (%d of them in recoveries, %d seen twice), %d wrong", r.States, r.Recovery, r.Again, r.Wrong)
}

// Run explores at least n distinct states of upgrades of slots of size bytes; progress is called
// for each scenario.
func Run(ctx context.Context, seed uint64, n, size int, progress func(string)) (*Report, error) {
	report := &Report{Scenario: map[string]int{}}
	for round := uint64(0); report.States < n; round++ {
		rng := rand.New(rand.NewPCG(seed, round))
		all, err := scenarios(rng, size)
		if err != nil {
			return report, err
		}
		for _, s := range all {
			if ctx.Err() != nil {
				return report, context.Cause(ctx)
			}
			before := report.States
			x := &exploration{report: report, rng: rng, seen: map[uint64]bool{}, depth: 1}
			random := 1 + (n-report.States)/(size>>19) // of the two scenarios that write a slot, in chunks of 1 MiB
			x.explore(s, random)
			report.Scenario[s.name] += report.States - before
			if progress != nil {
				progress(fmt.Sprintf("%s: %s", s.name, report))
			}
		}
	}
	return report, nil
}

type exploration struct {
	report *Report
	rng    *rand.Rand
	seen   map[uint64]bool
	depth  int // recoveries that may follow each other
}

// explore visits the states of a scenario, and of the recovery from some of them.
func (x *exploration) explore(s scenario, random int) {
	o, v := newOracle(s.disk), newView(s.disk.start, [2]int64{slotA / Sector, slotB / Sector}, s.images)
	var later []scenario
	s.disk.explore(v, s.ops, x.rng, random, func(done int) bool {
		if x.seen[v.digest] {
			x.report.Again++
			return true
		}
		x.seen[v.digest] = true
		x.report.States++
		if problem := o.judge(v, s.want(s.ops[:done], done == len(s.ops))); problem != "" {
			x.report.Wrong++
			if len(x.report.Examples) < 5 {
				x.report.Examples = append(x.report.Examples, fmt.Sprintf("%s, after %d of %d operations: %s", s.name, done, len(s.ops), problem))
			}
		} else if x.depth > 0 && len(later) < 20 && x.rng.IntN(1+len(x.seen)/20) == 0 {
			later = append(later, s.recover(v)...)
		}
		return true
	})
	for _, r := range later {
		before := x.report.States
		inner := &exploration{report: x.report, rng: x.rng, seen: map[uint64]bool{}, depth: x.depth - 1}
		inner.explore(r, 1)
		x.report.Recovery += x.report.States - before
	}
}

// recover is what happens after a power cut left v: U-Boot boots, and the system that runs finds
// itself healthy, or gives up.
func (s scenario) recover(v *view) (all []scenario) {
	for _, healthy := range []bool{true, false} {
		d := &Disk{now: v.clone(), contents: s.disk.contents}
		d.Record()
		running, err := d.boot()
		if err != nil {
			continue // judged already
		}
		before := [][2]int{inA, inB, inBprev}
		var first [][2]int
		if healthy {
			_, err = bootstate.Healthy(d, string("ab"[running]))
			first = [][2]int{{running, v.whole(running)}}
		} else {
			_, err = bootstate.Rollback(d, "health: sshd")
		}
		if err != nil {
			continue // no record: U-Boot goes on by itself
		}
		all = append(all, scenario{s.name + ", recovery", d, d.ops, s.images, func(_ []op, all bool) expectation {
			e := expectation{may: before}
			if all {
				e.first = first
			}
			return e
		}})
	}
	return all
}
