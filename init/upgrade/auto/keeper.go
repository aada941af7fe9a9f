package auto

import (
	"context"
	"math/rand/v2"
	"time"

	"imgbuild/init/contract/config"
)

// How long a node waits between looks. They are spread, so that not all of them ask at once.
const (
	firstPause  = time.Minute
	holdPause   = time.Minute // while it has a turn, or has to report
	shortest    = 20 * time.Minute
	longest     = 40 * time.Minute // shorter than turns.Settle
	configPause = time.Minute      // while automatic upgrades are off
)

// Keeper looks from time to time. It belongs to PID 1; Start does a look in a process of its own,
// and keeps in Load's memory how it went.
type Keeper struct {
	Config func() *config.Config
	Load   func() (Memory, error)
	Start  func(ctx context.Context) error
	Failed func(err error) // called when what is wrong changes; nil: nothing is
}

// Run looks until ctx ends.
func (k Keeper) Run(ctx context.Context) {
	pause, told := firstPause+spread(2*firstPause), ""
	for {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		m, err := k.Load()
		if pause = configPause; k.Config().Upgrade.Auto || m.Holding != nil {
			if err = k.Start(ctx); err == nil {
				m, err = k.Load()
			}
			pause = Pause(m, time.Now(), spread(longest-shortest))
		}
		if text := ""; err != nil || told != "" {
			if err != nil {
				text = err.Error()
			}
			if text != told {
				told = text
				k.Failed(err)
			}
		}
	}
}

func spread(most time.Duration) time.Duration { return rand.N(most) }

// Pause is how long to wait until the next look; spread is what chance adds.
func Pause(m Memory, now time.Time, spread time.Duration) time.Duration {
	if m.Holding != nil {
		return holdPause
	}
	pause := shortest + spread
	if next := m.Decision.Next; !next.IsZero() {
		// Not at the very moment, at which others look as well.
		pause = min(pause, max(holdPause, next.Sub(now)+spread/10))
	}
	return pause
}
