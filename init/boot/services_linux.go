package boot

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/supervise"
)

// syncLimit is how long services that are taken away or changed have to end.
const syncLimit = time.Minute

// extraUnits gives the units that may come and go while the node runs: node-exporter and those of the section services. What
// cannot be made is told and left out.
func (n *Node) extraUnits() []supervise.Unit {
	units := n.exporter()
	if n.lay.Degraded {
		return units // the data of the others are elsewhere
	}
	services, t := n.current().Services, n.base.For("units")
	for _, name := range slices.Sorted(maps.Keys(services)) {
		s := services[name]
		if !s.Enabled || len(s.Command) == 0 { // without a command it was told by the check of the configuration
			continue
		}
		u, err := supervise.FromConfig(name, s)
		if err != nil {
			t.Problem(err)
			continue
		}
		units = append(units, u)
	}
	return units
}

// syncServices makes extraUnits true, in the background: what has to end may take its time.
func (n *Node) syncServices() {
	guard.Go(func() {
		n.syncing.Lock()
		defer n.syncing.Unlock()
		n.applyServices()
		n.saveReport()
	})
}

// applyServices makes extraUnits true.
func (n *Node) applyServices() {
	ctx, cancel := context.WithTimeout(context.Background(), syncLimit)
	defer cancel()
	n.base.Report.Drop("units")
	for _, err := range n.units.Sync(ctx, n.extraUnits()) {
		n.base.For("units").Problem(err)
	}
	n.follow()
}

// changed takes what a unit has to say about itself. The supervisor waits for it, and a console may be slow: whoever talks
// too much is not heard.
func (n *Node) changed(s supervise.State) {
	select {
	case n.said <- s:
	default:
	}
}

// sayStates prints what changed has taken.
func (n *Node) sayStates() {
	last := map[string]supervise.State{}
	for s := range n.said {
		was := last[s.Name]
		last[s.Name] = s
		if worthSaying(was, s) {
			n.base.Say("service %s", s)
		}
	}
}

// worthSaying says whether people want to read a change on the console: a new phase, or what it waits for now. Of a service
// of the user's that fails again and again, ever fewer lines.
func worthSaying(was, is supervise.State) bool {
	if strings.HasPrefix(is.Name, gettyUnit) {
		return false // ends with every logout
	}
	switch is.Phase {
	case supervise.Failed, supervise.Up, supervise.Done:
		if is.Phase == was.Phase {
			return false
		}
	case supervise.Pending:
		if is.Phase == was.Phase && is.Detail == was.Detail {
			return false
		}
	default:
		return false
	}
	return !is.Optional || is.Failures <= 3 || is.Failures&(is.Failures-1) == 0
}
