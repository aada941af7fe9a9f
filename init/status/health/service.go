package health

import (
	"slices"

	"imgbuild/init/contract/checks"
	"imgbuild/init/supervise"
)

// Failing reports whether a unit failed, or has failed and has not come back yet: between two
// attempts it is starting, and no better for that.
func Failing(u supervise.State) bool {
	between := u.Phase == supervise.Starting || u.Phase == supervise.Pending && !u.Outside()
	return u.Phase == supervise.Failed || u.Failures > 0 && !u.Ready && between
}

// line is a unit as one line of Why.
func line(u supervise.State) string {
	if u.Detail == "" {
		return u.Name + ": " + string(u.Phase)
	}
	return u.Name + ": " + u.Detail
}

// state checks one unit.
func state(u supervise.State) State {
	switch {
	case Failing(u):
		return Bad
	case u.Ready || u.Phase == supervise.Done:
		return Good
	case u.Outside() || u.Phase == supervise.Stopped || u.Phase == supervise.Stopping: // somebody stopped it
		return Waiting
	}
	return Starting
}

// unit evaluates a check of a service that the role is for; ok is false where the service cannot be
// there.
func (f Facts) unit(c checks.Check, names []string) (s State, why []string, ok bool) {
	i := slices.IndexFunc(f.Units, func(u supervise.State) bool { return u.Name == c.Unit })
	switch {
	case i < 0 && (f.Degraded || slices.Contains(f.Without, c.Unit)):
		return "", nil, false
	case i < 0 && f.Booting:
		return Starting, []string{c.Unit + ": not started yet"}, true
	case i < 0:
		return Bad, []string{c.Unit + ": not set up"}, true
	}
	u := f.Units[i]
	s = state(u)
	switch {
	case s == Good && c.Probe:
		s, why = f.Answers[c.Name].judge(c.Unit)
	case s != Good && !(c.Probe && named(names, c.Unit)): // else the unit's own check reports it
		why = []string{line(u)}
	}
	return s, why, true
}

// named reports whether a check other than a probe is about a unit.
func named(names []string, unit string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		c, ok := checks.Find(name)
		return ok && c.Unit == unit && !c.Probe
	})
}

// services checks the units that no other of the named checks is about. One that somebody stopped
// is as it should be.
func (f Facts) services(names []string) (State, []string) {
	worst, why := Good, map[State][]string{}
	for _, u := range f.Units {
		if named(names, u.Name) || u.Phase == supervise.Stopped || u.Phase == supervise.Stopping {
			continue
		}
		s := state(u)
		if s.rank() > worst.rank() {
			worst = s
		}
		if s != Good {
			why[s] = append(why[s], line(u))
		}
	}
	return worst, slices.Concat(why[Bad], why[Waiting], why[Starting])
}
