package backup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
	"imgbuild/init/status/monitor"
)

// Keeper decides when backups are made. It belongs to PID 1; the work is done by Start, in a
// process of its own. Its fields are set before use; all methods may be called from any goroutine.
type Keeper struct {
	Servers func() []string                               // the names of storage.backup.to, sorted
	Own     func() string                                 // .shelfos of the first disk that can be written; empty for none
	Start   func(ctx context.Context, place string) error // makes a backup, and notes in the State how it went
	Done    func()                                        // one has ended
	Log     func(format string, a ...any)

	sys, dev string // for tests; empty: /sys and /dev

	mu    sync.Mutex
	state State
	blind error             // why the state or the disks cannot be read
	err   error             // how Start failed before it noted anything
	busy  string            // the place that is written now
	seen  map[string]string // attached disks
	tried map[string]string // by place, the attachment of its disk that a backup was tried to
}

// Look begins the backup that is due, if there is one. It does not wait for it. It is called when
// disks come and go, and every few minutes.
func (k *Keeper) Look(ctx context.Context) {
	own := k.Own()
	if own == "" {
		return
	}
	s, err := Load(own)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.blind = err; err != nil {
		return
	}
	if !slices.Equal(s.uuids(), k.state.uuids()) {
		k.seen = nil // a file system may just have been made
	}
	servers := k.Servers()
	k.state = s.without(func(name string) bool { return slices.Contains(servers, name) })
	for _, name := range servers {
		if _, ok := k.state.Places[name]; !ok { // none was made yet
			k.state = k.state.with(name, func(*Place) {})
		}
	}
	if s = k.state; len(s.Places) == 0 || k.busy != "" {
		return
	}
	sys, dev := "/sys", "/dev"
	if k.sys != "" {
		sys, dev = k.sys, k.dev
	}
	if k.seen, k.blind = attached(sys, dev, k.seen); k.blind != nil {
		return
	}
	if k.tried == nil {
		k.tried = map[string]string{}
	}
	for _, name := range s.Names() {
		at := k.attachment(s.Places[name].UUID)
		disk := !slices.Contains(servers, name)
		if disk && at == "" || !Due(s.Places[name], disk && k.tried[name] != at, time.Now()) {
			continue
		}
		k.tried[name], k.busy = at, name
		guard.Go(func() { k.run(ctx, name) })
		return
	}
}

// run makes one backup.
func (k *Keeper) run(ctx context.Context, name string) {
	k.Log("backup: one is made to %s", name)
	err := k.Start(ctx, name)
	own := k.Own()
	s, lerr := Load(own)
	k.mu.Lock()
	k.busy = ""
	if own != "" && lerr == nil {
		k.state = s
	}
	k.err = nil
	noted := err == nil || k.state.Places[name].Error != ""
	if !noted { // it had not begun: somebody else makes one, or reads the disk
		k.err = err
		delete(k.tried, name)
	}
	k.mu.Unlock()
	if err == nil {
		k.Log("backup: all shares are at %s; a disk may be unplugged now", name)
	}
	if noted {
		k.Done()
	}
}

// attachment is where a file system is attached; empty for nowhere. mu is held.
func (k *Keeper) attachment(uuid string) string {
	for _, key := range slices.Sorted(maps.Keys(k.seen)) {
		if uuid != "" && strings.EqualFold(k.seen[key], uuid) {
			return key
		}
	}
	return ""
}

// uuids are those of the enrolled disks, sorted.
func (s State) uuids() (list []string) {
	for _, p := range s.Places {
		list = append(list, p.UUID)
	}
	slices.Sort(list)
	return list
}

// Sample is when the last good backup to each place was made.
func (k *Keeper) Sample() (list []monitor.StorageBackup) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range k.state.Names() {
		list = append(list, monitor.StorageBackup{Place: name, Good: k.state.Places[name].Good})
	}
	return list
}

// Old is the age from which on backups are reported as old.
const Old = 14 * 24 * time.Hour

// Err is what is wrong with the last attempts; nil for nothing.
func (k *Keeper) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range k.state.Names() {
		if p := k.state.Places[name]; p.Error != "" {
			return fault.New(fault.Unhealthy, "see `sudo shelf backup`", "the backup to %s failed: %s", name, p.Error)
		}
	}
	if k.blind != nil {
		return k.blind
	}
	return fault.Wrap(k.err, fault.Unhealthy, "see `sudo shelf backup`", "the backup failed")
}

// Trouble is a line for people when no place has a backup that is young enough; empty otherwise.
func (k *Keeper) Trouble(now time.Time) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.trouble(now)
}

func (s State) trouble(now time.Time) string {
	if len(s.Places) == 0 {
		return ""
	}
	var best time.Time
	for _, p := range s.Places {
		if p.Good.After(best) {
			best = p.Good
		}
	}
	switch age := now.Sub(best); {
	case best.IsZero():
		return "there is no backup yet (" + strings.Join(s.Names(), ", ") + "; see `sudo shelf backup`)"
	case age > Old:
		return fmt.Sprintf("the last good backup is %d days old (%s; see `sudo shelf backup`)", int(age.Hours()/24), strings.Join(s.Names(), ", "))
	}
	return ""
}
