package powercut

import (
	"cmp"
	"math/rand/v2"
	"testing"
)

// TestPowerCuts explores upgrades of slots of 64 MiB: no state is left in which nothing starts, a
// slot that is not whole, or one that was given up; a committed system stays committed.
func TestPowerCuts(t *testing.T) {
	report, err := Run(t.Context(), 1, 100_000, 64<<20, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	if report.Wrong != 0 || report.States < 100_000 {
		t.Errorf("got %s: %q", report, report.Examples)
	}
}

// harmless are the mutants that leave no wrong state, and why.
var harmless = func() map[string]string {
	const (
		forgotten = "the first copy of the record already has the slot as unknown"
		trial     = "boot.scr gives the committed slot its turn when the trial does not load, and the flush that ends arming covers both"
		second    = "the first copy of the record is on the medium and newer"
	)
	all := map[string]string{}
	for reason, names := range map[string][]string{
		forgotten: {"upgrade, slot b good: operations 2 and 3 swapped", "upgrade, slot b good: without flush 3", "upgrade, slot b good: operations 3 and 4 swapped"},
		trial: {"upgrade, slot b good: operations 10 and 11 swapped", "upgrade, slot b good: without flush 11", "upgrade, slot b good: operations 11 and 12 swapped",
			"upgrade, slot b empty: operations 6 and 7 swapped", "upgrade, slot b empty: without flush 7", "upgrade, slot b empty: operations 7 and 8 swapped"},
		second: {"commit: operations 4 and 5 swapped", "commit: without flush 5", "rollback: operations 4 and 5 swapped", "rollback: without flush 5"},
	} {
		for _, n := range names {
			all[n] = reason
		}
	}
	return all
}()

// TestMutants: the exploration has teeth. Each flush left out and each pair of steps swapped is
// found out.
func TestMutants(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	all, err := scenarios(rng, 3<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for _, m := range mutants(s.ops) {
			name := s.name + ": " + m.name
			caught := s.hunt(m, rng)
			reason := harmless[name]
			switch {
			case caught == "" && reason == "":
				t.Errorf("%s: not caught", name)
			case caught != "" && reason != "":
				t.Errorf("%s: expected to be harmless because %s; got %s", name, reason, caught)
			}
			t.Logf("%s: %s", name, cmp.Or(caught, "harmless, because "+reason))
		}
	}
}
