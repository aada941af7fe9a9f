// Package plan is the upgrade of a node by a Plan of Rancher's system-upgrade-controller: a
// container with a bundle, which is started again after every reboot until it ends with status 0.
//
// Decide decides from what is known of the node; Job acts on it. The node's own shelf does the
// upgrade, as it does for a laptop.
package plan

import (
	"fmt"
	"slices"

	"imgbuild/init/contract/fault"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/ledger"
)

// Step is what is done next.
type Step int

// The steps.
const (
	Wait    Step = iota // look again in a moment
	Install             // write the slot, and reboot into it
	Over                // the system runs and is committed
	Failed              // it was rolled back here, or cannot be installed
)

// Facts are what the decision needs.
type Facts struct {
	Want    string // sha256 of the manifest of the slot in the bundle, hex
	Version string // of it
	Running string // of the running slot; empty if it cannot be read
	Node    install.Facts
}

// RolledBack is the exit code for a system that was rolled back here.
const RolledBack = fault.Kind(1)

// Decision is the next step and why.
type Decision struct {
	Do  Step
	Why string // of Wait
	Err error  // of Failed
}

// Decide returns the next step. It is Over only for a system that runs and was committed.
func Decide(f Facts) Decision {
	n := f.Node
	runs := f.Want == f.Running
	wait := func(format string, a ...any) Decision { return Decision{Do: Wait, Why: fmt.Sprintf(format, a...)} }
	switch {
	case n.Booting:
		return wait("the node is still booting")
	case n.Degraded:
		return Decision{Do: Failed, Err: n.Ready()}
	case n.Trial && runs:
		return wait("%s is on trial", f.Version)
	case n.Trial:
		return wait("%s, which runs, is on trial", n.Version)
	case runs:
		return Decision{Do: Over}
	}
	if a := lastEnd(n.Ledger, f.Want); a != nil && a.Result == ledger.RolledBack {
		return Decision{Do: Failed, Err: rolledBack(a)}
	}
	return Decision{Do: Install}
}

// lastEnd is how the newest attempt of a system ended that was tried.
func lastEnd(l ledger.Ledger, bundle string) *ledger.Attempt {
	for _, a := range slices.Backward(l.History) {
		if a.Bundle == bundle && a.Result != ledger.Withdrawn {
			return &a
		}
	}
	return nil
}

func rolledBack(a *ledger.Attempt) error {
	fix := "take a newer version"
	if a.Blame == ledger.External {
		fix = "remove the cause, and run `imgbuild upgrade NODE`, which may try it once more: the system before fails the same checks"
	}
	return fault.New(RolledBack, fix, "%s was rolled back on this node: %s", a.Version, a.Reason)
}
