// Package online follows the network of a node once it was started: it waits for it, reports when
// it does not come up, and keeps the time.
package online

import (
	"context"
	"slices"
	"strings"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/report"
	"imgbuild/init/net/clock"
	"imgbuild/init/net/network"
)

// Online is the network and the clock of a node. Its fields are not changed after Start; all
// methods may be called from any goroutine.
type Online struct {
	Net      *network.Manager
	Clock    *clock.Keeper
	Reporter report.Reporter      // in the name of the step network
	Save     func()               // the report
	Drop     func() (bool, error) // removes the route that leads nowhere if there is another one: network.DropDummy
	Out      func()               // there is a way out now, after there was none when k3s needed one
}

// Start starts the network and what follows it, until ctx ends. Nothing waits here: a lease takes
// its time, and sshd, keys and k3s' own preparations need not wait for it.
func (o *Online) Start(ctx context.Context) {
	o.Net.Start(ctx)
	guard.Go(func() { o.report(ctx) })
	guard.Go(func() { o.complain(ctx) })
	guard.Go(func() { o.route(ctx) })
	guard.Go(func() {
		_ = o.Await(ctx) // nobody answers before, and looking for names takes its time
		o.Clock.Run(ctx)
	})
	guard.Go(func() {
		for o.changed(ctx, o.Net.Changed()) {
			o.Clock.Kick()
		}
	})
}

// changed waits for a change of the network; false when ctx ends first.
func (o *Online) changed(ctx context.Context, change <-chan struct{}) bool {
	select {
	case <-change:
		return true
	case <-ctx.Done():
		return false
	}
}

// Await waits until the network is up, for as long as what needs one may be held up by it.
func (o *Online) Await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, network.WaitLimit)
	defer cancel()
	return o.Net.Wait(ctx)
}

// Time waits for the network, then for the right time, at most limit. k3s comes after both: without
// a default route it would get one that leads nowhere. A limit of 0 asks and waits for neither.
func (o *Online) Time(ctx context.Context, limit time.Duration) error {
	if limit > 0 {
		_ = o.Await(ctx)
	}
	return o.Clock.Wait(ctx, limit)
}

// complain reports when the network does not come up, once for each time.
func (o *Online) complain(ctx context.Context) {
	for {
		change := o.Net.Changed()
		if err := o.Await(ctx); err != nil && ctx.Err() == nil {
			o.Reporter.Problem(err)
			o.Save()
			_ = o.Net.Wait(ctx)
			o.Reporter.Report.Drop(o.Reporter.Step)
			o.Save()
		}
		if !o.changed(ctx, change) {
			return
		}
	}
}

// report keeps the report's line about the network.
func (o *Online) report(ctx context.Context) {
	for last := []string(nil); ; {
		change := o.Net.Changed()
		var lines []string
		for _, s := range o.Net.Status() {
			lines = append(lines, s.String())
		}
		if !slices.Equal(lines, last) {
			last = lines
			o.Reporter.Report.Fact("network", strings.Join(lines, "; "))
		}
		if !o.changed(ctx, change) {
			return
		}
	}
}

// route looks for the way out that comes after k3s: a cable that is plugged in an hour after the
// boot. Until then the node's address in the cluster is one that leads nowhere.
func (o *Online) route(ctx context.Context) {
	for {
		change := o.Net.Changed()
		dropped, err := o.Drop()
		if err != nil {
			o.Reporter.Say("network: %v", err)
		}
		if dropped {
			o.Reporter.Say("network: there is a way out now; k3s starts again with it")
			o.Out()
		}
		if !o.changed(ctx, change) {
			return
		}
	}
}
