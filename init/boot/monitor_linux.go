package boot

import (
	"context"
	"os"
	"sync"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
	"imgbuild/init/net/clock"
	"imgbuild/init/net/network"
	"imgbuild/init/status"
	"imgbuild/init/status/monitor"
	"imgbuild/init/supervise"
)

const (
	sampleEvery = 30 * time.Second
	tallyEvery  = time.Hour        // a power cut costs the count of at most this
	calmLimit   = 30 * time.Second // node-exporter starts then at the latest, ready or not
)

// watching is what the node keeps to tell about itself.
type watching struct {
	moving sync.Mutex // one move of node-exporter at a time
	mu     sync.Mutex
	tally  *monitor.Tally // guarded by mu; nil before the first sample
	calm   chan struct{}  // closed when the boot is over and there is time for node-exporter
	listen string         // where node-exporter was told to listen last; guarded by mu
}

// exporter is node-exporter, unless the configuration does without.
func (n *Node) exporter() []supervise.Unit {
	if !n.current().Monitoring.Enabled {
		return nil
	}
	u := monitor.Unit(n.listen)
	u.Optional = true
	look := u.Prepare
	u.Prepare = func(ctx context.Context, say supervise.Say) error {
		select { // what the node is for comes first
		case <-n.watching.calm:
		case <-ctx.Done():
			return ctx.Err()
		}
		return look(ctx, say)
	}
	return []supervise.Unit{u}
}

// listen is where node-exporter has to listen now.
func (n *Node) listen() (string, error) {
	var list []network.Status
	if n.net != nil {
		list = n.net.Status()
	}
	address, err := monitor.Listen(n.current().Monitoring.Listen, list)
	if err == nil {
		n.watching.mu.Lock()
		n.watching.listen = address
		n.watching.mu.Unlock()
	}
	return address, err
}

// monitor begins to tell how the node is. ready is closed when the boot is over.
func (n *Node) monitor(ready <-chan struct{}) { guard.Go(func() { n.watch(ready) }) }

// watch writes the metrics from time to time, and follows the address of the shelf.
func (n *Node) watch(ready <-chan struct{}) {
	if err := os.MkdirAll(monitor.Dir, 0o755); err != nil {
		n.base.Problem(err)
		return
	}
	select {
	case <-ready:
	case <-time.After(calmLimit):
	}
	tally, err := monitor.Load(clock.Path)
	if err != nil {
		n.base.Log("%v", err) // counted anew
	}
	n.watching.mu.Lock()
	n.watching.tally = tally
	n.watching.mu.Unlock()
	n.sample()
	close(n.watching.calm)
	if n.lay.Sweep != nil {
		guard.Go(func() {
			n.base.Problem(fault.Wrap(n.lay.Sweep(), fault.Device, "", "the data from before the reset cannot be removed"))
		})
	}
	sampling, keeping := time.NewTicker(sampleEvery), time.NewTicker(tallyEvery)
	isReady := func(unit string) bool { s, ok := n.units.State(unit); return ok && s.Ready }
	guard.Go(func() {
		for range time.Tick(sampleEvery) {
			n.probes.Round(context.Background(), isReady)
		}
	})
	for {
		var changed <-chan struct{}
		if n.net != nil {
			changed = n.net.Changed()
		}
		select {
		case <-sampling.C:
			n.sample()
		case <-keeping.C:
			n.saveTally()
		case <-changed:
		}
		n.follow()
	}
}

// follow restarts node-exporter when the address at which it has to listen has changed.
func (n *Node) follow() {
	n.watching.moving.Lock()
	defer n.watching.moving.Unlock()
	n.watching.mu.Lock()
	was := n.watching.listen
	n.watching.mu.Unlock()
	st, ok := n.units.State(monitor.UnitName)
	if !ok || st.PID == 0 || was == "" {
		return
	}
	if now, err := n.listen(); err != nil || now == was {
		return // without an address it stays where it is until there is one
	}
	n.base.Say("node-exporter moves to another address")
	if err := n.units.RestartUnit(context.Background(), monitor.UnitName); err != nil {
		n.base.Say("%v", err)
	}
}

// count brings the tally of the boot disk up to date.
func (n *Node) count() {
	n.watching.mu.Lock()
	defer n.watching.mu.Unlock()
	if n.watching.tally == nil || n.pre.Disk == nil {
		return
	}
	if sectors, err := monitor.Sectors("/sys", n.pre.Disk.Name); err == nil {
		n.watching.tally.Add(sectors, time.Now(), time.Since(status.Started()))
	}
}

// saveTally keeps the count of what was written to the boot disk.
func (n *Node) saveTally() {
	n.count()
	n.watching.mu.Lock()
	defer n.watching.mu.Unlock()
	if n.watching.tally != nil && !n.lay.Degraded {
		if err := n.watching.tally.Save(clock.Path); err != nil {
			n.base.Log("%v", err)
		}
	}
}

// written is what is known of the writes to the boot disk; nil before the first sample.
func (n *Node) written() *status.Written {
	n.count()
	n.watching.mu.Lock()
	defer n.watching.mu.Unlock()
	if n.watching.tally == nil {
		return nil
	}
	w := &status.Written{Disk: n.pre.Disk.Name, Total: n.watching.tally.Total}
	if perDay, ok := n.watching.tally.PerDay(); ok {
		w.PerDay = perDay
	}
	return w
}

// sample writes the metrics.
func (n *Node) sample() {
	st := n.status()
	s := monitor.Sample{
		Version: st.Version, Slot: st.Slot, Program: st.Program, Role: st.Role, Board: st.Board, Model: st.Model, Kernel: st.Kernel,
		Built: st.LockDate, Booted: status.Started(), Last: st.LastEnd, Degraded: st.Degraded, Problems: len(st.Problems),
		Trial: n.onTrial(), Checks: st.Checks, Synced: st.Clock.Synced, Machine: st.Machine, InitRSS: st.Memory.Init,
	}
	for _, step := range st.Steps {
		s.Steps = append(s.Steps, monitor.Step{Name: step.Name, Seconds: step.Seconds})
	}
	if st.Record != nil {
		s.Left = &st.Record.Left
	}
	for _, p := range st.Problems {
		if p.Step == "config" {
			s.ConfigProblems++
		}
	}
	for _, u := range st.Services {
		use := monitor.UsageOf(u.Name, cgroup.Root, n.units.Groups(u.Name)...)
		s.Services = append(s.Services, monitor.Service{Name: u.Name, Phase: u.Phase, Ready: u.Ready, Starts: u.Starts, Failures: u.Failures, Memory: use.Memory, CPU: use.CPU})
	}
	if n.clock != nil && s.Synced {
		c := n.clock.Status()
		s.ClockOffset, s.ClockError, s.ClockAsked = c.Offset, c.Error, c.When
	}
	if st.Backup != nil {
		s.Backup = *st.Backup
	}
	s.Fails = st.BackupFailures
	if st.Certificate != nil {
		s.Certificate = st.Certificate.Ends
	}
	s.Machine.ReadOnly = map[string]bool{}
	for _, d := range st.Disks {
		s.Machine.ReadOnly[d.Path] = d.ReadOnly
	}
	if n.pre.Disk != nil {
		s.Disk = n.pre.Disk.Name
	}
	n.watching.mu.Lock()
	if n.watching.tally != nil {
		tally := *n.watching.tally
		s.Written = &tally
	}
	n.watching.mu.Unlock()
	if err := monitor.Write(monitor.File, s, time.Now()); err != nil {
		n.base.Log("metrics: %v", err)
	}
}
