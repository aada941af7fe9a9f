package boot

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/base/guard"
	"imgbuild/init/base/mount"
	"imgbuild/init/boot/decide"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s"
	"imgbuild/init/settings/apply"
	"imgbuild/init/settings/sources"
	"imgbuild/init/start/layout"
	"imgbuild/init/status/control"
	"imgbuild/init/status/health"
	"imgbuild/init/supervise"
)

// unitLimit is how long the services of a role have to become healthy where the slot does not say.
const unitLimit = 10 * time.Minute

// restingGC is how much garbage, in per cent of what is in use, a node at rest lets gather: memory is worth more than the
// little time.
const restingGC = 50

// restingMemory is what the Go runtime may hold before it collects garbage sooner than that and gives back what is free, in bytes;
// the program itself, about as much again, comes on top. At rest some 4 MB of it are in use.
const restingMemory = 10 << 20

// loopLimit is how long run may stay away from its orders before the watchdog resets the board: one reload of the
// configuration that waits for all it may wait for.
const loopLimit = 15 * time.Minute

// services starts everything and waits for sshd, so that whoever reads the line can log in.
func (n *Node) services() error {
	if err := os.MkdirAll("/run/shelf/notify", 0o711); err != nil {
		return err
	}
	n.units = supervise.New(supervise.Options{LogDir: logDir, RunDir: "/run/shelf/notify", Groups: n.groups, Changed: n.changed})
	n.tell.Problem(n.units.Add(n.sshd()))
	if err := control.Serve(control.Socket, n.answer); err != nil {
		n.tell.Problem(err)
	}
	guard.Go(n.sayStates)
	if err := n.units.Start(context.Background()); err != nil {
		return err
	}
	n.wifi(n.cfg)
	if len(n.cfg.RunCmd) > 0 {
		_ = n.awaitNetwork(context.Background()) // they may need it; that it is not there is told elsewhere
		n.commands("run_cmd", n.cfg.RunCmd)      // before k3s, as in k3OS
	}
	for _, u := range n.role() {
		if err := n.units.Add(u); err != nil {
			n.tell.Problem(err)
			continue
		}
		n.tell.Problem(n.units.StartUnit(u.Name))
	}
	n.applyServices()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	return fault.Wrap(n.units.Wait(ctx, sshdUnit), fault.Internal, "look at /var/log/shelf/sshd.log on the console", "nobody can log in over ssh")
}

const sshdUnit = "sshd"

// sshdYield is how long sshd may be held up.
const sshdYield = 2 * time.Second

// yield waits until the role's program was started, or has said what it waits for.
func (n *Node) yield(ctx context.Context, _ supervise.Say) error {
	ctx, cancel := context.WithTimeout(ctx, sshdYield)
	defer cancel()
	cfg := n.current()
	k := n.pre.Manifest.K3s
	if role := cfg.RoleOf(""); n.lay.Degraded || len(cfg.RunCmd) > 0 || k == nil || k.Source == "none" || role != k3s.Server && role != k3s.Worker {
		return nil
	}
	for {
		if s, ok := n.units.State(k3s.Name); ok && (s.Starts > 0 || s.Phase == supervise.Failed || s.Outside()) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sshd is Debian's. Its sessions are processes of their own and go on when it is restarted.
//
// It lets the first program of the role go first, which on a board with one busy core begins a second earlier for that; a
// role that waits for something holds it up for sshdYield at most.
func (n *Node) sshd() supervise.Unit {
	return supervise.Unit{
		Prepare: n.yield,
		Name:    sshdUnit, Command: []string{"/usr/sbin/sshd", "-D", "-e"}, Ready: supervise.Ready{Kind: supervise.TCP, Address: "127.0.0.1:22"},
		OOMScore: -900, StopOrder: 90, KeepOthers: true,
		Limits: cgroup.Limits{CPUWeight: 400}, // who logs in because something eats the processor gets his share
	}
}

// run is the life after the boot: it tells when the node is ready, looks for changes of the configuration, and waits for
// an order.
func (n *Node) run() {
	n.pre.Watchdog.Limit(loopLimit)
	n.up.Store(true)
	debug.SetGCPercent(restingGC)
	debug.SetMemoryLimit(restingMemory)
	debug.FreeOSMemory()
	n.tell = n.base
	n.tell.Problem(mount.Do(layout.Late...))
	n.consoles(n.current())
	ready := make(chan struct{})
	guard.Go(func() {
		n.settle()
		close(ready)
	})
	broken := make(chan os.Signal, 1)
	if n.pre.Cmdline["shelf.test"] == "panic" {
		signal.Notify(broken, panicSignal, fatalSignal)
	}
	n.monitor(ready)
	look := time.NewTicker(5 * time.Second)
	last := stamp()
	for {
		select {
		case o := <-n.orders:
			if o.verb != "reload" {
				n.end(o)
			}
			last = stamp()
			n.reload()
		case f := <-n.do:
			f()
			last = stamp()
		case <-ready:
			ready = nil
		case s := <-broken:
			guard.Go(func() { failOn(s) })
		case <-look.C:
			n.watchData()
			n.pre.Watchdog.Limit(loopLimit)
			if now := stamp(); now != last {
				last = now
				n.reload()
			}
		}
	}
}

// settle waits until the node's checks have passed as far as they can, prints the line that everybody waits for, and acts
// on what is decided about the slot. A committed system that is late goes on trying.
func (n *Node) settle() {
	began, told := time.Now(), false
	for ; ; time.Sleep(100 * time.Millisecond) {
		s := decide.Settling{
			Trial: n.onTrial(), Rescue: n.lay.Rescue != "", Panicking: n.panicking.Load(),
			Late: time.Since(began) > n.deadline(), Verdict: n.judge(),
		}
		switch outcome, results := s.Settle(); outcome {
		case decide.Wait:
			continue
		case decide.Commit:
			err := n.record.Healthy(n.pre.Slot)
			n.base.Problem(fault.Wrap(err, fault.Device, "replace the card if this comes again", "the boot record cannot be written"))
		case decide.GiveUp:
			n.late(results)
			n.order(order{verb: "reboot", reason: "unhealthy: " + results[0].Check, fault: true})
			return
		case decide.Stay:
			if len(results) > 0 { // not healthy, and nothing better to go to
				if !told {
					n.late(results)
				}
				told = true
				continue
			}
		}
		n.ready()
		return
	}
}

// deadline is how long the services of the role have to become healthy.
func (n *Node) deadline() time.Duration {
	if h := n.pre.Manifest.Health[n.current().RoleOf("")]; h.Deadline > 0 {
		return time.Duration(h.Deadline) * time.Second
	}
	return unitLimit
}

// late reports the checks that have not passed in time.
func (n *Node) late(results []health.Result) {
	var list []string
	for _, r := range results {
		list = append(list, r.Check+" is "+string(r.State))
		list = append(list, r.Why...)
	}
	n.base.For("services").Problem(fault.New(fault.Unhealthy, "look at the logs in /var/log/shelf, or with shelf status", "not healthy after %v: %s", n.deadline(), strings.Join(list, "; ")))
	n.saveReport()
}

// ready reports that the node is up, and what of it waits for something from outside.
func (n *Node) ready() {
	var waiting []string
	for _, s := range n.units.Status() {
		if s.Outside() && !s.Optional {
			waiting = append(waiting, s.String())
		}
	}
	state := n.told()
	if len(waiting) > 0 {
		n.base.Say("ready, but %s", strings.Join(waiting, "; "))
		state = "The node is up, but not all it is for: " + strings.Join(waiting, "; ") + "."
	} else {
		n.base.Say("ready")
	}
	n.base.Report.State(state)
	n.led.Stop()
	n.saveReport()
}

// stamp changes when a file of the configuration does.
func stamp() string {
	var b strings.Builder
	for _, pattern := range []string{sources.Store + "/*.yaml", sources.Store + "/config.d/*", sources.Local + "/config.yaml", sources.Local + "/config.d/*"} {
		paths, _ := filepath.Glob(pattern)
		for _, p := range paths {
			if st, err := os.Stat(p); err == nil && !st.IsDir() {
				fmt.Fprintf(&b, "%s %d %d\n", p, st.Size(), st.ModTime().UnixNano())
			}
		}
	}
	return b.String()
}

// reload reads the configuration again and makes true what can change on a running node; services that wait for a setting
// look at once. Roles, the network and what runs already stay as they are until the next boot.
func (n *Node) reload() {
	n.tell.Say("the configuration changed")
	cfg := n.read(nil)
	n.mu.Lock()
	n.cfg = cfg
	n.mu.Unlock()
	n.tell.Problem(n.settings(apply.Here, cfg))
	n.fetch(cfg)
	n.wifi(cfg)
	n.net.Apply(cfg)
	n.units.Recheck()
	n.syncServices()
	n.consoles(cfg)
	n.saveReport()
	debug.FreeOSMemory() // parsing takes several times what is kept
}

// current is the configuration as it stands.
func (n *Node) current() *config.Config { n.mu.Lock(); defer n.mu.Unlock(); return n.cfg }
