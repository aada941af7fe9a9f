package order

import (
	"context"
	"fmt"

	"imgbuild/builder/debian"
	"imgbuild/builder/image"
	"imgbuild/builder/recipe"
	"imgbuild/builder/sshkey"
	"imgbuild/init/contract/fault"
)

// cacheLimit is what a build leaves in the cache; one board's packages take about half a GiB.
const cacheLimit = 8 << 30

// Locked is an order whose packages are chosen and in the cache.
type Locked struct {
	*Asked
	locked  *recipe.Locked
	changes []string // what a new lock changes
}

// Lock chooses the packages and fetches them.
func (a *Asked) Lock(ctx context.Context) (*Locked, error) {
	locked, relock, err := a.asked.Fetch(ctx, a.Client, a.order.Lock)
	if err != nil {
		return nil, err
	}
	if !locked.Lock.Security() {
		a.warnings = append(a.warnings, debian.NoSecurity+": Debian's security updates are not in this image; `imgbuild lock` tries again")
	}
	if p := locked.Passed(); p != "" {
		a.warnings = append(a.warnings, p)
	}
	l := &Locked{a, locked, relocked(relock)}
	if l.changes != nil {
		a.Reporter.Warn(l.changes...)
	}
	return l, nil
}

// Ready is an order of which nothing is undecided: its recipe has a hash.
type Ready struct {
	*Locked
	Recipe *recipe.Ready
}

// Decide decides where k3s comes from, fetches it if it is embedded, and checks that it can go on
// with the data of a node that moves in. The warnings of all stages are reported then, before the
// long part.
func (l *Locked) Decide(ctx context.Context) (*Ready, error) {
	r, err := l.locked.Decide(ctx, l.order.K3s, l.Carried, l.Cache, func(done, total int64) { l.Reporter.Progress("k3s", done, total) })
	if err != nil {
		return nil, err
	}
	switch {
	case r.Grew() && r.Passed() != "": // that file is another recipe's
		l.warnings = append(l.warnings, fmt.Sprintf("k3s %s was taken with the sum that its release publishes, which no lock keeps; run `imgbuild lock k3s=%s file=FILE`", r.K3s.Version, r.K3s.Version))
	case r.Grew():
		if err := recipe.WriteLock(recipe.LocalLock, r.Lock); err != nil {
			return nil, err
		}
		l.warnings = append(l.warnings, fmt.Sprintf("k3s %s was locked with the sum that its release publishes, in ./%s", r.K3s.Version, recipe.LocalLock))
	}
	if w := r.K3s.Warning; w != "" {
		l.warnings = append(l.warnings, w)
	}
	if l.node != nil {
		w, err := l.node.CheckK3s(r.K3s.Version)
		if err != nil {
			return nil, err
		}
		if w != "" {
			l.warnings = append(l.warnings, w)
		}
	}
	for _, w := range l.warnings {
		l.Reporter.Warn(lines(w)...)
	}
	return &Ready{l, r}, nil
}

// Build makes the image. Warnings of the build itself are reported as they are in the result.
func (r *Ready) Build(ctx context.Context) (*image.Result, error) {
	before := append(r.warnings, r.changes...)
	res, err := image.Build(ctx, image.Options{
		Recipe: r.Recipe, Client: r.Client, Cache: r.Cache, Config: r.config, Login: sshkey.Short(r.order.Login), Node: r.node, AirGap: r.airGap, Blobs: r.blobs,
		Out: r.order.Out, ImageOnly: !r.order.Pack, Key: r.order.Sign, Progress: r.Reporter.Progress, Warnings: before,
	})
	if err != nil {
		return nil, err
	}
	if err := r.Cache.TrimDue(cacheLimit); err != nil {
		what, fix := fault.Parts(err)
		r.Reporter.Warn("the cache could not be trimmed: "+what, fix)
	}
	for _, w := range res.Warnings[len(before):] {
		r.Reporter.Warn(w)
	}
	return res, nil
}

// Build goes through all stages. Files that are unfinished when ctx ends are removed.
func Build(ctx context.Context, o Order, report Reporter) (*Ready, *image.Result, error) {
	a, err := Ask(o, report)
	if err != nil {
		return nil, nil, err
	}
	defer a.Close()
	l, err := a.Lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	r, err := l.Decide(ctx)
	if err != nil {
		return nil, nil, err
	}
	res, err := r.Build(ctx)
	return r, res, err
}
