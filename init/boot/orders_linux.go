package boot

import (
	"context"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/supervise"
)

// orderLimit is how long a service has to stop before it is killed, when a person waits for it.
const orderLimit = 2 * time.Minute

// unitOrder starts, stops or restarts one service and gives its state.
func (n *Node) unitOrder(r control.Request) (any, error) {
	name := r.Args["name"]
	if name == "" {
		return nil, fault.New(fault.Usage, "say shelf "+r.Verb+" NAME", "%s which service?", r.Verb)
	}
	ctx, cancel := context.WithTimeout(context.Background(), orderLimit)
	defer cancel()
	var err error
	switch r.Verb {
	case "start":
		err = n.units.StartUnit(name)
	case "stop":
		err = n.units.StopUnit(ctx, name)
	case "restart":
		err = n.units.RestartUnit(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	n.base.Log("%s %s, as ordered", r.Verb, name)
	if r.Verb != "stop" {
		n.began(ctx, name)
	}
	st, _ := n.units.State(name)
	return status.ServiceOf(st), nil
}

// began waits for a moment until it shows whether a service that was just started fails at once, waits or runs.
func (n *Node) began(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		st, _ := n.units.State(name)
		// One that says nothing of itself counts as ready as soon as it runs: it has to stay so for a moment.
		if st.Ready && time.Since(st.Since) > time.Second || st.Phase == supervise.Failed || st.Phase == supervise.Done || st.Outside() {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}
