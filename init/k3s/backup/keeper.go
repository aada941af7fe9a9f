package backup

import (
	"context"
	"time"

	"imgbuild/init/contract/config"
)

// every is how old a backup may become.
const every = 24 * time.Hour

// first and last pause after a failure.
const (
	firstRetry = 2 * time.Minute
	lastRetry  = time.Hour
)

// Keeper sees to it that a backup is made every day. It belongs to PID 1; the work is done by Start, in a process of its own.
type Keeper struct {
	Dir    string
	Config func() *config.Config
	Ready  func() bool                     // k3s runs
	Start  func(ctx context.Context) error // makes one backup, and notes in Dir how it went
	Failed func(err error)                 // nil error: it works again
	Look   time.Duration                   // how often it looks; a minute if 0
}

// Run looks until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	look := k.Look
	if look == 0 {
		look = time.Minute
	}
	t := time.NewTicker(look)
	defer t.Stop()
	for {
		if k.Config().Backup.To != "" && k.Ready() {
			if s, err := Load(k.Dir); err != nil || due(s, Shown(k.Config().Backup.To), time.Now()) {
				k.Failed(k.Start(ctx))
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// due says whether it is time for a backup. Clocks of boards jump: what was made in the future was made with a wrong one, and
// does not count.
func due(s State, to string, now time.Time) bool {
	if s.Fails > 0 && s.To == to {
		pause := firstRetry
		for range s.Fails - 1 {
			pause = min(2*pause, lastRetry)
		}
		since := now.Sub(s.Tried)
		return since >= pause || since < 0
	}
	age := now.Sub(s.Last)
	return s.To != to || age >= every || age < -time.Hour
}
