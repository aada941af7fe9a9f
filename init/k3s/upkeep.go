package k3s

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"imgbuild/init/supervise"
)

const (
	lookEvery  = time.Minute
	readEvery  = 24 * time.Hour
	bigShift   = time.Hour           // the clock was set by more than this after k3s had started
	renewSoon  = 60 * 24 * time.Hour // k3s is restarted in the window; its own limit is 90 days, of newer versions 120
	renewNow   = 14 * 24 * time.Hour // and immediately
	stopLimit  = 2 * time.Minute     // for k3s to end before it starts again
	readyLimit = 10 * time.Minute    // for it to be ready again, until the turn is given back
)

// Upkeep is what k3s needs while it runs: a restart when the clock was set under it or its
// certificates are about to end, and the removal of labels that are no longer configured. Pods go
// on during a restart.
type Upkeep struct {
	p *preparation

	mu       sync.Mutex
	soonest  Certificate          // of the last reading
	starts   int                  // of k3s, at the last reading
	read     time.Time            // when that was
	list     []Certificate        // of it
	hopeless map[string]time.Time // certificates that the last start has not renewed though they end soon, with their ends
	failed   string               // the last message about labels
	unasked  string               // and about a cluster that cannot be asked
}

// Soonest is the certificate that ends first; its name is empty as long as none is known.
func (u *Upkeep) Soonest() Certificate {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.soonest
}

// condition is what a restart is decided by.
type condition struct {
	now     time.Time
	synced  bool          // a time server has answered
	untimed bool          // k3s was started before that
	shift   time.Duration // by which the clock was set since that start
	read    bool          // its certificates were read since that start
	ends    time.Time     // of the certificate that ends first, of those that a restart renews; zero for none
	window  bool          // now is the time of the day for restarts
}

// verdict is what follows.
type verdict struct {
	restart bool
	turn    bool   // only one server may at a time
	why     string // for the log
}

// decide reports whether k3s has to be restarted. A clock that was not confirmed proves nothing
// about certificates.
func decide(c condition) verdict {
	left := c.ends.Sub(c.now)
	switch {
	case !c.synced:
	case c.untimed && c.shift.Abs() > bigShift:
		return verdict{true, false, fmt.Sprintf("the clock was set by %s after k3s had started", c.shift.Round(time.Minute))}
	case c.ends.IsZero(), !c.read: // a start renews certificates; those of before it do not count
	case left < renewNow, left < renewSoon && c.window:
		return verdict{true, true, fmt.Sprintf("a certificate of k3s ends on %s", c.ends.UTC().Format(time.DateOnly))}
	}
	return verdict{}
}

// inWindow reports whether the node may restart services by itself: between three and five at night
// in its time zone.
func inWindow(now time.Time, zone string) bool {
	if where, err := time.LoadLocation(zone); err == nil { // UTC for none
		now = now.In(where)
	}
	return now.Hour() >= 3 && now.Hour() < 5
}

// shifted is by how much the clock was set between two moments, which carry the monotonic clock as
// well.
func shifted(from, to time.Time) time.Duration {
	return to.Round(0).Sub(from.Round(0)) - to.Sub(from)
}

// Run looks until ctx ends. synced reports whether the time is known, kick wakes it when that
// changes.
func (u *Upkeep) Run(ctx context.Context, units *supervise.Supervisor, synced func() bool, kick <-chan struct{}) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		u.look(ctx, units, synced())
		select {
		case <-kick:
			kick = nil // closed
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

func (u *Upkeep) look(ctx context.Context, units *supervise.Supervisor, synced bool) {
	st, ok := units.State(Name)
	if !ok || st.Phase != supervise.Up && st.Phase != supervise.Starting {
		return // it is being started or stopped, or waits for something
	}
	p := u.p
	p.mu.Lock()
	cfg, name, began, untimed := p.starting, p.name, p.began, p.untimed
	p.mu.Unlock()
	if cfg == nil {
		return
	}
	now := time.Now()
	if st.Ready {
		u.observe(dataDir(cfg), st.Starts, now, synced && !untimed)
		u.trimLabels(ctx, name)
	}
	v := decide(condition{now, synced, untimed, shifted(began, now), u.readSince(st.Starts), u.renewable(), inWindow(now, p.Config().Time.Zone)})
	if !v.restart || ctx.Err() != nil {
		return
	}
	release := func() {}
	if v.turn && p.Role == Server {
		mine, err := takeTurn(ctx, cfg, name, now)
		switch permit(mine, err, name, now, u.renewable(), p.Config().Time.Zone) {
		case mustWait:
			u.mu.Lock()
			reported := err == nil || u.unasked == err.Error()
			if !reported {
				u.unasked = err.Error()
			}
			u.mu.Unlock()
			if !reported {
				p.Say("k3s: %s; the cluster cannot be asked whose turn it is, so k3s starts again at a time of this server's own: %v", v.why, err)
			}
			return
		case hasTurn:
			release = func() { u.release(ctx, units, name) }
		}
	}
	p.Say("k3s: %s; k3s starts again, pods go on", v.why)
	stop, cancel := context.WithTimeout(ctx, stopLimit)
	err := units.RestartUnit(stop, Name)
	cancel()
	if err != nil {
		p.Say("k3s: %v", err)
	}
	release()
}

// release hands the turn back when k3s is ready again.
func (u *Upkeep) release(ctx context.Context, units *supervise.Supervisor, name string) {
	ready, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	err := units.Wait(ready, Name)
	if err == nil {
		err = giveTurnBack(ctx, u.p.Config(), name)
	}
	if err != nil {
		u.p.Say("k3s: the turn to restart ends by itself: %v", err)
	}
}

// observe reads the certificates once a day, and after each start. sure: the clock was right when
// k3s started: a certificate that ends soon in spite of that start is not renewed by another one.
func (u *Upkeep) observe(data string, starts int, now time.Time, sure bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fresh := starts != u.starts
	if !fresh && now.Sub(u.read).Abs() < readEvery && shifted(u.read, now).Abs() < bigShift {
		return
	}
	list, err := certificates(data)
	if err != nil {
		u.p.Say("k3s: %v", err)
		return
	}
	if fresh {
		u.hopeless = nil
	}
	if fresh && sure {
		u.hopeless = map[string]time.Time{}
		for _, c := range list {
			if c.Ends.Sub(now) < renewSoon {
				u.hopeless[c.Name] = c.Ends
			}
		}
	}
	u.starts, u.read, u.list, u.soonest = starts, now, list, soonest(list, nil)
}

// readSince reports whether the certificates were read after the start with this number.
func (u *Upkeep) readSince(starts int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.starts == starts && !u.read.IsZero()
}

// renewable is when the first certificate ends that a restart renews.
func (u *Upkeep) renewable() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return soonest(u.list, u.hopeless).Ends
}

// trimLabels takes the labels off the node that were configured once and are not any more.
func (u *Upkeep) trimLabels(ctx context.Context, name string) {
	cfg := u.p.Config()
	given, err := givenLabels(LabelsPath)
	stale := staleLabels(given, cfg, "/")
	if err == nil && len(stale) == 0 {
		return
	}
	var api cluster
	if err == nil {
		api, err = kubeletOf(dataDir(cfg))
	}
	if err == nil {
		err = dropLabels(ctx, api, name, stale)
	}
	if err == nil {
		u.p.Say("k3s: labels that are no longer configured are taken off the node: %v", stale)
		err = keepLabels(LabelsPath, remaining(given, stale))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err == nil:
		u.failed = ""
	case err.Error() != u.failed && !os.IsNotExist(err):
		u.failed = err.Error()
		u.p.Say("k3s: labels that are no longer configured stay for now: %v", err)
	}
}
