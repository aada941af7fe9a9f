package node

import (
	"cmp"
	"context"
	"time"

	"imgbuild/init/boot/order"
	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/fault"
	"imgbuild/init/settings/sources"
	"imgbuild/init/start/layout"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/status/logs"
	"imgbuild/init/supervise"
)

// Answer serves the command on the node. Reading is for everybody, as far as it holds no secrets;
// the rest is for trusted callers.
func (v *View) Answer(r control.Request, trusted bool) (any, error) {
	if r.Verb == "status" {
		return v.Status(), nil
	}
	if r.Verb == upgrades.History {
		return v.history(), nil
	}
	if !trusted {
		return nil, fault.New(fault.Usage, "use sudo", "only root and the group %s may give the order %q", control.Group, r.Verb)
	}
	kept := logs.Logs{Dir: v.Logs, Units: v.Services, Commands: v.Log}
	switch r.Verb {
	case "config-check", "config-apply", "config-confirm", "config-revert":
		if !v.Up.Load() {
			return nil, fault.New(fault.Unhealthy, "try again in a moment", "the node is still booting")
		}
		return v.Trial.Answer(r)
	case order.Reboot, order.Poweroff, order.Reload:
		v.Orders.Give(order.Order{Verb: r.Verb, Reason: cmp.Or(r.Reason, r.Verb)})
		return nil, nil
	case upgrades.Facts, upgrades.Forget, upgrades.Arm, upgrades.Commit, upgrades.Rollback, upgrades.Hold:
		return v.upgrading(r)
	case "start", "stop", "restart":
		return v.service(r)
	case "logs":
		return kept.Answer(r)
	case "lognames":
		return kept.Names(), nil
	case "dmesg":
		return logs.Dmesg()
	case "storage":
		s := v.Storage.Load()
		if s == nil {
			return nil, fault.New(fault.Usage, "see shelf status for the role", "this node is not a storage node")
		}
		note := ""
		if what := r.Args["do"]; what != "" {
			v.Base.Log("storage: %s %s, as ordered", what, r.Args["disk"])
			var err error
			if note, err = s.Server.Order(what, r.Args["disk"], r.Args["device"], r.Args["old"]); err != nil {
				return nil, err
			}
		}
		report, err := s.Server.Report()
		report.Note = note
		return report, err
	case "reset":
		return nil, v.reset()
	}
	return nil, fault.New(fault.Usage, "", "unknown request %q", r.Verb)
}

// reset notes that the next boot makes the data partition new except for the configuration and what
// makes the node the same one, and reboots.
func (v *View) reset() error {
	if v.Layout.Degraded {
		return fault.New(fault.Device, "run shelf data", "the data partition is not in use, there is nothing to reset")
	}
	if err := layout.OrderReset(sources.Store); err != nil {
		return fault.Wrap(err, fault.Device, "", "the order to reset cannot be noted")
	}
	v.Orders.Give(order.Order{Verb: order.Reboot, Reason: "reset"})
	return nil
}

// serviceLimit is how long a service has to stop before it is killed, when a person waits for it.
const serviceLimit = 2 * time.Minute

// service starts, stops or restarts one service and returns its state.
func (v *View) service(r control.Request) (any, error) {
	name := r.Args["name"]
	if name == "" {
		return nil, fault.New(fault.Usage, "run shelf "+r.Verb+" NAME", "%s which service?", r.Verb)
	}
	ctx, cancel := context.WithTimeout(context.Background(), serviceLimit)
	defer cancel()
	var err error
	switch r.Verb {
	case "start":
		err = v.Services.StartUnit(name)
	case "stop":
		err = v.Services.StopUnit(ctx, name)
	case "restart":
		err = v.Services.RestartUnit(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	v.Base.Log("%s %s, as ordered", r.Verb, name)
	if r.Verb != "stop" {
		v.began(ctx, name)
	}
	st, _ := v.Services.State(name)
	return status.ServiceOf(st), nil
}

// began waits for a moment until it shows whether a service that was just started fails at once,
// waits or runs.
func (v *View) began(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		st, _ := v.Services.State(name)
		// One that reports nothing of itself counts as ready as soon as it runs: it has to stay so
		// for a moment.
		if st.Ready && time.Since(st.Since) > time.Second || st.Phase == supervise.Failed || st.Phase == supervise.Done || st.Outside() {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}
