package boot

import (
	"context"
	"time"

	"imgbuild/init/boot/decide"
	"imgbuild/init/boot/marks"
	"imgbuild/init/boot/order"
	"imgbuild/init/net/clock"
	"imgbuild/init/start/layout"
	"imgbuild/init/supervise"
)

// stopLimit is how long the services have to end.
const stopLimit = 90 * time.Second

// orderNotice is the least time in which an ssh session that ordered the end learns that it has
// begun.
const orderNotice = time.Second

// sweepGrace is how long what is not a service has to end after that.
const sweepGrace = 5 * time.Second

// end stops everything in order and reboots or switches off. It does not return.
func (n *Node) end(o order.Order) {
	n.reporter = n.reporter.For("shutdown")
	n.reporter.Say("%s: %s", o.Verb, o.Reason)
	n.Pre().Watchdog.Limit(stopLimit + 60*time.Second)
	n.LED.Load().Blink(6)
	began := time.Now()
	n.lan.Stop()
	n.Stop(stopLimit)
	n.reporter.Problem(n.Upgrades.Leave())
	time.Sleep(orderNotice - time.Since(began))
	// Logins, and what commands and units have left behind: a process that still writes keeps its
	// file system from being closed.
	if err := supervise.Sweep(context.Background(), sweepGrace); err != nil {
		n.reporter.Say("stopping: %v", err)
	}
	n.saveClock()
	n.watch.Save()
	n.Note(o)
	if err := marks.Stopped(stateDir, o.Reason); err != nil {
		n.reporter.Say("%v", err)
	}
	n.Crash.Close()
	layout.Undo(n.reporter)
	n.reporter.Say("%s now", o.Verb)
	n.Now(o.Verb)
}

// saveClock keeps the time for a board without a battery.
func (n *Node) saveClock() {
	if err := clock.Save(clock.Path, time.Now()); err != nil {
		n.reporter.Say("%v", err)
	}
	if n.online.Clock.Status().Synced {
		_ = clock.SaveRTC() // most boards have none
	}
}

// die ends a boot that cannot go on: it reports the reason everywhere, notes it in the record,
// waits and reboots. The attempts that the boot script counts bring the other slot's turn.
func (n *Node) die(reason string, err error) {
	n.reporter.Problem(err)
	n.reporter.Report.State("The node could not start. It tries again, or the other system if there is one.")
	n.SaveReport()
	delay := decide.Pause(false, n.Cornered())
	n.Note(order.Order{Verb: order.Reboot, Reason: reason, Fault: true})
	n.reporter.Say("step %s failed; rebooting in %.0f s", n.reporter.Step, delay.Seconds())
	n.Pre().Watchdog.Limit(delay + 30*time.Second)
	time.Sleep(delay)
	n.Stop(20 * time.Second)
	n.Now(order.Reboot)
}
