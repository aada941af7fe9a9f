// Package services runs the services that may come and go while the node runs, and reports on the
// console what becomes of services.
package services

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/report"
	"imgbuild/init/boot/consoles"
	"imgbuild/init/contract/config"
	"imgbuild/init/supervise"
)

// limit is how long services that are taken away or changed have to end.
const limit = time.Minute

// Of returns the units of the section services. A service that cannot be made is reported and left
// out; load loads a kernel module.
func Of(cfg *config.Config, load func(module string, params ...string) error, problem func(error)) []supervise.Unit {
	var units []supervise.Unit
	for _, name := range slices.Sorted(maps.Keys(cfg.Services)) {
		s := cfg.Services[name]
		if !s.Enabled || len(s.Command) == 0 { // without a command: reported by the check of the configuration
			continue
		}
		u, err := supervise.FromConfig(name, s)
		if err != nil {
			problem(err)
			continue
		}
		if s.Confined.WireGuard != "" {
			u.Prepare = func(context.Context, supervise.Say) error { return load("wireguard") }
		}
		units = append(units, u)
	}
	return units
}

// Extra makes the units of List run, and no others that it made run before. All methods may be
// called from any goroutine.
type Extra struct {
	Units    *supervise.Supervisor
	Reporter report.Reporter // in the name of the step units
	List     func() []supervise.Unit
	After    func() // when a Sync is over

	one sync.Mutex // Sync at a time
}

// Start does Sync in the background: what has to end may take its time.
func (e *Extra) Start() { guard.Go(e.Sync) }

// Sync makes the list true.
func (e *Extra) Sync() {
	e.one.Lock()
	defer e.one.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	e.Reporter.Report.Drop(e.Reporter.Step)
	for _, err := range e.Units.Sync(ctx, e.List()) {
		e.Reporter.Problem(err)
	}
	e.After()
}

// Words prints what units report about themselves.
type Words struct{ said chan supervise.State }

// NewWords prints through say, which may be slow, until the process ends.
func NewWords(say func(format string, args ...any)) Words {
	w := Words{make(chan supervise.State, 256)}
	guard.Go(func() {
		last := map[string]supervise.State{}
		for s := range w.said {
			was := last[s.Name]
			last[s.Name] = s
			if worthSaying(was, s) {
				say("service %s", s)
			}
		}
	})
	return w
}

// Changed takes a change. The supervisor waits for it: what comes faster than a console takes it is
// not printed.
func (w Words) Changed(s supervise.State) {
	select {
	case w.said <- s:
	default:
	}
}

// worthSaying reports whether a change belongs on the console: a new phase, or what it
// waits for now. Of a service of the user's that fails again and again, ever fewer lines.
func worthSaying(was, is supervise.State) bool {
	if strings.HasPrefix(is.Name, consoles.Prefix) {
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
