package upgrades

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"imgbuild/init/boot/decide"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/upgrade/ledger"
)

// Whatever happens, in whatever order, with a power cut anywhere: after each boot an attempt is
// under way exactly if the boot record has a trial, what the ledger calls committed was committed,
// and the floor neither falls nor rises without a commit.
func TestWalk(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 5))
	commits, falls := 0, 0
	for walk := range 30 {
		m := newMachine(t)
		k := m.boot(true)
		floor, number := int64(0), 0
		committed := map[string]bool{} // bundles that the boot record has committed
		log := ""
		for range 25 {
			running := m.state()
			step := rng.IntN(8)
			log += fmt.Sprint(step, " ")
			switch step {
			case 0, 1: // an upgrade, maybe cut off between the ledger and the record
				a := ledger.Attempt{System: ledger.System{Bundle: fmt.Sprint("b", number), Version: fmt.Sprint("v", number), Floor: int64(number)}, Slot: bootstate.Other(k.slot)}
				number++
				if k.Forget(a.Slot) != nil {
					break // under trial, or armed
				}
				if k.Arm(a, well, nil, time.Now()) == nil && rng.IntN(4) == 0 {
					if err := m.rec.Disarm(); err != nil { // the write of the record was lost
						t.Fatal(err)
					}
					k = m.boot(true)
				}
			case 2:
				if k.Armed() != nil {
					if err := k.Withdraw("by hand"); err != nil {
						t.Fatal(err)
					}
				}
			case 3, 4: // the running slot is healthy; the power may go before the ledger is written
				if a := k.Trial(); a != nil {
					committed[a.Bundle] = true
				}
				if err := m.rec.Healthy(k.slot); err != nil {
					t.Fatal(err)
				}
				if rng.IntN(3) > 0 {
					if err := k.Committed(well); err != nil {
						t.Fatal(err)
					}
				} else {
					k = m.boot(true)
				}
			case 5: // the trial gives itself up; the power may go before the record is written
				if k.Trialing() {
					if err := k.GaveUp("unhealthy: k3s", ill, ill.Results[1:]); err != nil {
						t.Fatal(err)
					}
					if rng.IntN(3) > 0 {
						if err := m.rec.Note(decide.Blame, "unhealthy: k3s"); err != nil {
							t.Fatal(err)
						}
					}
					k = m.boot(true)
				}
			default: // a reboot, or a power cut; a slot under trial may not load
				k = m.boot(running.Trial == "" || rng.IntN(3) > 0)
			}
			l := k.Ledger()
			now := m.state()
			if now.Trial == "" && l.Attempt != nil || now.Trial != "" && l.Attempt == nil {
				// A trial that was committed in the record, and not in the ledger yet.
				if !(l.Attempt != nil && k.Trialing()) {
					t.Fatalf("walk %d (%s): the record is %+v, the attempt %+v", walk, log, now, l.Attempt)
				}
			}
			if l.Floor < floor {
				t.Fatalf("walk %d (%s): the floor fell from %d to %d", walk, log, floor, l.Floor)
			}
			want := int64(0)
			for _, a := range l.History {
				if a.Result == ledger.Committed {
					want = max(want, a.Floor)
					if commits++; !committed[a.Bundle] {
						t.Fatalf("walk %d (%s): %s was never committed: %+v", walk, log, a.Version, a)
					}
				} else if a.Result == ledger.RolledBack {
					if falls++; committed[a.Bundle] {
						t.Fatalf("walk %d (%s): %s was committed, and the ledger has it rolled back", walk, log, a.Version)
					}
				}
			}
			if l.Floor != want {
				t.Fatalf("walk %d (%s): the floor is %d, by the commits it is %d", walk, log, l.Floor, want)
			}
			floor = l.Floor
		}
	}
	if commits < 50 || falls < 50 {
		t.Errorf("the walks saw %d commits and %d rollbacks", commits, falls)
	}
}
