package boot

import (
	"context"
	"slices"
	"strings"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/k3s"
	"imgbuild/init/net/network"
	"imgbuild/init/settings/apply"
	"imgbuild/init/supervise"
)

// network starts the network and what needs it. Nothing waits here: a lease takes its time, and sshd, keys and k3s' own
// preparations need not stand behind it.
func (n *Node) network() error {
	n.net = network.New(n.cfg, n.host, network.ResolvConf, n.tell.Say)
	n.net.OnLink(func(name string) {
		n.base.For("config").Problem(apply.Here.LinkSysctls(name, n.current().K3OS.Sysctls))
	})
	n.net.Start(context.Background())
	guard.Go(n.watchNetwork)
	n.keepClock()
	n.fetchKeys()
	return nil
}

// awaitNetwork waits until the network is up, for as long as what needs one may be held up by it.
func (n *Node) awaitNetwork(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, network.WaitLimit)
	defer cancel()
	return n.net.Wait(ctx)
}

// awaitTime waits for the network, then for the right time, at most limit. k3s comes behind both: without a default route it
// would get one that leads nowhere. A limit of 0 asks and waits for neither.
func (n *Node) awaitTime(ctx context.Context, limit time.Duration) error {
	if limit > 0 {
		_ = n.awaitNetwork(ctx)
	}
	return n.clock.Wait(ctx, limit)
}

// watchNetwork keeps the report's line about the network, and tells when it does not come up, once for each time.
func (n *Node) watchNetwork() {
	t := n.base.For("network")
	guard.Go(func() {
		for {
			if err := n.awaitNetwork(context.Background()); err != nil {
				t.Problem(err)
				n.saveReport()
				_ = n.net.Wait(context.Background())
				t.Report.Drop("network")
				n.saveReport()
			}
			<-n.net.Changed()
		}
	})
	guard.Go(n.watchRoute)
	for last := []string(nil); ; {
		changed := n.net.Changed()
		var lines []string
		for _, s := range n.net.Status() {
			lines = append(lines, s.String())
		}
		if !slices.Equal(lines, last) {
			last = lines
			t.Report.Fact("network", strings.Join(lines, "; "))
		}
		<-changed
	}
}

// watchRoute has k3s start anew when the way out comes after it: a cable that is plugged in an hour after the boot. Until then its
// address in the cluster is one that leads nowhere.
func (n *Node) watchRoute() {
	for {
		changed := n.net.Changed()
		dropped, err := network.DropDummy()
		if err != nil {
			n.base.Say("network: %v", err)
		}
		if dropped {
			n.base.Say("network: there is a way out now; k3s starts anew with it")
			ctx, over := context.WithTimeout(context.Background(), routeStop)
			if s, ok := n.units.State(k3s.Name); ok && s.Phase != supervise.Stopped {
				n.base.For("k3s").Problem(n.units.RestartUnit(ctx, k3s.Name))
			}
			over()
		}
		<-changed
	}
}

// routeStop is how long k3s has to end before it starts anew.
const routeStop = 2 * time.Minute
