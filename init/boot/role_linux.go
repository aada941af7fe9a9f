package boot

import (
	"context"
	"strings"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s"
	"imgbuild/init/supervise"
)

// role gives the units of the node's role. What cannot be made is told and left out.
func (n *Node) role() []supervise.Unit {
	var units []supervise.Unit
	role := n.cfg.RoleOf("")
	n.tell.Report.Fact("role", role)
	switch {
	case n.lay.Degraded:
		return nil // nothing may begin a second life beside the one on the lost disk
	case role == k3s.Server || role == k3s.Worker:
		n.watchDisk()
		u, keep, err := k3s.Unit(k3s.Node{Config: n.current, Manifest: n.pre.Manifest.K3s, Role: role, Hostname: n.host, Load: n.pre.Modules.Load, Groups: n.groups, Time: n.awaitTime, Data: n.dataDisk, Say: n.tell.Say})
		if err != nil {
			n.tell.Problem(err)
			break
		}
		units = append(units, u)
		n.probes.Add(k3s.Probes(n.current, role)...)
		n.mu.Lock()
		n.upkeep = keep
		n.mu.Unlock()
		guard.Go(func() {
			keep.Run(context.Background(), n.units, func() bool { return n.clock.Status().Synced }, n.clock.Synced())
		})
		if role == k3s.Server {
			n.keepBackups()
		}
	default:
		n.tell.Problem(fault.New(fault.Input, "set shelf.role to one of "+strings.Join(n.pre.Manifest.Roles, ", "), "this system cannot run the role %q", role))
	}
	return units
}
