// Package metrics writes what a node reports about itself in numbers, keeps count of the writes to
// its boot disk, and has node-exporter listen where the shelf knows the node.
package metrics

import (
	"context"
	"os"
	"sync"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/report"
	"imgbuild/init/contract/config"
	"imgbuild/init/net/network"
	"imgbuild/init/status"
	"imgbuild/init/status/health"
	"imgbuild/init/status/monitor"
	"imgbuild/init/supervise"
)

const (
	sampleEvery = 30 * time.Second
	tallyEvery  = time.Hour        // a power cut costs the count of at most this
	calmLimit   = 30 * time.Second // node-exporter starts then at the latest, ready or not
)

// Watch watches a node. Its exported fields are not changed after it was made; all methods may be
// called from any goroutine.
type Watch struct {
	Config   func() *config.Config // the newest one
	Units    *supervise.Supervisor
	Net      *network.Manager
	Probes   *health.Prober
	Sample   func() monitor.Sample // except for what Watch itself knows
	Reporter report.Reporter
	Dir      string // where the tally is kept
	Discard  bool   // nothing is kept
	Disk     string // the boot disk's name, as in /sys/block

	calm   chan struct{} // closed when the boot is over and there is time for node-exporter
	moving sync.Mutex    // one move of node-exporter at a time
	mu     sync.Mutex
	tally  *monitor.Tally // nil before the first sample
	listen string         // the last address given to node-exporter
}

// New gives w what it needs to begin.
func New(w *Watch) *Watch {
	w.calm = make(chan struct{})
	return w
}

// Exporter is node-exporter, unless the configuration does without.
func (w *Watch) Exporter() []supervise.Unit {
	if !w.Config().Monitoring.Enabled {
		return nil
	}
	u := monitor.Unit(w.address)
	u.Optional = true
	look := u.Prepare
	u.Prepare = func(ctx context.Context, say supervise.Say) error {
		select { // what the node is for comes first
		case <-w.calm:
		case <-ctx.Done():
			return ctx.Err()
		}
		return look(ctx, say)
	}
	return []supervise.Unit{u}
}

// address is where node-exporter has to listen now.
func (w *Watch) address() (string, error) {
	address, err := monitor.Listen(w.Config().Monitoring.Listen, w.Net.Status())
	if err == nil {
		w.mu.Lock()
		w.listen = address
		w.mu.Unlock()
	}
	return address, err
}

// Run begins when ready is closed, or after a while, and never returns. begun is called after the
// first sample.
func (w *Watch) Run(ready <-chan struct{}, begun func()) {
	if err := os.MkdirAll(monitor.Dir, 0o755); err != nil {
		w.Reporter.Problem(err)
		return
	}
	select {
	case <-ready:
	case <-time.After(calmLimit):
	}
	tally, err := monitor.Load(w.Dir)
	if err != nil {
		w.Reporter.Log("%v", err) // counted from zero
	}
	w.mu.Lock()
	w.tally = tally
	w.mu.Unlock()
	w.write()
	close(w.calm)
	begun()
	guard.Go(w.probe)
	sampling, keeping := time.NewTicker(sampleEvery), time.NewTicker(tallyEvery)
	for {
		changed := w.Net.Changed()
		select {
		case <-sampling.C:
			w.write()
		case <-keeping.C:
			w.Save()
		case <-changed:
		}
		w.Follow()
	}
}

// probe asks the services whether they do their work, from time to time.
func (w *Watch) probe() {
	for range time.Tick(sampleEvery) {
		w.Probes.Round(context.Background(), func(unit string) bool {
			s, ok := w.Units.State(unit)
			return ok && s.Ready
		})
	}
}

// Follow restarts node-exporter when the address at which it has to listen has changed.
func (w *Watch) Follow() {
	w.moving.Lock()
	defer w.moving.Unlock()
	w.mu.Lock()
	was := w.listen
	w.mu.Unlock()
	st, ok := w.Units.State(monitor.UnitName)
	if !ok || st.PID == 0 || was == "" {
		return
	}
	if now, err := w.address(); err != nil || now == was {
		return // without an address it stays where it is until there is one
	}
	w.Reporter.Say("node-exporter moves to another address")
	if err := w.Units.RestartUnit(context.Background(), monitor.UnitName); err != nil {
		w.Reporter.Say("%v", err)
	}
}

// count brings the tally of the boot disk up to date. mu is held.
func (w *Watch) count() {
	if w.tally == nil || w.Disk == "" {
		return
	}
	if sectors, err := monitor.Sectors("/sys", w.Disk); err == nil {
		w.tally.Add(sectors, time.Now(), time.Since(status.Started()))
	}
}

// Save keeps the count of what was written to the boot disk.
func (w *Watch) Save() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count()
	if w.tally != nil && !w.Discard {
		if err := w.tally.Save(w.Dir); err != nil {
			w.Reporter.Log("%v", err)
		}
	}
}

// Written is what is known of the writes to the boot disk; nil before the first sample.
func (w *Watch) Written() *status.Written {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count()
	if w.tally == nil {
		return nil
	}
	out := &status.Written{Disk: w.Disk, Total: w.tally.Total}
	if perDay, ok := w.tally.PerDay(); ok {
		out.PerDay = perDay
	}
	return out
}

// write writes the metrics.
func (w *Watch) write() {
	s := w.Sample()
	s.Disk = w.Disk
	w.mu.Lock()
	if w.tally != nil {
		tally := *w.tally
		s.Written = &tally
	}
	w.mu.Unlock()
	if err := monitor.Write(monitor.File, s, time.Now()); err != nil {
		w.Reporter.Log("metrics: %v", err)
	}
}
