// Package record is PID 1's one way to the boot record on the disk that it was started from. Every
// use opens the disk again and one writer goes at a time: several goroutines note things, and two
// that read and then write would lose one of them.
package record

import (
	"errors"
	"sync"

	"imgbuild/init/boot/decide"
	"imgbuild/init/contract/bootstate"
)

// ErrNoDisk means that the boot disk was not found, so that there is no record to read or write.
var ErrNoDisk = errors.New("boot record: the boot disk is not known")

// Record is the boot record of a disk. The zero value has none. All methods may be called from any
// goroutine.
type Record struct {
	mu   sync.Mutex
	path string
}

// On is the device of the record: the whole disk, such as /dev/mmcblk0.
func (r *Record) On(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.path = path
}

// Read returns the record as it is. errors.Is(err, bootstate.ErrNone) means that there is none.
func (r *Record) Read() (state bootstate.Record, err error) {
	err = r.with(false, func(d *bootstate.Disk) error {
		state, err = bootstate.Load(d)
		return err
	})
	return state, err
}

// Healthy notes that the running slot does its work: a trial of it is committed, its attempts are
// restored.
func (r *Record) Healthy(slot string) error {
	return r.with(true, func(d *bootstate.Disk) error {
		_, err := bootstate.Healthy(d, slot)
		return err
	})
}

// HealthyAlone is Healthy, and nothing is known of the other slot any more.
func (r *Record) HealthyAlone(slot string) error {
	return r.change(func(d *bootstate.Disk) (bootstate.Record, error) { return bootstate.HealthyAlone(d, slot) })
}

// Yield replaces the committed slot by the other one, which must be good.
func (r *Record) Yield(slot, reason string) error {
	return r.change(func(d *bootstate.Disk) (bootstate.Record, error) { return bootstate.Yield(d, slot, reason) })
}

// Note notes why the boot ends, and gives up the trial if that is the decision. A reason that
// is there already, or a record that is lost, costs no write.
func (r *Record) Note(note decide.Note, reason string) error {
	if note == decide.Nothing {
		return nil
	}
	return r.with(true, func(d *bootstate.Disk) error {
		if note == decide.Blame {
			_, err := bootstate.Rollback(d, reason)
			return err
		}
		state, err := bootstate.Load(d)
		if errors.Is(err, bootstate.ErrNone) || err == nil && state.Last == bootstate.Reason(reason) {
			return nil
		}
		if err == nil {
			state.Last = bootstate.Reason(reason)
			_, err = bootstate.Store(d, state)
		}
		return err
	})
}

// Forget notes that nothing is known of a slot any more: it is about to be written.
func (r *Record) Forget(slot string) error {
	return r.change(func(d *bootstate.Disk) (bootstate.Record, error) { return bootstate.Forget(d, slot) })
}

// Arm has the next boot try a slot.
func (r *Record) Arm(slot string) error {
	return r.change(func(d *bootstate.Disk) (bootstate.Record, error) { return bootstate.Arm(d, slot) })
}

// Disarm takes that back.
func (r *Record) Disarm() error {
	return r.change(func(d *bootstate.Disk) (bootstate.Record, error) { return bootstate.Disarm(d) })
}

// Select makes a good slot the committed one.
func (r *Record) Select(slot, reason string) error {
	return r.change(func(d *bootstate.Disk) (bootstate.Record, error) { return bootstate.Select(d, slot, reason) })
}

func (r *Record) change(do func(*bootstate.Disk) (bootstate.Record, error)) error {
	return r.with(true, func(d *bootstate.Disk) error {
		_, err := do(d)
		return err
	})
}

// with opens the disk for one use.
func (r *Record) with(write bool, use func(*bootstate.Disk) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.path == "" {
		return ErrNoDisk
	}
	d, err := bootstate.OpenDisk(r.path, write)
	if err != nil {
		return err
	}
	return errors.Join(use(d), d.Close())
}
