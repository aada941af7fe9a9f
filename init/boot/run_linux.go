package boot

import (
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/mount"
	"imgbuild/init/boot/consoles"
	"imgbuild/init/boot/order"
	"imgbuild/init/contract/fault"
	"imgbuild/init/start/layout"
)

// restingGC is how much garbage, in per cent of what is in use, a node at rest lets gather: memory
// is worth more than the little time.
const restingGC = 50

// restingMemory is what the Go runtime may hold before it collects garbage sooner than that and
// returns what is free to the kernel, in bytes; the program itself, about as much again, comes on
// top. At rest some 4 MB of it are in use.
const restingMemory = 10 << 20

// loopLimit is how long run may stay away from its orders before the watchdog resets the board: one
// reload of the configuration that waits for all it may wait for.
const loopLimit = 15 * time.Minute

// run is the life after the boot: it reports when the node is ready, looks for changes of the
// configuration, and waits for an order.
func (n *Node) run() {
	n.Pre().Watchdog.Limit(loopLimit)
	n.Up.Store(true)
	debug.SetGCPercent(restingGC)
	debug.SetMemoryLimit(restingMemory)
	debug.FreeOSMemory()
	n.reporter = n.Base
	n.reporter.Problem(mount.Do(layout.Late...))
	n.consoles()
	ready := make(chan struct{})
	v, watch, sweep := n.view, n.watch, n.lay.Sweep
	guard.Go(func() { v.Live(ready) })
	guard.Go(func() {
		watch.Run(ready, func() {
			if sweep != nil {
				guard.Go(func() {
					v.Base.Problem(fault.Wrap(sweep(), fault.Device, "", "the data from before the reset cannot be removed"))
				})
			}
		})
	})
	guard.Go(v.WatchChecks)
	guard.Go(v.UpgradeItself)
	broken := make(chan os.Signal, 1)
	if n.Pre().Cmdline["shelf.test"] == "panic" {
		signal.Notify(broken, panicSignal, fatalSignal)
	}
	look := time.NewTicker(5 * time.Second)
	last := stamp()
	for {
		select {
		case o := <-n.Orders.Next():
			if o.Verb != order.Reload {
				n.end(o)
			}
			last = stamp()
			n.readAgain()
		case f := <-n.do:
			f()
			last = stamp()
		case s := <-broken:
			guard.Go(func() { failOn(s) })
		case <-look.C:
			n.watchData()
			n.Pre().Watchdog.Limit(loopLimit)
			if now := stamp(); now != last {
				last = now
				n.readAgain()
			}
		}
	}
}

// readAgain reads the configuration again and applies what can change on a running node; services
// that wait for a setting look immediately. Roles, the network and what runs already stay as they
// are until the next boot.
func (n *Node) readAgain() {
	n.reporter.Say("the configuration changed")
	cfg := n.read(nil)
	n.Newest.Store(cfg)
	n.reporter.Problem(n.settings(cfg))
	n.fetcher.Follow(cfg, n.reporter.For("config"))
	n.radio.Apply(cfg)
	n.online.Net.Apply(cfg.Routed())
	n.lan.Kick()
	n.Units.Load().Recheck()
	if r := n.Storage.Load(); r != nil {
		r.Kick() // ends with the services
	} else {
		n.extra.Start()
	}
	n.consoles()
	n.SaveReport()
	debug.FreeOSMemory() // parsing takes several times what is kept
}

func (n *Node) consoles() { consoles.Apply(n.Units.Load(), n.Config().K3OS.Password, n.Base.Problem) }

// watchData reports, once, when the kernel has found the file system of the data partition damaged
// and accepts no more writes for it (errors=remount-ro). It notes that in the superblock, so that
// the next boot repairs it.
func (n *Node) watchData() {
	if n.lay.Degraded || !mount.Frozen("/") {
		return
	}
	shared := n.Shared
	shared.Frozen.Do(func() {
		shared.Base.For("data").Problem(fault.New(fault.Device, "run sudo shelf reboot: the boot checks it and repairs what it can; if it comes again replace the card",
			"the data partition has errors, and the kernel writes nothing to it any more"))
		shared.SaveReport()
	})
}

// Signals by which a test makes this program fail. They are handled only with shelf.test=panic on
// the kernel's command line, which nothing that imgbuild writes ever has.
const (
	panicSignal = syscall.Signal(40) // a panic in a goroutine
	fatalSignal = syscall.Signal(41) // an error of the runtime, which nothing can catch
)

// failOn fails in the way that a signal asks for.
func failOn(s os.Signal) {
	switch s {
	case panicSignal:
		var node *Node
		node.version = "not reached"
	case fatalSignal:
		new(sync.Mutex).Unlock()
	}
}
