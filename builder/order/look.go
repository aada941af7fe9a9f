package order

import (
	"context"

	"imgbuild/builder/recipe"
)

// Look gives what a build would make, as far as that is known without fetching a package: only
// where no lock fits the archive's index is read, for a lock that is thrown away. k3s and lock are
// the values of the options of a build.
func Look(ctx context.Context, p Plan, k3s, lock string, report Reporter) (*recipe.Planned, error) {
	asked, t, err := Open(p, report)
	if err != nil {
		return nil, err
	}
	locked, miss, err := asked.TakeLock(lock)
	if err != nil {
		return nil, err
	}
	passed := miss.Passed
	if locked != nil {
		passed = locked.Passed()
	}
	if passed != "" {
		report.Warn(passed)
	}
	if locked == nil {
		report.Warn("planning with a new lock: " + miss.Why)
		if locked, err = asked.PlanLock(ctx, t.Client); err != nil {
			return nil, err
		}
	}
	return locked.Plan(k3s, t.Carried)
}
