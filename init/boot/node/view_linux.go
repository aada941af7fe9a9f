package node

import (
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/base/swap"
	"imgbuild/init/boot/consoles"
	"imgbuild/init/boot/lan"
	"imgbuild/init/boot/role"
	"imgbuild/init/contract/checks"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/k3s"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/net/clock"
	"imgbuild/init/net/network"
	"imgbuild/init/start/layout"
	"imgbuild/init/status"
	"imgbuild/init/status/health"
	"imgbuild/init/status/metrics"
	"imgbuild/init/status/monitor"
	"imgbuild/init/storage/care"
	"imgbuild/init/supervise"
)

// View is the running node as its other goroutines see it. It is made when all of this is known,
// and not changed afterwards.
type View struct {
	*Shared
	Version  string // of this program
	Host     string
	How      string // the boot before ended, as far as the data partition shows
	Logs     string // the directory of logs
	Layout   *layout.Layout
	Log      *supervise.Log // of init_cmd, boot_cmd and run_cmd
	Services *supervise.Supervisor
	Net      *network.Manager
	Clock    *clock.Keeper
	LAN      *lan.LAN
	Watch    *metrics.Watch

	since atomic.Pointer[time.Time] // when Settle began
}

// health is when a node of this role is healthy, as the slot's data have it; at least the floor.
func (v *View) health() manifest.Health {
	h := v.Pre().Manifest.Health[v.Config().RoleOf("")]
	if len(h.Checks) == 0 {
		h.Checks = checks.Floor()
	}
	if h.Deadline <= 0 {
		h.Deadline = int64(defaultDeadline / time.Second)
	}
	return h
}

// judge reports the node's health by the checks of its role.
func (v *View) judge() health.Verdict { return health.Judge(v.health().Checks, v.facts()) }

// facts gathers what the checks judge.
func (v *View) facts() health.Facts {
	f := health.Facts{
		Booting: !v.Up.Load(), Degraded: v.Layout.Degraded, Rescue: v.Layout.Rescue, Disks: status.Disks("/"), Answers: v.Probes.Answers(),
	}
	if d := v.Disk.Load(); d != nil {
		if s := d.Status(); s.State != datadisk.None {
			f.DataDisk = &s
		}
	}
	if r := v.Storage.Load(); r != nil {
		f.Storage = r.Server.Disks.Status()
		f.Care = r.Server.Troubles()
		if text := r.Backups.Trouble(time.Now()); text != "" {
			f.Care = append(f.Care, care.Trouble{Text: text})
		}
		for _, p := range r.Server.Awaited() {
			f.Awaited = append(f.Awaited, p.String())
		}
		names := r.Server.Names()
		for _, name := range config.StorageServices {
			if !slices.Contains(names, name) {
				f.Without = append(f.Without, name)
			}
		}
	}
	if v.Clock.Status().Synced {
		f.Certificate = v.certificate()
	}
	if block := v.damaged.Load(); block != nil {
		f.Damaged = *block
	}
	f.Refused = v.newlyRefused()
	for _, u := range v.Services.Status() {
		if !strings.HasPrefix(u.Name, consoles.Prefix) {
			f.Units = append(f.Units, u)
		}
	}
	for _, i := range v.Net.Status() {
		f.Addresses = append(f.Addresses, i.Addresses...)
	}
	if k := v.Pre().Manifest.K3s; k == nil || k.Source == "none" {
		f.Without = append(f.Without, k3s.Name)
	}
	return f
}

// Status is the answer to shelf status.
func (v *View) Status() status.Status {
	host, _ := os.Hostname()
	p, facts := v.Pre(), v.facts()
	m, built := p.Manifest, time.Unix(p.Manifest.Date, 0)
	verdict := health.Judge(v.health().Checks, facts)
	s := status.Status{
		Hostname: host, Role: v.Config().RoleOf(""), Board: p.Cmdline["shelf.board"], Model: p.Model, Version: m.Version, Slot: p.Slot,
		Program: v.Version, Kernel: m.Kernel, LastEnd: status.LastEnd(v.How, p.Cmdline["shelf.last"]), Degraded: v.Layout.Degraded, Rescue: v.Layout.Rescue,
		Health: verdict.State, Why: verdict.Why, Checks: verdict.Results,
		Up: time.Since(status.Started()).Seconds(), LockDate: built.UTC(), LockAge: int(max(0, time.Since(built).Hours()/24)),
		Steps: v.Steps.All(), Machine: monitor.Read("/sys"), Problems: v.Base.Report.Problems(), Disks: facts.Disks, DataDisk: facts.DataDisk,
		Services: []status.Service{}, Network: []status.Interface{}, Written: v.Watch.Written(), Load: status.Load(), Clock: status.ClockOf(v.Clock.Status()),
		Swap:   swap.Areas("/"),
		Memory: status.Memory{Total: status.Meminfo("MemTotal"), Available: status.Meminfo("MemAvailable"), Init: monitor.Resident()},
	}
	if s.Problems == nil { // a list is one in JSON also when it is empty
		s.Problems = []report.Problem{}
	}
	if r, err := v.Record.Read(); err == nil {
		s.Record = status.RecordOf(r)
	}
	for _, u := range v.Services.Status() {
		s.Services = append(s.Services, status.ServiceOf(u))
	}
	for _, i := range v.Net.Status() {
		s.Network = append(s.Network, status.InterfaceOf(i))
	}
	if b, ok := role.Backups(v.Config()); ok && !v.Layout.Degraded {
		s.BackupFailures = &b.Fails
		if !b.Last.IsZero() {
			s.Backup = &b.Last
		}
	}
	s.MDNS = v.LAN.Status()
	if r := v.Router.Load(); r != nil {
		if now, err := r.Status(); err == nil {
			s.Router = &now
			for _, p := range now.Problems {
				s.Problems = append(s.Problems, report.Problem{Step: "router", What: p.What, Fix: p.Fix})
			}
		}
	}
	s.Certificate, s.Upgrade, s.Auto = v.certificate(), v.upgrade(), v.automatic()
	s.Clean(v.Base.Report.Clean) // anybody on the node may ask
	return s
}

// certificate is the one of k3s that ends first; nil where none is known.
func (v *View) certificate() *health.Certificate {
	u := v.Upkeep.Load()
	if u == nil {
		return nil
	}
	c := u.Soonest()
	if c.Name == "" {
		return nil
	}
	return &health.Certificate{Name: c.Name, Ends: c.Ends.UTC(), Left: time.Until(c.Ends)}
}
