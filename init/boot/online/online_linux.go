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
	Reporter report.Reporter // in the name of the step network
	Save     func()          // the report
	Out      func()          // there is a way out now, after there was none when k3s needed one
}

// Start starts the network and what follows it. Nothing waits here: a lease takes its time, and
// sshd, keys and k3s' own preparations need not wait for it.
func (o *Online) Start() {
	o.Net.Start(context.Background())
	guard.Go(o.report)
	guard.Go(o.complain)
	guard.Go(o.route)
	guard.Go(func() {
		_ = o.Await(context.Background()) // nobody answers before, and looking for names takes its time
		o.Clock.Run(context.Background())
	})
	guard.Go(func() {
		for {
			<-o.Net.Changed()
			o.Clock.Kick()
		}
	})
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
func (o *Online) complain() {
	for {
		if err := o.Await(context.Background()); err != nil {
			o.Reporter.Problem(err)
			o.Save()
			_ = o.Net.Wait(context.Background())
			o.Reporter.Report.Drop("network")
			o.Save()
		}
		<-o.Net.Changed()
	}
}

// report keeps the report's line about the network.
func (o *Online) report() {
	for last := []string(nil); ; {
		changed := o.Net.Changed()
		var lines []string
		for _, s := range o.Net.Status() {
			lines = append(lines, s.String())
		}
		if !slices.Equal(lines, last) {
			last = lines
			o.Reporter.Report.Fact("network", strings.Join(lines, "; "))
		}
		<-changed
	}
}

// route looks for the way out that comes after k3s: a cable that is plugged in an hour after the
// boot. Until then the node's address in the cluster is one that leads nowhere.
func (o *Online) route() {
	for {
		changed := o.Net.Changed()
		dropped, err := network.DropDummy()
		if err != nil {
			o.Reporter.Say("network: %v", err)
		}
		if dropped {
			o.Reporter.Say("network: there is a way out now; k3s starts again with it")
			o.Out()
		}
		<-changed
	}
}
