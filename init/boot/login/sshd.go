// Package login runs Debian's sshd, by which people reach the node.
package login

import (
	"context"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/k3s"
	"imgbuild/init/supervise"
)

// Name is that of the unit.
const Name = "sshd"

// Facts are what the start of sshd depends on.
type Facts struct {
	Role     string
	K3s      *manifest.K3s // of the slot; nil if it has none
	Degraded bool          // the role does not run
	Commands bool          // run_cmd comes before the role
	Trial    bool
}

// Yields decides whether sshd lets the first program of the role start before it, which on a board
// with one busy core starts a second earlier that way. A role that waits for something delays it by
// sshdYield at most.
func (f Facts) Yields() bool {
	return !f.Degraded && !f.Commands && f.K3s != nil && f.K3s.Source != "none" && (f.Role == k3s.Server || f.Role == k3s.Worker)
}

// Unit is sshd. Its sessions are processes of their own and go on when it is restarted.
func Unit(units *supervise.Supervisor, f Facts) supervise.Unit {
	u := supervise.Unit{
		Name: Name, Command: []string{"/usr/sbin/sshd", "-D", "-e"}, Ready: supervise.Ready{Kind: supervise.TCP, Address: address},
		OOMScore: -900, StopOrder: 90, KeepOthers: true,
		Limits: cgroup.Limits{CPUWeight: 400}, // keeps logins responsive while a service uses all CPU
	}
	if f.Yields() {
		u.Prepare = func(ctx context.Context, _ supervise.Say) error { return yield(ctx, units) }
	}
	if f.Trial { // else a connection is enough, and sooner
		u.Ready.Probe = func(ctx context.Context) error { return banner(ctx, address) }
	}
	return u
}

// sshdYield is how long sshd may be held up.
const sshdYield = 2 * time.Second

// yield waits until the role's program was started, or has reported what it waits for.
func yield(ctx context.Context, units *supervise.Supervisor) error {
	ctx, cancel := context.WithTimeout(ctx, sshdYield)
	defer cancel()
	for {
		if s, ok := units.State(k3s.Name); ok && (s.Starts > 0 || s.Phase == supervise.Failed || s.Outside()) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}
