// Package health says whether a node does what its role promises. After an upgrade this decides between commit and rollback.
//
// Check is one of the project's three seams: each role brings its own checks, and whoever waits for them knows nothing else
// about the role.
package health

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"
)

// Check is one thing that a role promises.
type Check interface {
	// Name is stable across versions: results of an earlier system are compared by it.
	Name() string
	// Check returns nil when the promise is kept now, else one line that says what is wrong. It honours ctx and changes nothing.
	Check(ctx context.Context) error
}

// Result is the outcome of one check.
type Result struct {
	Name string
	Err  error // nil: passed
}

// patience is how long one check may take; a check that hangs has failed.
const patience = 20 * time.Second

// Run asks all checks at once and gives the results in their order.
func Run(ctx context.Context, checks []Check) []Result {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	results := make([]Result, len(checks))
	type answer struct {
		at  int
		err error
	}
	answers := make(chan answer, len(checks))
	for i, c := range checks {
		results[i] = Result{c.Name(), fault.New(fault.Unhealthy, "", "%s: no result within %s", c.Name(), patience)}
		guard.Go(func() { answers <- answer{i, c.Check(ctx)} })
	}
	for range checks {
		select {
		case a := <-answers:
			results[a.at].Err = a.err
		case <-ctx.Done():
			return results
		}
	}
	return results
}

// Failed gives the results that are not good.
func Failed(results []Result) []Result {
	return slices.DeleteFunc(slices.Clone(results), func(r Result) bool { return r.Err == nil })
}

// Passed gives the names of the checks that passed: what an upgrade may be measured by.
func Passed(results []Result) []string {
	var names []string
	for _, r := range results {
		if r.Err == nil {
			names = append(names, r.Name)
		}
	}
	return names
}

// Only gives the checks with these names: a trial can be failed only by what worked before it.
func Only(checks []Check, names []string) []Check {
	return slices.DeleteFunc(slices.Clone(checks), func(c Check) bool { return !slices.Contains(names, c.Name()) })
}

// Await asks every so often until all checks have passed the given number of times in a row. When ctx ends first, the error,
// of kind Unhealthy, says what failed last. said gets each round's results and may be nil.
func Await(ctx context.Context, checks []Check, every time.Duration, inARow int, said func([]Result)) error {
	var failed []Result // of the last round that ctx did not cut short
	for good := 0; ; {
		results := Run(ctx, checks)
		if ctx.Err() == nil {
			failed = Failed(results)
			if said != nil {
				said(results)
			}
			if good++; len(failed) > 0 {
				good = 0
			} else if good >= inARow {
				return nil
			}
		}
		select {
		case <-time.After(every):
			continue
		case <-ctx.Done():
		}
		if len(failed) == 0 {
			return fault.New(fault.Unhealthy, "", "not healthy for long enough: %w", ctx.Err())
		}
		var list []string
		for _, r := range failed {
			list = append(list, r.Err.Error())
		}
		return fault.New(fault.Unhealthy, "", "not healthy: %s", strings.Join(list, "; "))
	}
}

// Unit is the check that a supervised service is ready.
type Unit struct {
	Unit  string
	Units *supervise.Supervisor
}

// Name is the unit's.
func (u Unit) Name() string { return u.Unit }

// Check says why the unit is not ready.
func (u Unit) Check(context.Context) error {
	st, ok := u.Units.State(u.Unit)
	switch {
	case !ok:
		return fault.New(fault.Unhealthy, "", "there is no service %s", u.Unit)
	case !st.Ready:
		return fault.New(fault.Unhealthy, "", "%s", st)
	}
	return nil
}

// Func makes a check of a function.
func Func(name string, check func(context.Context) error) Check { return funcCheck{name, check} }

type funcCheck struct {
	name  string
	check func(context.Context) error
}

func (f funcCheck) Name() string { return f.name }
func (f funcCheck) Check(ctx context.Context) error {
	if err := f.check(ctx); err != nil {
		return fault.Wrap(fmt.Errorf("%s: %w", f.name, err), fault.Unhealthy, "", "")
	}
	return nil
}
