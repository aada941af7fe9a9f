package care

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"
)

// recordFile is where a disk's Record is, below its mount point.
const recordFile = ".shelfos/care.json"

// Disk is a disk in use, as far as its care goes.
type Disk struct {
	Name, At string
	Btrfs    bool
	ReadOnly bool
	Repair   bool // a member has missed writes
}

// State is how a disk is looked after.
type State struct {
	Doing string `json:"doing,omitempty"` // what goes on; empty for nothing
	Record
	Last string `json:"last,omitempty"` // how the last order or repair ended

	tried bool // a repair was begun since the boot
}

// Keeper looks after disks. Its fields are set before use; all methods may be called from any
// goroutine.
type Keeper struct {
	Clock func() (now time.Time, known bool)
	Whole func(disk string) error // a disk is redundant again
	Say   func(format string, a ...any)

	mu     sync.Mutex
	states map[string]*State
	cancel map[string]context.CancelFunc
}

// State returns how a disk is looked after.
func (k *Keeper) State(disk string) State {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.states[disk]; s != nil {
		return *s
	}
	return State{}
}

// Look begins what is due of the disks in use. It does not wait for it.
func (k *Keeper) Look(ctx context.Context, list []Disk) {
	for _, d := range list {
		if !d.Btrfs || d.ReadOnly {
			continue
		}
		s, err := k.load(d)
		if err != nil {
			k.Say("disk %s: %v", d.Name, err)
			continue
		}
		now, known := k.Clock()
		if known && s.Begun.IsZero() {
			err := k.change(d, func(s *State) { s.Begun = now })
			if err != nil {
				k.Say("disk %s: %v", d.Name, err)
			}
		}
		switch {
		case d.Repair && !s.tried:
			k.mu.Lock()
			k.states[d.Name].tried = true
			k.mu.Unlock()
			_ = k.begin(ctx, d, "scrubbed, and made redundant again", k.repair)
		case ScrubDue(s.Record, now, known):
			_ = k.begin(ctx, d, "scrubbed", k.scrub)
		}
	}
}

// Order begins a scrub, a balance, or a replacement of a member by another device.
func (k *Keeper) Order(ctx context.Context, d Disk, what string, args ...string) error {
	switch {
	case !d.Btrfs:
		return fault.New(fault.Usage, "", "the disk %s has no btrfs file system", d.Name)
	case d.ReadOnly:
		return fault.New(fault.Usage, "run `shelf storage`", "the disk %s can only be read", d.Name)
	}
	switch what {
	case "scrub":
		return k.begin(ctx, d, "scrubbed", k.scrub)
	case "balance":
		return k.begin(ctx, d, "balanced", k.balance)
	case "replace":
		return k.begin(ctx, d, "copied to "+args[1], func(ctx context.Context, d Disk) error { return k.replace(ctx, d, args[0], args[1]) })
	}
	return fault.New(fault.Usage, "", "unknown order %q", what)
}

// Cancel ends what goes on with a disk.
func (k *Keeper) Cancel(disk string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	stop := k.cancel[disk]
	if stop == nil {
		return fault.New(fault.Usage, "run `shelf storage`", "nothing goes on with the disk %q", disk)
	}
	stop()
	return nil
}

// begin starts one thing, unless another one goes on.
func (k *Keeper) begin(ctx context.Context, d Disk, doing string, do func(context.Context, Disk) error) error {
	if _, err := k.load(d); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.states[d.Name]
	if s.Doing != "" {
		return fault.New(fault.Usage, "wait for its end; `shelf storage` reports it", "the disk %s is being %s", d.Name, s.Doing)
	}
	ctx, stop := context.WithCancel(ctx)
	s.Doing = doing
	if k.cancel == nil {
		k.cancel = map[string]context.CancelFunc{}
	}
	k.cancel[d.Name] = stop
	k.Say("disk %s: it is %s", d.Name, doing)
	guard.Go(func() {
		err := do(ctx, d)
		stop()
		k.mu.Lock()
		s.Doing, s.Last = "", "it was "+doing
		if err != nil {
			s.Last = "it was not " + doing + ": " + err.Error()
		}
		delete(k.cancel, d.Name)
		last := s.Last
		k.mu.Unlock()
		k.Say("disk %s: %s", d.Name, last)
	})
	return nil
}

// load reads the record of a disk, once.
func (k *Keeper) load(d Disk) (State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.states[d.Name]; s != nil {
		return *s, nil
	}
	s := &State{}
	data, err := os.ReadFile(filepath.Join(d.At, recordFile))
	if err == nil {
		err = json.Unmarshal(data, &s.Record)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		k.Say("disk %s: %v; the record of its care begins again", d.Name, err)
		s.Record = Record{}
	}
	if k.states == nil {
		k.states = map[string]*State{}
	}
	k.states[d.Name] = s
	return *s, nil
}

func (k *Keeper) change(d Disk, f func(*State)) error {
	k.mu.Lock()
	s := k.states[d.Name]
	f(s)
	r := s.Record
	k.mu.Unlock()
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return fault.Wrap(atomicfile.Write(filepath.Join(d.At, recordFile), append(data, '\n'), 0o600), fault.Device, "", "recording the care of the disk %s", d.Name)
}

// scrub reads every block and writes bad ones again from good copies.
func (k *Keeper) scrub(ctx context.Context, d Disk) error {
	now, known := k.Clock()
	if known {
		if err := k.change(d, func(s *State) { s.Begun = now }); err != nil {
			return err
		}
	}
	// One of an earlier boot, or of another program, is not in the way.
	res, err := supervise.Run(ctx, supervise.Cmd("btrfs", "scrub", "start", "-B", "-R", "-f", d.At))
	found, counted := ParseScrub(string(res.Output))
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case counted: // 3: some could not be corrected; the counts say so
		err = nil
	}
	saved := k.change(d, func(s *State) {
		if s.Failed = ""; err != nil {
			s.Failed = err.Error()
			return
		}
		s.Scrub, s.Scrubbed = found, time.Time{}
		if end, known := k.Clock(); known {
			s.Scrubbed = end
		}
	})
	if err == nil && !found.Good() {
		err = fault.New(fault.Device, "see `shelf dmesg` for the files; bring them back from a snapshot or backup, and replace the disk",
			"the scrub found %d damaged blocks that no copy is left of", found.Uncorrectable)
	}
	return errors.Join(err, saved)
}

// repair makes a disk redundant again of which a member has missed writes.
func (k *Keeper) repair(ctx context.Context, d Disk) error {
	if err := k.scrub(ctx, d); err != nil {
		return err
	}
	return k.redundant(ctx, d)
}

// redundant converts what was written to one disk alone, and reports the disk whole when nothing of
// that is left.
func (k *Keeper) redundant(ctx context.Context, d Disk) error {
	left, err := leftovers(ctx, d.At)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		if _, err := supervise.Run(ctx, supervise.Cmd(append(append([]string{"btrfs", "balance", "start"}, left...), d.At)...)); err != nil {
			return fault.Wrap(err, fault.Device, "see `shelf dmesg`", "making the disk %s redundant", d.Name)
		}
		if left, err = leftovers(ctx, d.At); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		return fault.New(fault.Device, "run `sudo shelf storage balance "+d.Name+"`", "some data of the disk %s are on one disk alone", d.Name)
	}
	return k.Whole(d.Name)
}

func leftovers(ctx context.Context, at string) ([]string, error) {
	res, err := supervise.Run(ctx, supervise.Cmd("btrfs", "filesystem", "df", "-b", at))
	if err != nil {
		return nil, err
	}
	list := ParseChunks(string(res.Output))
	if len(list) == 0 {
		return nil, fmt.Errorf("btrfs filesystem df %s reports no space", at)
	}
	return Leftovers(list), nil
}

// balance returns half-empty chunks back, so that there is space for new ones of either kind.
func (k *Keeper) balance(ctx context.Context, d Disk) error {
	left, err := leftovers(ctx, d.At)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return k.redundant(ctx, d)
	}
	_, err = supervise.Run(ctx, supervise.Cmd("btrfs", "balance", "start", "-dusage=50", "-musage=30", d.At))
	return err
}

// replace copies a member, or what is left of it on the others, to a device.
func (k *Keeper) replace(ctx context.Context, d Disk, member, device string) error {
	if _, err := supervise.Run(ctx, supervise.Cmd("btrfs", "replace", "start", "-B", "-r", member, device, d.At)); err != nil {
		return fault.Wrap(err, fault.Device, "see `shelf dmesg`", "copying to %s", device)
	}
	if _, err := supervise.Run(ctx, supervise.Cmd("btrfs", "filesystem", "resize", member+":max", d.At)); err != nil {
		return err
	}
	return k.redundant(ctx, d)
}
