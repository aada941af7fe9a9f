package clock

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"imgbuild/init/contract/fault"
)

const (
	// An offset beyond this is stepped the first time; afterwards the clock is slewed, which no
	// program notices, unless that would take hours.
	firstStep = 128 * time.Millisecond // RFC 5905's step threshold
	laterStep = 500 * time.Millisecond // 17 minutes of slewing

	soon    = time.Second // between tries until there is a time
	late    = 30 * time.Second
	settle  = time.Minute      // after the first time
	grace   = 30 * time.Second // before it is reported that nobody answers: at boot the way to a server may come up after the first network
	longest = 1024 * time.Second
	again   = time.Hour // until another reason for the same is reported: behind a router without a line they alternate
)

// Keeper keeps the clock right. Make one with New, then Run it.
type Keeper struct {
	floor   time.Time
	path    string
	servers func() [][]string
	say     func(format string, args ...any)

	// What tests replace.
	ask  func(ctx context.Context, tier []string, floor time.Time) (sample, error)
	step func(time.Duration) error
	slew func(time.Duration) error
	save func() error
	mark func(maxError time.Duration)
	now  func() time.Time // monotonic

	doubt time.Duration // the offset of the last round, if that was not believed yet; only Run uses it

	mu     sync.Mutex
	status Status
	synced chan struct{} // closed when the time is known
	kick   chan struct{} // one slot: ask again now

	// Run's alone.
	began      time.Time
	reported   string // the last message about having no time
	reportedAt time.Time
}

// Status is what is known about the time.
type Status struct {
	Synced bool
	Server string        // that was followed last
	Offset time.Duration // found then, before it was corrected
	Error  time.Duration // how far the clock may have been off then, at most
	Level  uint8         // the server's stratum
	When   time.Time     // of that
	Why    string        // why there is no time, as long as there is none
}

// New prepares a Keeper. floor is the image's date, path where to save the time, servers returns
// the tiers to ask (see Tiers), called each time, say gets lines for the log.
func New(floor time.Time, path string, servers func() [][]string, say func(format string, args ...any)) *Keeper {
	return &Keeper{
		floor: floor, path: path, servers: servers, say: say, ask: ask,
		step: func(d time.Duration) error { return set(time.Now().Add(d)) },
		slew: slew, save: func() error { return Save(path, time.Now()) }, mark: synced, now: time.Now,
		synced: make(chan struct{}), kick: make(chan struct{}, 1),
		status: Status{Why: "no time server was asked yet"},
	}
}

// Run asks time servers and saves the time until ctx ends; then it saves it once more.
func (k *Keeper) Run(ctx context.Context) {
	saving := time.NewTicker(SaveEvery)
	defer saving.Stop()
	next := time.NewTimer(0)
	defer next.Stop()
	pause := soon
	k.began = k.now()
	for {
		select {
		case <-ctx.Done():
			k.note(k.save())
			return
		case <-saving.C:
			k.note(k.save())
			continue
		case <-k.kick:
			if !k.Status().Synced {
				pause = soon // earlier failures do not count for this network
			}
		case <-next.C:
		}
		pause = k.round(ctx, pause)
		next.Reset(pause)
	}
}

// Kick asks again immediately: the network has changed.
func (k *Keeper) Kick() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

func (k *Keeper) note(err error) {
	if err != nil {
		k.say("clock: %v", err)
	}
}

// round asks once and corrects the clock; it returns the pause until the next round.
func (k *Keeper) round(ctx context.Context, pause time.Duration) time.Duration {
	first := !k.Status().Synced
	var errs []error
	var guessed []sample
	tiers := k.servers()
	for i, tier := range tiers {
		s, err := k.ask(ctx, tier, k.floor)
		if err == nil && s.stratum >= guess {
			guessed = append(guessed, s)
		} else if err != nil {
			errs = append(errs, err)
		}
		switch last := i == len(tiers)-1; {
		case err == nil && s.stratum < guess:
		case last && len(guessed) > 0 && ctx.Err() == nil:
			s = guessed[0]
		default:
			continue // a later group may know the time
		}
		if !first && !k.believes(s) {
			return late
		}
		if err := k.correct(s, first); err != nil {
			k.say("clock: %v", err)
			return late
		}
		k.reported = ""
		switch {
		case first:
			return settle
		case s.offset.Abs() > firstStep:
			return settle // the clock was disturbed: look again soon
		}
		return min(2*max(pause, settle), longest)
	}
	if ctx.Err() != nil {
		return pause
	}
	why := "no time server is known"
	if err := errors.Join(errs...); err != nil {
		why = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	k.mu.Lock()
	k.status.Why = why
	k.mu.Unlock()
	if now := k.now(); now.Sub(k.began) >= grace && (k.reported == "" || k.reported != why && now.Sub(k.reportedAt) >= again) {
		k.reported, k.reportedAt = why, now
		k.say("clock: no time from any server: %s", why)
	}
	if first {
		return min(2*pause, late)
	}
	return min(2*pause, longest)
}

// believes reports whether a server's answer about a clock that is known to be right may be used. A
// step disturbs programs that measure time by this clock, and one answer that was long under way
// must not cause it: it has to come twice.
func (k *Keeper) believes(s sample) bool {
	was := k.doubt
	k.doubt = 0
	if s.offset.Abs() <= laterStep || was != 0 && (s.offset-was).Abs() <= laterStep {
		return true
	}
	k.doubt = s.offset
	return false
}

// guess is the stratum from which on a server has no better time than a node without any: a router
// that answers its shelf while the uplink is away, by its own clock.
const guess = 10

// correct sets the clock by a sample. It does not go back for one that is a guess.
func (k *Keeper) correct(s sample, first bool) error {
	limit := laterStep
	if first {
		limit = firstStep
	}
	how, err := "slewed", error(nil)
	switch {
	case s.offset.Abs() <= limit:
		err = k.slew(s.offset)
	case s.offset < 0 && s.stratum >= guess:
		how = "left as it is"
	default:
		how, err = "stepped", k.step(s.offset)
	}
	if err != nil {
		return err
	}
	if how == "left as it is" && first {
		k.say("clock: %s, %s before that of %s, which guesses", how, (-s.offset).Round(time.Millisecond), s.server)
	} else if first || how == "stepped" {
		k.say("clock: %s by %s after %s", how, s.offset.Round(time.Millisecond), s.server)
		k.note(k.save())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.status = Status{Synced: true, Server: s.server, Offset: s.offset, Error: s.distance, Level: s.stratum, When: time.Now()}
	if first {
		close(k.synced)
	}
	k.mark(s.distance)
	return nil
}

// Status reports what is known.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// Synced is closed when a server has given the time.
func (k *Keeper) Synced() <-chan struct{} { return k.synced }

// Wait waits until the time is known, at most limit; 0 waits not at all. The error, of kind
// Network, has the reason; k3s and others then start with the clock as it is.
func (k *Keeper) Wait(ctx context.Context, limit time.Duration) error {
	select {
	case <-k.synced:
		return nil
	default:
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-k.synced:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
	}
	return fault.New(fault.Network, "name a server that can be reached under time.servers, or let the DHCP server name one",
		"no time server answered within %s, the clock may be wrong: %s", limit, k.Status().Why)
}
