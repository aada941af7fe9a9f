package supervise

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"imgbuild/init/contract/fault"
)

// Sync makes the given units run, and no others that an earlier Sync brought: new ones are added
// and started, those that are missing now are stopped and forgotten, changed ones are stopped and
// started again, and those that are as they were are left alone, whatever state they are in. Units
// that came by Add are not touched; a unit of their name is refused.
//
// A unit that cannot be taken is left out, and one that runs under its name goes on as it was; the
// others are not held up. The errors name them, and those that need each other in a circle.
// When ctx ends, what is being stopped is killed.
func (s *Supervisor) Sync(ctx context.Context, units []Unit) []error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	want, refused, errs := s.accept(units)

	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return errs
	}
	var stale []Unit // to be stopped: gone or changed
	var fresh []Unit // to be started: new or changed
	var synced []string
	for _, name := range s.synced {
		if i := find(want, name); i >= 0 && same(want[i], s.units[name].unit) || i < 0 && slices.Contains(refused, name) {
			synced = append(synced, name)
			continue
		}
		stale = append(stale, s.units[name].unit)
	}
	for _, u := range want {
		if !slices.Contains(synced, u.Name) {
			fresh = append(fresh, u)
		}
	}
	s.mu.Unlock()

	if err := s.stopAll(ctx, stale); err != nil {
		errs = append(errs, err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range stale {
		if find(fresh, u.Name) < 0 {
			s.forget(u.Name)
		}
	}
	for _, u := range fresh {
		if r := s.units[u.Name]; r != nil {
			r.unit, r.state.Optional = u, u.Optional
		} else {
			s.insert(u)
		}
		synced = append(synced, u.Name)
	}
	s.synced = synced
	for _, u := range fresh {
		s.begin(s.units[u.Name])
	}
	close(s.changed) // who waits for a unit that came or went looks again
	s.changed = make(chan struct{})
	return errs
}

// accept returns the units that can run, with their defaults, and the names of those that cannot.
func (s *Supervisor) accept(units []Unit) (want []Unit, refused []string, errs []error) {
	refuse := func(name string, err error) {
		refused, errs = append(refused, name), append(errs, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var fixed []Unit // those of Add
	for _, name := range s.order {
		if !slices.Contains(s.synced, name) {
			fixed = append(fixed, s.units[name].unit)
		}
	}
	for _, u := range units {
		u, err := u.withDefaults()
		switch {
		case err != nil:
			refuse(u.Name, err)
		case find(fixed, u.Name) >= 0:
			refuse(u.Name, fault.New(fault.Input, "give it another name", "service %q: the system has a service of that name", u.Name))
		case find(want, u.Name) >= 0:
			errs = append(errs, fault.New(fault.Input, "give one of them another name", "there are two services with the name %q", u.Name))
		default:
			want = append(want, u)
		}
	}
	// A unit in a circle, or with a need that does not exist, takes those that need it along.
	for again := true; again; {
		again = false
		for i, u := range want {
			if err := needable(append(fixed[:len(fixed):len(fixed)], want...), u); err != nil {
				refuse(u.Name, err)
				want = slices.Delete(want, i, i+1)
				again = true
				break
			}
		}
	}
	return want, refused, errs
}

// needable returns what is wrong with a unit's own needs: one that is not among all, or a way that
// leads back to it.
func needable(all []Unit, u Unit) error {
	seen := map[string]bool{}
	var path []string
	var visit func(name string) []string
	visit = func(name string) []string {
		path = append(path, name)
		defer func() { path = path[:len(path)-1] }()
		for _, need := range all[find(all, name)].Needs {
			if need == u.Name {
				return append(slices.Clone(path), need)
			}
			if !seen[need] && find(all, need) >= 0 {
				seen[need] = true
				if circle := visit(need); circle != nil {
					return circle
				}
			}
		}
		return nil
	}
	for _, need := range u.Needs {
		if find(all, need) < 0 {
			return fault.New(fault.Input, "take it out of needs or add that service", "service %q needs %q, which does not exist or cannot run", u.Name, need)
		}
	}
	if circle := visit(u.Name); circle != nil {
		return fault.New(fault.Input, "take one of them out of needs", "services need each other in a circle: %s", strings.Join(circle, " -> "))
	}
	return nil
}

// forget removes a unit that is stopped; its log file stays. mu is held.
func (s *Supervisor) forget(name string) {
	delete(s.units, name)
	s.order = slices.DeleteFunc(s.order, func(n string) bool { return n == name })
	if s.o.Groups != nil {
		_ = s.o.Groups.Existing(name).Remove()
	}
}

func find(units []Unit, name string) int {
	return slices.IndexFunc(units, func(u Unit) bool { return u.Name == name })
}

// same compares what is data in two units. Their functions cannot be compared: a caller that makes
// units again from a configuration passes the same ones.
func same(a, b Unit) bool {
	a.Prepare, a.Arguments, a.Finish, a.Ready.Probe = nil, nil, nil, nil
	b.Prepare, b.Arguments, b.Finish, b.Ready.Probe = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}
