// Package upgrades is PID 1's part in upgrades: it writes the ledger, arms slots, and ends trials.
// Package decide decides about a trial; the boot record decides what boots.
package upgrades

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"imgbuild/init/boot/decide"
	"imgbuild/init/boot/record"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/fault"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/ledger"
)

// Window is how long before arming a check may have passed last to count as one that did.
const Window = time.Hour

// MaxHold is how long a trial can be held, in one order.
const MaxHold = 24 * time.Hour

// Hooks is what others do at the turns of an upgrade. Nil ones do nothing. They are set before
// Open, or by Hook, and called one at a time. All but Arm and Leave, which may take their time,
// must not call the Keeper.
type Hooks struct {
	Arm       func(a ledger.Attempt) error // before a slot is armed; an error refuses it
	Leave     func(a ledger.Attempt) error // the services have stopped, the next boot tries the slot; an error takes it back
	Commit    func(a ledger.Attempt)       // the running slot was committed
	FellBack  func(a ledger.Attempt)       // at the boot after a trial that was not committed, before k3s starts
	Unwind    func(l ledger.Ledger) error  // before a committed system yields to the one before by hand; an error refuses it
	Withdrawn func(a ledger.Attempt)       // what was armed was taken back
}

// Keeper keeps the ledger. The zero value keeps it in memory only, as a node without its data
// partition does. Methods may be called from any goroutine after Open.
type Keeper struct {
	Hooks Hooks

	mu      sync.Mutex
	path    string
	l       ledger.Ledger
	rec     *record.Record
	slot    string // that runs
	trial   bool   // the running slot is under trial
	passed  map[string]time.Time
	held    time.Time // until then the trial is not ended
	ordered bool      // commit by hand
	arming  bool      // Hooks.Arm runs
}

// Hook sets the hooks while the node runs.
func (k *Keeper) Hook(h Hooks) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Hooks = h
}

// Open reads the ledger at path (empty: nothing is kept), and ends the attempt whose fate the boot
// record shows. last is why the boot before ended. What it returns is for people: the ledger could
// not be read or written.
func (k *Keeper) Open(path, slot string, trial bool, rec *record.Record, last string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.path, k.slot, k.trial, k.rec, k.passed = path, slot, trial, rec, map[string]time.Time{}
	if path == "" {
		return nil
	}
	l, err := ledger.Load(path)
	k.l = *l
	a := k.l.Attempt
	if a == nil {
		return err
	}
	state, rerr := rec.Read()
	if rerr != nil && !errors.Is(rerr, bootstate.ErrNone) {
		return errors.Join(err, rerr)
	}
	was := *a
	switch (decide.Past{Slot: a.Slot, Running: slot, Trial: trial, Record: state}).Fate() {
	case decide.Committed:
		k.l.End(ledger.Committed, "the power went right after it", time.Now())
		err = errors.Join(err, k.save())
		if k.Hooks.Commit != nil {
			k.Hooks.Commit(was)
		}
	case decide.FellBack:
		// A trial that did not load still has attempts: without this the next boot tries it again,
		// while the ledger has it rolled back.
		if state.Trial == a.Slot {
			if rerr := rec.Note(decide.Blame, "trial-did-not-start"); rerr != nil {
				return errors.Join(err, fault.Wrap(rerr, fault.Device, "replace the card if this comes again", "the boot record"))
			}
		}
		k.l.End(ledger.RolledBack, cmp.Or(a.Reason, last, "it did not start"), time.Now())
		if k.Hooks.FellBack != nil {
			k.Hooks.FellBack(was) // first: after a power cut it is called again
		}
		err = errors.Join(err, k.save())
	case decide.Unknown:
		k.l.Attempt = nil // nothing has come of it
		err = errors.Join(err, k.save())
	}
	return err
}

func (k *Keeper) save() error {
	if k.path == "" {
		return nil
	}
	return k.l.Save(k.path)
}

// Ledger is what is known by now.
func (k *Keeper) Ledger() ledger.Ledger {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.l
	l.History = slices.Clone(l.History)
	if l.Attempt != nil {
		a := *l.Attempt
		l.Attempt = &a
	}
	return l
}

// Trial is the attempt that runs under trial; nil if none does, or nobody noted it.
func (k *Keeper) Trial() *ledger.Attempt {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a := k.l.Attempt; k.trial && a != nil && a.Slot == k.slot {
		one := *a
		return &one
	}
	return nil
}

// Trialing reports whether the running slot is under trial, and was not committed yet.
func (k *Keeper) Trialing() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trial
}

// Armed is the attempt that waits for the next boot; nil for none.
func (k *Keeper) Armed() *ledger.Attempt {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a := k.l.Attempt; a != nil && a.Slot != k.slot {
		one := *a
		return &one
	}
	return nil
}

// Sample notes which checks pass now. now is read from the clock of this process, so that a clock
// that is set does not matter.
func (k *Keeper) Sample(v health.Verdict, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sample(v, now)
}

func (k *Keeper) sample(v health.Verdict, now time.Time) {
	if k.passed == nil {
		k.passed = map[string]time.Time{}
	}
	for _, name := range v.Passed() {
		k.passed[name] = now
	}
}

// Forget notes that a slot is about to be written.
func (k *Keeper) Forget(slot string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.trial {
		return errTrial
	}
	if slot == k.slot {
		return fault.New(fault.Usage, "", "slot %s runs, it cannot be written", slot)
	}
	return fault.Wrap(k.rec.Forget(slot), fault.Device, "replace the card if this comes again", "the boot record")
}

var errTrial = fault.New(fault.Unhealthy, "wait until it is committed, or run shelf commit or shelf rollback", "the running system is under trial itself")

// Arm notes what passes now, and has the next boot try the slot. refused are the keys of the
// configuration that this system refuses.
func (k *Keeper) Arm(a ledger.Attempt, v health.Verdict, refused []string, now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.trial {
		return errTrial
	}
	if k.path == "" {
		return fault.New(fault.Device, "run shelf data", "the data partition is not in use")
	}
	if k.l.Attempt != nil || k.arming {
		return fault.New(fault.Unhealthy, "reboot into it, or take it back with shelf rollback", "another upgrade waits for the next boot")
	}
	k.sample(v, now)
	a.Before, a.Refused, a.Armed = []string{}, refused, now.UTC()
	for _, r := range v.Results {
		if at, ok := k.passed[r.Check]; ok && now.Sub(at) <= Window {
			a.Before = append(a.Before, r.Check)
		}
	}
	if arm := k.Hooks.Arm; arm != nil {
		k.arming = true // the state of the node can be asked for meanwhile
		k.mu.Unlock()
		err := arm(a)
		k.mu.Lock()
		k.arming = false
		if err != nil {
			return err
		}
	}
	// The ledger goes first: a trial that nobody noted could not be compared with anything.
	k.l.Attempt = &a
	if err := k.save(); err != nil {
		k.l.Attempt = nil
		return err
	}
	if err := k.rec.Arm(a.Slot); err != nil {
		k.l.Attempt = nil
		return errors.Join(fault.Wrap(err, fault.Device, "replace the card if this comes again", "the boot record"), k.save())
	}
	k.trial = false
	return nil
}

// Withdraw takes back what was armed.
func (k *Keeper) Withdraw(reason string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.withdraw(reason)
}

func (k *Keeper) withdraw(reason string) error {
	if err := k.rec.Disarm(); err != nil {
		return fault.Wrap(err, fault.Device, "replace the card if this comes again", "the boot record")
	}
	if a := k.l.Attempt; a != nil && k.Hooks.Withdrawn != nil {
		k.Hooks.Withdrawn(*a)
	}
	k.l.End(ledger.Withdrawn, reason, time.Now())
	return k.save()
}

// Leave is called when the services have stopped and the node is about to end. It returns why an
// upgrade that was armed is not tried.
func (k *Keeper) Leave() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, leave := k.l.Attempt, k.Hooks.Leave
	if a == nil || a.Slot == k.slot || leave == nil {
		return nil
	}
	one := *a
	k.mu.Unlock()
	err := leave(one)
	k.mu.Lock()
	if err == nil || k.l.Attempt == nil {
		return err
	}
	return errors.Join(err, k.withdraw(err.Error()))
}

// Committed notes that the running slot was committed: by its checks, or by hand.
func (k *Keeper) Committed(v health.Verdict) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.l.Attempt
	if !k.trial {
		return nil
	}
	k.trial = false
	if a == nil || a.Slot != k.slot {
		return nil
	}
	why := "its checks passed"
	if k.ordered {
		why = "by hand"
	}
	a.Judged = v.Results
	done := *a
	k.l.End(ledger.Committed, why, time.Now())
	err := k.save()
	if k.Hooks.Commit != nil {
		k.Hooks.Commit(done)
	}
	return err
}

// GaveUp notes why the trial that runs is given up; the system before ends the attempt when it
// boots.
func (k *Keeper) GaveUp(reason string, v health.Verdict, failed []health.Result) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.l.Attempt
	if !k.trial || a == nil || a.Slot != k.slot {
		return nil
	}
	a.Reason, a.Judged, a.Failed = reason, v.Results, nil
	for _, r := range failed {
		a.Failed = append(a.Failed, r.Check)
	}
	return k.save()
}

// Blame settles whether the last rollback was for something from outside. done reports that there
// is nothing left to settle.
func (k *Keeper) Blame(v health.Verdict, late bool) (done bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.l.History) == 0 {
		return true, nil
	}
	a := &k.l.History[len(k.l.History)-1]
	if a.Result != ledger.RolledBack || a.Blame != ledger.Open {
		return true, nil
	}
	b := decide.BlameOf(a.Failed, v, late)
	if b == ledger.Open {
		return false, nil
	}
	a.Blame = b
	return true, k.save()
}

// Hold keeps the trial from being ended for some time; zero ends that.
func (k *Keeper) Hold(limit time.Duration, now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !k.trial:
		return errNoTrial
	case limit < 0 || limit > MaxHold:
		return fault.New(fault.Usage, "give up to "+MaxHold.String(), "a trial cannot be held for %v", limit)
	}
	k.held = now.Add(limit)
	return nil
}

var errNoTrial = fault.New(fault.Usage, "look at shelf status", "the running system is not under trial")

// Held reports whether the trial is held.
func (k *Keeper) Held(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trial && now.Before(k.held)
}

// Order commits the trial by hand, at the next look.
func (k *Keeper) Order() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.trial {
		return errNoTrial
	}
	k.ordered = true
	return nil
}

// Ordered reports whether somebody has.
func (k *Keeper) Ordered() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ordered
}

// Unwound notes that a committed system yields by hand to the one before: the bundle is not taken
// again by itself. version is that of the running system.
func (k *Keeper) Unwound(version string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range slices.Backward(k.l.History) {
		if a.Version == version && a.Result == ledger.Committed {
			a.Judged, a.Failed = nil, nil
			k.l.Attempt = &a
			k.l.End(ledger.RolledBack, "by hand", time.Now())
			return k.save()
		}
	}
	return nil
}

// Select makes the other slot the committed one.
func (k *Keeper) Select(slot string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Hooks.Unwind != nil {
		if err := k.Hooks.Unwind(k.l); err != nil {
			return err
		}
	}
	return fault.Wrap(k.rec.Select(slot, "rollback"), fault.Device, "replace the card if this comes again", "the boot record")
}
