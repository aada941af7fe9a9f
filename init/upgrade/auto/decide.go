// Package auto upgrades a node by itself: to what a signed channel names, in its window, and in a
// cluster when a server gives it its turn.
//
// What is done is decided by a function of facts (this file). The effects are in run.go.
package auto

import (
	"fmt"
	"strings"
	"time"

	"imgbuild/init/base/turn"
	"imgbuild/init/contract/channel"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/contract/window"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/ledger"
	"imgbuild/init/upgrade/turns"
)

// Facts are what is known when a node looks whether it upgrades itself.
type Facts struct {
	Now    time.Time // in the node's time zone
	Synced bool      // the clock was set by a time server
	Auto   bool      // upgrade.auto
	Window window.Window
	Name   string // of the node; chooses its shift
	Locked bool   // nodes of its cluster take turns

	Version  string // of the running system
	Date     int64  // of its lock
	Role     string
	Booting  bool
	Degraded bool // the data partition is not in use, or this is the rescue system
	Trial    bool // the running system is under trial
	Armed    bool // another one waits for the next boot
	Deadline int64
	Health   health.State
	Why      []string // it is not good
	Ledger   ledger.Ledger

	Issued  time.Time       // when the channel was made
	Channel *channel.System // what the channel has for this node; nil for nothing
	Problem error           // why the channel is not known
	Step    *k3sstep.Change // to the k3s of that system; nil if it has none

	Stopped map[string]string // versions that the cluster has stopped, with the reason
	Away    error             // why the server cannot be asked
	Turn    *turns.Answer     // to the question for the turn; nil if it was not asked
}

// Action is what a node does.
type Action string

// The actions.
const (
	Off     Action = "off"     // it does not upgrade itself
	Current Action = "current" // there is nothing newer
	Refuse  Action = "refuse"  // not to that version, until people do something or there is another one
	Wait    Action = "wait"    // later
	Ask     Action = "ask"     // ask the server for the turn
	Upgrade Action = "upgrade" // now
)

// Decision is what to do and why, in a sentence without a full stop.
type Decision struct {
	Do      Action    `json:"do"`
	Why     string    `json:"why"`
	Version string    `json:"version,omitempty"` // that it is about
	Next    time.Time `json:"next,omitzero"`     // when it is worth another look, where that is known
}

// String is the decision for people.
func (d Decision) String() string {
	switch d.Do {
	case Off, Current:
		return d.Why
	case Wait:
		return "waits: " + d.Why
	case Refuse:
		return "does not upgrade: " + d.Why
	}
	return d.Why
}

// Shift is how much later than others a node begins that asks nobody: within its window, and with
// half an hour left of it. In a window that never closes it counts from the making of the channel.
func Shift(name string, w window.Window) time.Duration {
	const most = 30 * time.Minute
	n := int((w.Length() - most) / time.Minute)
	if n <= 0 {
		return 0
	}
	return time.Duration(turn.Number(name, n)) * time.Minute
}

// turnPause is how soon a node asks again that was not given the turn.
const turnPause = 5 * time.Minute

// Decide decides.
func (f Facts) Decide() Decision {
	d, wanted := f.Wanted()
	if !wanted {
		return d
	}
	is := func(do Action, why string, a ...any) Decision {
		return Decision{Do: do, Why: fmt.Sprintf(why, a...), Version: f.Channel.Version}
	}
	if f.Health != health.Good {
		return is(Wait, "for %s the node must be healthy first: %s", f.Channel.Version, strings.Join(f.Why, "; "))
	}
	shift := time.Duration(0)
	if !f.Locked {
		shift = Shift(f.Name, f.Window)
	}
	if f.Window.Always() {
		// A channel that seems to come from the future does not keep the node from an upgrade.
		if due := f.Issued.Add(shift); f.Now.Before(due) && !f.Now.Before(f.Issued) {
			d := is(Wait, "%s comes %s: nodes that ask nobody begin one after the other", f.Channel.Version, due.In(f.Now.Location()).Format("Mon 2006-01-02 15:04 MST"))
			d.Next = due
			return d
		}
		shift = 0
	}
	if open, next := f.Window.Open(f.Now, shift); !open {
		d := is(Wait, "%s comes when the window opens, %s", f.Channel.Version, next.Format("Mon 2006-01-02 15:04 MST"))
		d.Next = next
		return d
	}
	switch {
	case !f.Locked:
		return is(Upgrade, "upgrades to %s now", f.Channel.Version)
	case f.Away != nil:
		return is(Wait, "the server cannot be asked whose turn it is: %v", f.Away)
	case f.Turn == nil:
		return is(Ask, "asks for the turn to upgrade to %s", f.Channel.Version)
	case !f.Turn.Granted:
		d := is(Wait, "for its turn to upgrade to %s: %s", f.Channel.Version, f.Turn.Wait)
		d.Next = f.Now.Add(turnPause)
		return d
	case !f.Now.Before(f.Turn.Until):
		return is(Wait, "its turn was over at %s", f.Turn.Until.Format(time.TimeOnly))
	}
	return is(Upgrade, "upgrades to %s now", f.Channel.Version)
}

// Wanted reports whether the node is to upgrade to what the channel names, when the time has come;
// d has the reason if not.
func (f Facts) Wanted() (d Decision, wanted bool) {
	is := func(do Action, why string, a ...any) (Decision, bool) {
		d := Decision{Do: do, Why: fmt.Sprintf(why, a...)}
		if f.Channel != nil {
			d.Version = f.Channel.Version
		}
		return d, false
	}
	switch {
	case !f.Auto:
		return is(Off, "automatic upgrades are off (upgrade.auto)")
	case f.Degraded:
		return is(Refuse, "the data partition is not in use")
	case f.Booting:
		return is(Wait, "the node is booting")
	case f.Trial:
		return is(Wait, "%s is on trial", f.Version)
	case f.Armed:
		return is(Wait, "an upgrade waits for the next boot")
	case !f.Synced:
		return is(Wait, "the time of this node comes from no time server")
	case f.Problem != nil:
		return is(Wait, "%v", f.Problem)
	case f.Channel == nil:
		return is(Current, "the channel has no system for this node")
	case f.Channel.Version == f.Version:
		return is(Current, "%s is what the channel names", f.Version)
	case f.Channel.Date < f.Date:
		return is(Refuse, "the channel names %s, which is older than %s", f.Channel.Version, f.Version)
	}
	if do, why := f.tried(); why != "" {
		return is(do, "%s", why)
	}
	if why := f.Stopped[f.Channel.Version]; why != "" {
		return is(Refuse, "%s is stopped: %s (`imgbuild upgrade resume SERVER` goes on)", f.Channel.Version, why)
	}
	if f.Step != nil {
		unknown, err := f.Step.Judge()
		switch {
		case err != nil:
			return is(Refuse, "%v", err)
		case unknown != "":
			return is(Refuse, "%s; upgrade by hand", unknown)
		case f.Step.Agent && len(f.Step.Servers) == 0 && !k3sstep.SameMinor(f.Step.From, f.Step.To):
			return is(Wait, "the version of k3s on the server is not known, and an agent must not be newer")
		}
	}
	return Decision{}, true
}

// tried reports what speaks against the channel's version in this node's own past; an empty why
// means nothing. One rollback for something from outside does not.
func (f Facts) tried() (do Action, why string) {
	external := 0
	for i := len(f.Ledger.History) - 1; i >= 0; i-- {
		a := f.Ledger.History[i]
		if a.Version != f.Channel.Version && a.Bundle != f.Channel.Manifest {
			continue
		}
		if a.Result == ledger.Committed {
			return "", "" // it has worked since
		}
		if a.Result != ledger.RolledBack {
			continue
		}
		switch a.Blame {
		case ledger.Open:
			return Wait, fmt.Sprintf("%s was rolled back, and it is not known yet whether this system fails the same checks", a.Version)
		case ledger.External:
			if external++; external < 2 {
				continue
			}
		}
		return Refuse, fmt.Sprintf("%s was rolled back here on %s: %s", a.Version, a.Ended.Format(time.DateOnly), a.Reason)
	}
	return "", ""
}
