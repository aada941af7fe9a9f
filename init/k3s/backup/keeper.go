package backup

import (
	"context"
	"errors"
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

// Keeper makes a backup every day. It belongs to PID 1; the work is done by
// Start, in a process of its own.
type Keeper struct {
	Dir    string
	Config func() *config.Config
	Ready  func() bool                     // k3s runs
	Start  func(ctx context.Context) error // makes one backup, and notes in Dir how it went
	Failed func(err error)                 // called when what is wrong with backups changes; nil: nothing is
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
	var reported string
	var failed error // of the last Start, which may not have come to note it
	for {
		to := k.Config().Backup.To
		if to != "" && k.Ready() {
			if s, err := Load(k.Dir); err != nil || due(s, Shown(to), time.Now()) {
				failed = k.Start(ctx)
			}
		}
		// Asked every time: a backup that was made by hand ends the error of the one before.
		s, err := Load(k.Dir)
		if err = wrong(s, err, Shown(to), failed); err == nil {
			failed = nil
			if reported != "" {
				reported = ""
				k.Failed(nil)
			}
		} else if reported != err.Error() {
			reported = err.Error()
			k.Failed(err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// wrong returns what is wrong with the backups to a place, as the state and the last run in this
// boot show; nil for nothing. Failures for another place no longer count.
func wrong(s State, unread error, to string, failed error) error {
	s = s.For(to)
	switch {
	case to == "":
		return nil
	case s.Fails > 0:
		return errors.New(s.Error) // the whole sentence; the process's last line may be cut
	case unread == nil && !s.Last.IsZero():
		return nil
	case failed != nil:
		return failed
	}
	return unread
}

// due reports whether it is time for a backup. Clocks of boards jump: what was made in the future
// was made with a wrong one, and does not count.
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
