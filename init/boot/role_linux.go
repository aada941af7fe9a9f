package boot

import (
	"slices"
	"strings"
	"syscall"

	"imgbuild/init/cgroup"
	"imgbuild/init/config"
	"imgbuild/init/fault"
	"imgbuild/init/k3s"
	"imgbuild/init/service"

	"golang.org/x/sys/unix"
)

// role gives the units of the node's role, and those of the configuration's section services. What cannot be made is told
// and left out.
func (n *Node) role() []service.Unit {
	var units []service.Unit
	role := n.cfg.RoleOf("")
	n.tell.Report.Fact("role", role)
	switch {
	case n.lay.Degraded:
		return nil // nothing may begin a second life beside the one on the lost disk
	case role == k3s.Server || role == k3s.Worker:
		u, err := k3s.Unit(k3s.Node{Config: n.current, Manifest: n.pre.Manifest.K3s, Role: role, Hostname: n.host, Groups: n.groups, Time: n.awaitTime, Say: n.tell.Say})
		if err != nil {
			n.tell.Problem(err)
			break
		}
		units = append(units, u)
	default:
		n.tell.Problem(fault.New(fault.Input, "set shelf.role to one of "+strings.Join(n.pre.Manifest.Roles, ", "), "this system cannot run the role %q", role))
	}
	names := make([]string, 0, len(n.cfg.Services))
	for name := range n.cfg.Services {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if s := n.cfg.Services[name]; s.Enabled && len(s.Command) > 0 {
			units = append(units, userUnit(name, s))
		}
	}
	return units
}

// userUnit makes a unit of an entry of the section services.
func userUnit(name string, s config.Service) service.Unit {
	u := service.Unit{
		Name: name, Command: s.Command, User: s.User, Dir: s.Directory, Needs: s.Needs, Delay: s.Backoff, StopTimeout: s.StopTimeout,
		Limits: cgroup.Limits{MemoryMax: s.Memory, CPUMax: s.CPU},
	}
	for k, v := range s.Environment {
		u.Env = append(u.Env, k+"="+v)
	}
	slices.Sort(u.Env)
	switch s.Restart {
	case "on-failure":
		u.Restart = service.OnFailure
	case "never":
		u.Restart = service.Never
	}
	r := s.Ready
	u.Ready.Timeout = r.Timeout
	switch {
	case r.Notify:
		u.Ready.Kind = service.Notify
	case r.TCP != "":
		u.Ready.Kind, u.Ready.Address = service.TCP, r.TCP
	case r.File != "":
		u.Ready.Kind, u.Ready.Path = service.File, r.File
	case len(r.Command) > 0:
		u.Ready.Kind, u.Ready.Command = service.Succeeds, r.Command
	}
	if s.StopSignal != "" {
		u.StopSignal = signalOf(s.StopSignal)
	}
	return u
}

// signalOf reads TERM or SIGTERM; the configuration's check has refused what is none.
func signalOf(name string) syscall.Signal {
	name = strings.ToUpper(name)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	return unix.SignalNum(name)
}
