package boot

import (
	"os"
	"slices"
	"strings"
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/contract/checks"
	"imgbuild/init/k3s"
	"imgbuild/init/status"
	"imgbuild/init/status/health"
	"imgbuild/init/status/monitor"
)

func (n *Node) status() status.Status {
	host, _ := os.Hostname()
	facts := n.facts()
	verdict := health.Judge(n.promises(), facts)
	m := n.pre.Manifest
	n.mu.Lock()
	steps := slices.Clone(n.steps)
	n.mu.Unlock()
	s := status.Status{
		Hostname: host, Role: n.current().RoleOf(""), Board: n.pre.Cmdline["shelf.board"], Model: n.pre.Model, Version: m.Version, Slot: n.pre.Slot,
		Program: n.Version, Kernel: m.Kernel, LastEnd: status.LastEnd(n.how, n.pre.Cmdline["shelf.last"]), Degraded: n.lay.Degraded, Rescue: n.lay.Rescue, Up: time.Since(status.Started()).Seconds(),
		LockDate: time.Unix(m.Date, 0).UTC(), LockAge: int(max(0, time.Since(time.Unix(m.Date, 0)).Hours()/24)),
		Steps: steps, Machine: monitor.Read("/sys"), Problems: n.base.Report.Problems(),
		Services: []status.Service{}, Network: []status.Interface{}, Disks: facts.Disks,
	}
	if s.Problems == nil { // a list is one in JSON also when it is empty
		s.Problems = []report.Problem{}
	}
	if r, err := n.record.Read(); err == nil {
		s.Record = status.RecordOf(r)
	}
	for _, u := range n.units.Status() {
		s.Services = append(s.Services, status.ServiceOf(u))
	}
	if n.net != nil {
		for _, i := range n.net.Status() {
			s.Network = append(s.Network, status.InterfaceOf(i))
		}
	}
	s.Written = n.written()
	s.Memory = status.Memory{Total: status.Meminfo("MemTotal"), Available: status.Meminfo("MemAvailable"), Init: monitor.Resident()}
	s.Load = status.Load()
	s.Clock.Now = time.Now().UTC()
	if n.clock != nil {
		s.Clock = status.ClockOf(n.clock.Status())
	}
	if b, ok := n.backups(); ok {
		s.BackupFailures = &b.Fails
		if !b.Last.IsZero() {
			s.Backup = &b.Last
		}
	}
	s.DataDisk, s.Certificate = facts.DataDisk, n.certificate()
	s.Health, s.Why, s.Checks = verdict.State, verdict.Why, verdict.Results
	s.Clean(n.base.Report.Clean) // anybody on the node may ask
	return s
}

// certificate is the one of k3s that ends first; nil where none is known.
func (n *Node) certificate() *health.Certificate {
	n.mu.Lock()
	u := n.upkeep
	n.mu.Unlock()
	if u == nil {
		return nil
	}
	c := u.Soonest()
	if c.Name == "" {
		return nil
	}
	return &health.Certificate{Name: c.Name, Ends: c.Ends.UTC(), Left: time.Until(c.Ends)}
}

// promises names the checks of the role, as the slot's data have them; at least the floor.
func (n *Node) promises() []string {
	if h := n.pre.Manifest.Health[n.current().RoleOf("")]; len(h.Checks) > 0 {
		return h.Checks
	}
	return checks.Floor()
}

// judge says how the node is by the checks of its role.
func (n *Node) judge() health.Verdict { return health.Judge(n.promises(), n.facts()) }

// facts gathers what the checks judge.
func (n *Node) facts() health.Facts {
	f := health.Facts{
		Booting: !n.up.Load(), Degraded: n.lay.Degraded, Rescue: n.lay.Rescue, Disks: status.Disks("/"), DataDisk: n.diskStatus(),
		Answers: n.probes.Answers(),
	}
	if n.clock != nil && n.clock.Status().Synced {
		f.Certificate = n.certificate()
	}
	if block := n.damaged.Load(); block != nil {
		f.Damaged = *block
	}
	for _, u := range n.units.Status() {
		if !strings.HasPrefix(u.Name, gettyUnit) {
			f.Units = append(f.Units, u)
		}
	}
	if n.net != nil {
		for _, i := range n.net.Status() {
			f.Addresses = append(f.Addresses, i.Addresses...)
		}
	}
	if k := n.pre.Manifest.K3s; k == nil || k.Source == "none" {
		f.Without = append(f.Without, k3s.Name)
	}
	return f
}
