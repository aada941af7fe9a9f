package supervise

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"syscall"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/confine"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// The defaults of a service of the configuration: enough for any program that
// belongs on a small board, and too little for one that runs wild to take the node along.
const (
	userPids   = 1024
	userNoFile = 16384
)

// FromConfig makes a unit of an entry of the section services.
func FromConfig(name string, c config.Service) (u Unit, err error) {
	u = Unit{
		Name: name, Command: c.Command, User: c.User, Dir: c.Directory, Needs: c.Needs,
		Limits: cgroup.Limits{MemoryMax: c.Memory, MemoryHigh: c.MemoryHigh, CPUMax: c.CPU, PidsMax: int64(c.Pids)},
		Delay:  c.Backoff, StopTimeout: c.StopTimeout,
		Ready:  Ready{Timeout: c.Ready.Timeout},
		NoFile: userNoFile, Optional: true,
	}
	if config.Taken(name) {
		return u, fault.New(fault.Input, "give it another name", "service %q: the system has a service or a log of that name", name)
	}
	if u.Limits.PidsMax == 0 {
		u.Limits.PidsMax = userPids
	}
	for _, key := range slices.Sorted(maps.Keys(c.Environment)) {
		u.Env = append(u.Env, key+"="+c.Environment[key])
	}
	switch r := c.Ready; {
	case r.Notify:
		u.Ready.Kind = Notify
	case r.TCP != "":
		u.Ready.Kind, u.Ready.Address = TCP, r.TCP
	case r.File != "":
		u.Ready.Kind, u.Ready.Path = File, r.File
	case len(r.Command) > 0:
		u.Ready.Kind, u.Ready.Command = Succeeds, r.Command
	}
	rules := map[string]Restart{"": Always, "always": Always, "on-failure": OnFailure, "never": Never}
	rule, ok := rules[c.Restart]
	if !ok {
		return u, fault.New(fault.Input, "write always, on-failure or never", "service %q: restart %q", name, c.Restart)
	}
	u.Restart = rule
	if c.Confined.Is() {
		if u.Command, err = confinedCommand(name, c); err != nil {
			return u, err
		}
		u.User, u.Dir = "", ""
	}
	if c.StopSignal != "" {
		sig, ok := signalNumber(c.StopSignal)
		if !ok {
			return u, fault.New(fault.Input, "write a name such as TERM", "service %q: stop_signal %q", name, c.StopSignal)
		}
		u.StopSignal = sig
	}
	_, err = u.withDefaults()
	return u, err
}

// shelfPath is the node's program.
const shelfPath = "/usr/bin/shelf"

// confinedCommand is the command of the part outside of a confined service, which runs it.
func confinedCommand(name string, c config.Service) ([]string, error) {
	text, err := json.Marshal(confine.Spec{
		Name: name, Command: c.Command, User: c.User, Dir: c.Directory,
		Read: c.Confined.Read, Write: c.Confined.Write, WireGuard: c.Confined.WireGuard, Publish: c.Confined.Publish,
	})
	return []string{shelfPath, confine.Verb, string(text)}, err
}

// signalNumber takes TERM, SIGTERM and sigterm.
func signalNumber(name string) (syscall.Signal, bool) {
	name = "SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG")
	for n := syscall.Signal(1); n < 32; n++ {
		if signalName(n) == name {
			return n, true
		}
	}
	return 0, false
}
