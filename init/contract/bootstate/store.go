package bootstate

import (
	"errors"
	"fmt"
	"io"
)

// Device is the disk that holds both copies. Flush returns when everything written is on the
// medium.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Flush() error
}

var offsets = [2]int64{Copy0, Copy1}

// Load reads the record that holds. A copy that cannot be read counts as invalid; errors.Is(err,
// ErrNone) means a lost record, and a disk whose both copies cannot be read gives the read errors
// as well.
func Load(d Device) (Record, error) {
	r, _, err := load(d)
	return r, err
}

func load(d Device) (Record, int, error) {
	var copies [2][]byte
	var bad error
	for i, off := range offsets {
		sector := make([]byte, Size)
		if _, err := d.ReadAt(sector, off); err != nil {
			bad = errors.Join(bad, fmt.Errorf("boot record at byte %d: %w", off, err))
			continue
		}
		copies[i] = sector
	}
	r, newer, err := Choose(copies[0], copies[1])
	if err != nil {
		return r, newer, errors.Join(err, bad)
	}
	return r, newer, nil
}

// Store writes r to both copies, its seq one above what the disk holds. The older copy goes first,
// with a flush before the newer one is touched: at every moment one copy is whole, and it is either
// the state before or the state after.
func Store(d Device, r Record) (Record, error) {
	now, newer, err := load(d)
	if err != nil && !errors.Is(err, ErrNone) {
		return r, err
	}
	older := 0
	if err == nil {
		r.Seq, older = now.Seq+1, 1-newer
	}
	if r.Seq == 0 {
		r.Seq = 1
	}
	if err := write(d, older, r); err != nil {
		return r, err
	}
	return r, write(d, 1-older, r)
}

func write(d Device, number int, r Record) error {
	sector, err := r.Marshal()
	if err != nil {
		return err
	}
	if _, err := d.WriteAt(sector[:], offsets[number]); err != nil {
		return fmt.Errorf("boot record at byte %d: %w", offsets[number], err)
	}
	if err := d.Flush(); err != nil {
		return fmt.Errorf("boot record at byte %d: flush: %w", offsets[number], err)
	}
	return nil
}

// Forget records that nothing is known of a slot any more: it is about to be written. The slot must
// be neither committed nor under trial.
func Forget(d Device, slot string) (Record, error) {
	r, err := Load(d)
	if err != nil {
		return r, err
	}
	if slot != Other(r.Active) || r.Trial == slot {
		return r, fmt.Errorf("boot record: slot %q cannot be written: %s is the committed one and %q under trial", slot, r.Active, r.Trial)
	}
	if r.State(slot) == Empty {
		return r, nil
	}
	r.set(slot, Empty)
	return Store(d, r)
}

// Arm puts a slot under trial: the caller has written, flushed and read it back. Only the older
// copy is written, so that the newer one stays as the state to which a torn trial falls back.
func Arm(d Device, slot string) (Record, error) {
	r, newer, err := load(d)
	if err != nil {
		return r, err
	}
	if r.Trial != "" {
		return r, fmt.Errorf("boot record: slot %s is under trial already", r.Trial)
	}
	if slot != Other(r.Active) {
		return r, fmt.Errorf("boot record: slot %q cannot be tried while %s is the committed one", slot, r.Active)
	}
	r.Seq, r.Trial, r.Left, r.Last = r.Seq+1, slot, MaxLeft, ""
	r.set(slot, Empty)
	return r, write(d, 1-newer, r)
}

// Healthy records that the running slot does its work: a trial of it is committed, its attempts are
// restored, and why the boot before ended is forgotten (the boot script has passed it on as
// shelf.last). It writes nothing if nothing changes, so it may be called again. running is what the
// boot script passed as shelf.slot, not what the record chose: U-Boot boots the other slot when the
// chosen one does not load.
func Healthy(d Device, running string) (Record, error) { return healthy(d, running, false) }

// HealthyAlone is Healthy, and in the same write nothing is known of the other slot any more: its
// system must not start again, whatever befalls this one, because the data are not for it now.
func HealthyAlone(d Device, running string) (Record, error) { return healthy(d, running, true) }

func healthy(d Device, running string, alone bool) (Record, error) {
	if running != A && running != B {
		return Record{}, fmt.Errorf("boot record: running slot %q is not a or b", running)
	}
	r, err := Load(d)
	if errors.Is(err, ErrNone) {
		return Store(d, Fresh(running)) // the other one is empty
	}
	if err != nil {
		return r, err
	}
	before := r
	switch {
	case r.Trial != "" && r.Trial != running && r.Left == MaxLeft:
		// Armed and not yet tried: this system is about to reboot into it.
	case r.Trial != "" && r.Trial != running:
		r.set(r.Trial, Bad)
		r.Trial, r.Left, r.Last = "", MaxLeft, "trial-did-not-start"
	case r.Trial == "" && r.Active != running:
		// The committed slot did not load, the other one did: make that the rule, or every boot
		// fails once first.
		r.set(r.Active, Bad)
		r.Active, r.Left, r.Last = running, MaxLeft, Reason(r.Active+" did not load")
	case r.Trial != "" || r.Left != MaxLeft: // the first time in this boot
		r.Active, r.Trial, r.Left, r.Last = running, "", MaxLeft, ""
	}
	r.set(running, Good)
	if alone && r.Trial == "" {
		r.set(Other(running), Empty)
	}
	if r == before {
		return r, nil
	}
	return Store(d, r)
}

// Yield gives up the committed slot for a reason: it is bad, and the other one, which must be good,
// is the committed one from now on.
func Yield(d Device, running, reason string) (Record, error) {
	r, err := Load(d)
	if err != nil {
		return r, err
	}
	other := Other(running)
	if r.Active != running || r.Trial != "" || r.State(other) != Good {
		return r, fmt.Errorf("boot record: slot %q cannot yield: %s is the committed one, %q under trial, and the other slot is %s", running, r.Active, r.Trial, r.State(other))
	}
	r.set(running, Bad)
	r.Active, r.Left, r.Last = other, MaxLeft, Reason(reason)
	return Store(d, r)
}

// Rollback gives up the trial for a reason: the slot is bad and the committed one boots next.
// Without a trial it only records the reason.
func Rollback(d Device, reason string) (Record, error) {
	r, err := Load(d)
	if err != nil {
		return r, err
	}
	r.Last = Reason(reason)
	if r.Trial != "" {
		r.set(r.Trial, Bad)
		r.Trial, r.Left = "", MaxLeft
	}
	return Store(d, r)
}

// Disarm takes back a trial that was armed and not tried yet. Nothing is known of its slot then.
func Disarm(d Device) (Record, error) {
	r, err := Load(d)
	if err != nil || r.Trial == "" {
		return r, err
	}
	r.set(r.Trial, Empty)
	r.Trial, r.Left = "", MaxLeft
	return Store(d, r)
}

// Select makes a good slot the committed one, for a reason. The slot that was it stays good, and
// takes over if the selected one uses up its attempts.
func Select(d Device, slot, reason string) (Record, error) {
	r, err := Load(d)
	if err != nil {
		return r, err
	}
	if slot != A && slot != B || r.State(slot) != Good || r.Trial != "" {
		return r, fmt.Errorf("boot record: slot %q cannot be selected: it is %s, and %q is under trial", slot, r.State(slot), r.Trial)
	}
	if r.Active == slot {
		return r, nil
	}
	r.Active, r.Left, r.Last = slot, MaxLeft, Reason(reason)
	return Store(d, r)
}
