package metrics

import (
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/net/clock"
	"imgbuild/init/status"
	"imgbuild/init/status/monitor"
	"imgbuild/init/supervise"
)

// SampleOf makes a sample of a status. c is the state of the clock, trial: the running slot is
// under trial.
func SampleOf(st status.Status, units *supervise.Supervisor, c clock.Status, trial bool) monitor.Sample {
	s := monitor.Sample{
		Version: st.Version, Slot: st.Slot, Program: st.Program, Role: st.Role, Board: st.Board, Model: st.Model, Kernel: st.Kernel,
		Built: st.LockDate, Booted: status.Started(), Last: st.LastEnd, Degraded: st.Degraded, Problems: len(st.Problems),
		Trial: trial, Checks: st.Checks, Synced: st.Clock.Synced, Machine: st.Machine, InitRSS: st.Memory.Init, Fails: st.BackupFailures,
	}
	for _, step := range st.Steps {
		s.Steps = append(s.Steps, monitor.Step{Name: step.Name, Seconds: step.Seconds})
	}
	if u := st.Upgrade; u != nil {
		s.Upgrade = monitor.Upgrade{Version: u.Version, From: u.From, State: u.State, Blame: u.Blame, Ended: u.Ended, Floor: u.Floor}
	}
	if st.Record != nil {
		s.Left = &st.Record.Left
	}
	for _, p := range st.Problems {
		if p.Step == "config" {
			s.ConfigProblems++
		}
	}
	for _, u := range st.Services {
		use := monitor.UsageOf(u.Name, cgroup.Root, units.Groups(u.Name)...)
		s.Services = append(s.Services, monitor.Service{Name: u.Name, Phase: u.Phase, Ready: u.Ready, Starts: u.Starts, Failures: u.Failures, Memory: use.Memory, CPU: use.CPU})
	}
	if s.Synced {
		s.ClockOffset, s.ClockError, s.ClockAsked = c.Offset, c.Error, c.When
	}
	if st.Backup != nil {
		s.Backup = *st.Backup
	}
	if st.Certificate != nil {
		s.Certificate = st.Certificate.Ends
	}
	if r := st.Router; r != nil {
		s.Router = &monitor.Router{Uplink: r.Fault(time.Now()) == nil, Boards: len(r.Boards)}
	}
	s.Machine.ReadOnly = map[string]bool{}
	for _, d := range st.Disks {
		s.Machine.ReadOnly[d.Path] = d.ReadOnly
	}
	return s
}
