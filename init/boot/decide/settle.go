// Package decide holds what PID 1 decides about its own boots, as functions of facts: commit, roll
// back or stay; whom to blame; how long to wait before a reboot. Package boot gathers the facts and
// carries the decisions out.
package decide

import (
	"slices"

	"imgbuild/init/contract/checks"
	"imgbuild/init/status/health"
)

// Outcome is what becomes of the running slot.
type Outcome uint8

// The outcomes of Settle.
const (
	Wait   Outcome = iota // look again: a check may still pass
	Commit                // record that the slot does its work: its attempts are restored, a trial is committed
	GiveUp                // the trial ends: reboot into the committed slot
	Stay                  // run on, and leave the record as it is
)

// Settling is what is known while the services of a boot start.
type Settling struct {
	Trial     bool // the running slot is under trial
	Rescue    bool // somebody asked for the rescue system
	Panicking bool // this program is failing
	Late      bool // the deadline has passed
	Held      bool // somebody looks at the trial: it is not ended until they order it
	Ordered   bool // somebody commits it by hand
	Verdict   health.Verdict

	// Before names the checks that passed before the upgrade. Nil if nobody noted them: every check
	// may then fail a trial, and one that waits for something from outside passes.
	Before []string
}

// Settle decides what becomes of the slot, and names the results that it still waits for, or that
// ended the trial.
func (s Settling) Settle() (Outcome, []health.Result) {
	var open []health.Result
	for _, r := range s.Verdict.Results {
		if s.counts(r) && !s.passes(r) {
			open = append(open, r)
		}
	}
	data, _ := s.Verdict.Of(checks.Data)
	switch {
	case s.Panicking:
		return Stay, nil
	case s.Trial && s.Ordered:
		return Commit, nil
	case s.Trial && s.Held:
		return Wait, open
	case s.Trial && !s.Rescue && data.State == health.Bad:
		return GiveUp, []health.Result{data} // no time brings it; the system before may know this disk better
	case len(open) > 0 && !s.Late:
		return Wait, open
	case s.Trial && s.Rescue:
		return Stay, nil // shows nothing about the system under trial
	case len(open) == 0:
		return Commit, nil
	case s.Trial:
		return GiveUp, open
	}
	return Stay, open // a committed system may be reached, and there may be nothing better
}

// counts reports whether a check has a part in the decision. A committed slot is not to blame for a
// disk: that its services run is enough. Above the floor, only a check that passed before an
// upgrade can fail its trial.
func (s Settling) counts(r health.Result) bool {
	c, ok := checks.Find(r.Check)
	switch {
	case !ok || c.Advisory:
		return false
	case !s.Trial || s.Rescue:
		return c.Unit != ""
	}
	return s.Before == nil || c.Floor || slices.Contains(s.Before, r.Check)
}

// passes reports whether a result is good enough. A check that waits for something from outside is
// as good as it can be, unless it was there before.
func (s Settling) passes(r health.Result) bool {
	return r.State == health.Good || r.State == health.Waiting && !(s.Trial && slices.Contains(s.Before, r.Check))
}
