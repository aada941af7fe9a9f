package node

import (
	"strings"
	"time"

	"imgbuild/init/boot/decide"
	"imgbuild/init/boot/order"
	"imgbuild/init/boot/rescue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/status/health"
)

// defaultDeadline is how long the services of a role have to become healthy where the slot has
// none.
const defaultDeadline = 10 * time.Minute

// Settle waits until the node's checks have passed as far as they can, prints the line that
// everybody waits for, and acts on what is decided about the slot. A committed system that is late
// goes on trying. up is false where the node leaves this system.
func (v *View) Settle() (up bool) {
	began, reported := time.Now(), false
	v.since.Store(&began)
	limit := v.deadline()
	var before []string
	if a := v.Upgrades.Trial(); a != nil {
		before = a.Before
	}
	for ; ; time.Sleep(100 * time.Millisecond) {
		s := decide.Settling{
			Trial: v.OnTrial(), Rescue: v.Layout.Rescue != "", Panicking: v.panicking.Load() || v.leaving.Load(), Late: time.Since(began) > limit, Verdict: v.judge(),
			Held: v.Upgrades.Held(time.Now()), Ordered: v.Upgrades.Ordered(), Before: before,
		}
		outcome, results := s.Settle()
		switch outcome {
		case decide.Wait:
			continue
		case decide.Commit:
			healthy := v.Record.Healthy
			if s.Trial && v.Datastore.Load().Crossed() {
				healthy = v.Record.HealthyAlone
			}
			err := healthy(v.Pre().Slot)
			v.Base.Problem(fault.Wrap(err, fault.Device, "replace the card if this comes again", "the boot record cannot be written"))
			if err == nil {
				v.committed(s.Verdict)
			}
		case decide.GiveUp:
			v.late(limit, results)
			reason := "unhealthy: " + results[0].Check
			v.Base.Problem(v.Upgrades.GaveUp(reason, v.clean(s.Verdict), results))
			v.Orders.Give(order.Order{Verb: order.Reboot, Reason: reason, Fault: true})
			return false
		}
		if len(results) == 0 {
			v.ready()
			return true
		}
		if !reported { // not healthy, and nothing better to go to
			v.late(limit, results)
			reported = true
		}
	}
}

// late reports the checks that have not passed in time.
func (v *View) late(limit time.Duration, results []health.Result) {
	var list []string
	for _, r := range results {
		list = append(append(list, r.Check+" is "+string(r.State)), r.Why...)
	}
	v.Base.For("services").Problem(fault.New(fault.Unhealthy, "look at the logs in "+v.Logs+", or with shelf status", "not healthy after %v: %s", limit, strings.Join(list, "; ")))
	v.SaveReport()
}

// ready reports that the node is up, and what of it waits for something from outside.
func (v *View) ready() {
	var waiting []string
	for _, s := range v.Services.Status() {
		if s.Outside() && !s.Optional {
			waiting = append(waiting, s.String())
		}
	}
	state := rescue.Node{Degraded: v.Layout.Degraded, Rescue: v.Layout.Rescue}.Summary()
	if len(waiting) > 0 {
		v.Base.Say("ready, but %s", strings.Join(waiting, "; "))
		state = "The node is up, but not all it is for: " + strings.Join(waiting, "; ") + "."
	} else {
		v.Base.Say("ready")
	}
	v.Base.Report.State(state)
	v.LED.Load().Stop()
	v.SaveReport()
}
