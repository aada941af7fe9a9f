package order

import (
	"cmp"
	"context"
	"strings"

	"imgbuild/builder/debian"
	"imgbuild/builder/recipe"
	"imgbuild/init/contract/fault"
)

// LockOrder is what `imgbuild lock` asks for.
type LockOrder struct {
	Plan
	Pins []string // PACKAGE=VERSION
	K3s  string   // stable, latest, a channel or a version; empty keeps what the file has
	File string   // empty: recipe.LocalLock
}

// LockResult is a lock that was made and written.
type LockResult struct {
	File    string
	Lock    *debian.Lock
	Changes []debian.Change // from the lock that the file had, else from the one that imgbuild carries
}

// Scripts names the packages whose maintainer scripts are not those of the lock before.
func (r *LockResult) Scripts() (names []string) {
	for _, c := range r.Changes {
		if c.ScriptsChanged() && c.Old.Name != "" {
			names = append(names, c.New.Name)
		}
	}
	return names
}

// Warnings are what a user has to know of the lock, each with its first line first.
func (r *LockResult) Warnings() (list [][]string) {
	if changed := r.Scripts(); changed != nil {
		list = append(list, []string{"the maintainer scripts of " + strings.Join(changed, ", ") + " changed:", "compare the lines above with the tables in overlays/ before you trust this lock"})
	}
	if !r.Lock.Security() {
		list = append(list, []string{debian.NoSecurity + ": it lacks Debian's security updates; lock again when the archive is whole"})
	}
	return list
}

// Lock locks the newest packages into a file, whole or not at all.
func Lock(ctx context.Context, o LockOrder, report Reporter) (*LockResult, error) {
	var pins []debian.Pin
	for _, word := range o.Pins {
		p, err := debian.ParsePin(word)
		if err != nil {
			return nil, err
		}
		pins = append(pins, p)
	}
	asked, t, err := Open(o.Plan, report, pins...)
	if err != nil {
		return nil, err
	}
	if o.K3s != "" && !asked.Slot.K3s {
		return nil, fault.New(fault.Usage, "leave it out", "the role %s has no k3s to lock", asked.Role.Name)
	}
	file := cmp.Or(o.File, recipe.LocalLock)
	locked, changes, err := asked.NewLock(ctx, t.Client, file)
	if err != nil {
		return nil, err
	}
	if o.K3s != "" {
		if locked, err = locked.LockK3s(ctx, o.K3s); err != nil {
			return nil, err
		}
	}
	return &LockResult{file, locked.Lock, changes}, recipe.WriteLock(file, locked.Lock)
}
