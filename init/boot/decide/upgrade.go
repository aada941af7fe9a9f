package decide

import (
	"slices"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/ledger"
)

// Fate is what has become of an attempt to upgrade that the ledger has as under way.
type Fate uint8

// The fates.
const (
	Unknown   Fate = iota // it was never armed, or another one was since
	Waits                 // armed, and not tried yet
	OnTrial               // it runs, under trial
	Committed             // committed, and the ledger was not written any more
	FellBack              // tried, and the system before runs again
)

// Past is what is known at a boot.
type Past struct {
	Slot    string // of the attempt
	Running string // the slot that runs
	Trial   bool   // under trial, as passed by the boot script
	Record  bootstate.Record
}

// Fate decides. The boot record is right, whatever is in the ledger.
func (p Past) Fate() Fate {
	r := p.Record
	switch {
	case p.Running == p.Slot && p.Trial && r.Trial == p.Slot:
		return OnTrial
	case r.Trial == "" && r.Active == p.Slot && r.State(p.Slot) == bootstate.Good:
		return Committed
	case r.Trial == p.Slot && r.Left == bootstate.MaxLeft:
		return Waits
	case r.Trial == p.Slot, r.State(p.Slot) == bootstate.Bad:
		return FellBack
	}
	return Unknown
}

// BlameOf reports whether a system that was rolled back is to blame, from the checks that ended its
// trial and those of the system that runs instead. late reports that this one has had its time.
func BlameOf(failed []string, v health.Verdict, late bool) ledger.Blame {
	known := 0
	for _, r := range v.Results {
		if !slices.Contains(failed, r.Check) {
			continue
		}
		if known++; r.State == health.Good {
			return ledger.Own // what the trial failed, this one passes
		}
	}
	switch {
	case known == 0:
		return ledger.Own
	case late:
		return ledger.External
	}
	return ledger.Open
}

// Return is how a node goes back to the system before.
type Return uint8

// The ways back.
const (
	NoWay    Return = iota
	GiveBack        // an upgrade waits for the next boot: it is taken back, nothing reboots
	EndTrial        // the running system is under trial: it is given up
	Switch          // the other slot is good: it becomes the committed one
)

// GoBack decides what `shelf rollback` does. trial: the running slot is under trial.
func GoBack(running string, trial bool, r bootstate.Record) Return {
	switch {
	case trial && r.Trial == running:
		return EndTrial
	case r.Trial != "":
		return GiveBack
	case r.State(bootstate.Other(running)) == bootstate.Good:
		return Switch
	}
	return NoWay
}
