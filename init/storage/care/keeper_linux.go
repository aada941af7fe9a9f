package care

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/mount"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// recordFile is where a disk's Record is, below its mount point.
const recordFile = ".shelfos/care.json"

// Where btrfs scrub writes how far it is, every few seconds, and the memory that is put there: it
// would write to the boot disk. How a scrub ended is in the Record.
const (
	progressDir    = "/var/lib/btrfs"
	progressMemory = "/run/shelf/storage/btrfs"
)

// inMemory mounts memory over the directory of scrub's progress, once.
func inMemory() error {
	if on, err := mountinfo.Mounted(progressDir); on || err != nil {
		return err
	}
	return mount.Do(mount.Dir{Path: progressMemory, Mode: 0o700}, mount.Mount{Source: progressMemory, Path: progressDir, Flags: unix.MS_BIND})
}

// Disk is a disk in use, as far as its care goes.
type Disk struct {
	Name, At string
	UUID     string
	Paths    []string // of the disks that it is on
	Btrfs    bool
	ReadOnly bool
	Repair   bool // a member has missed writes

	Spindown time.Duration // 0: it always turns
}

// State is how a disk is looked after.
type State struct {
	Doing string `json:"doing,omitempty"` // what goes on; empty for nothing
	Record
	Last string `json:"last,omitempty"` // how the last order or repair ended

	Space  Space    `json:"space,omitzero"`
	Errors []Errors `json:"errors,omitempty"`
	Smart  []Smart  `json:"smart,omitempty"`

	Resting []string `json:"resting,omitempty"` // devices that were stopped because nobody used them

	disk   Disk
	tried  bool      // a repair was begun since the boot
	upkeep bool      // trim or SMART goes on
	asked  time.Time // when SMART was asked for

	measured time.Time // when space and errors were read
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
	spins  bool // disks that nobody uses are stopped
}

// measureEvery is for how long a count of space and errors is taken for the newest: status, health
// and metrics ask for it several times in a second, and each count reads a dozen files.
const measureEvery = 15 * time.Second

// State returns how a disk is, and how it is looked after.
func (k *Keeper) State(disk string) State {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.states[disk]
	if s == nil {
		return State{}
	}
	if now := time.Now(); s.measured.IsZero() || now.Sub(s.measured) >= measureEvery {
		s.measured = now
		k.measure(s.disk, s)
	}
	return *s
}

// Look begins what is due of the disks in use. It does not wait for it.
func (k *Keeper) Look(ctx context.Context, list []Disk) {
	if slices.ContainsFunc(list, func(d Disk) bool { return d.Spindown > 0 }) {
		k.mu.Lock()
		if !k.spins {
			k.spins = true
			guard.Go(func() { k.spin(ctx) })
		}
		k.mu.Unlock()
	}
	for _, d := range list {
		s, err := k.load(d)
		if err != nil {
			k.Say("disk %s: %v", d.Name, err)
			continue
		}
		now, known := k.Clock()
		if known && s.Begun.IsZero() && !d.ReadOnly {
			err := k.change(d, func(s *State) { s.Begun = now })
			if err != nil {
				k.Say("disk %s: %v", d.Name, err)
			}
		}
		k.upkeep(ctx, d)
		switch {
		case !d.Btrfs || d.ReadOnly:
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
	k.Say("disk %s: it is being %s", d.Name, doing)
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
		s.disk = d
		return *s, nil
	}
	s := &State{disk: d}
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
	if err := inMemory(); err != nil {
		k.Say("disk %s: the progress of the scrub is written to the boot disk: %v", d.Name, err)
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
		s.Scrub, s.Done, s.Scrubbed = found, true, time.Time{}
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
