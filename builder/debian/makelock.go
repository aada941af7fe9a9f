package debian

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/fault"
)

// Request is what a lock shall hold.
type Request struct {
	Arch   string
	Suites []Suite
	Want   []string // with their closure
	Drop   []string // names that count as satisfied and bring nothing
	// Pick are packages taken as they are, without what they depend on: NAME, the newest of Suites,
	// or ARCHIVE/SUITE:NAME, that of one suite. A suite that is not in Suites is read for its picks
	// alone (component main).
	Pick []string
	// Pin are packages of which one version is taken, whatever the newest is.
	Pin []Pin
}

// MakeLock makes a lock from the signed indexes. It fetches the packages too, because the lock
// holds hashes of their maintainer scripts.
func (c *Client) MakeLock(ctx context.Context, r Request) (*Lock, error) {
	suites, err := r.suites()
	if err != nil {
		return nil, err
	}
	ix, err := c.Index(ctx, r.Arch, suites)
	if err != nil {
		return nil, err
	}
	l, err := ix.Lock(r)
	if err != nil {
		return nil, err
	}
	if err := c.Fetch(ctx, l.Packages); err != nil {
		return nil, err
	}
	for i := range l.Packages {
		d, err := c.Scripts(ctx, l.Packages[i])
		if err != nil {
			return nil, err
		}
		l.Packages[i].Scripts = ScriptsHash(d.Scripts)
	}
	return l, nil
}

// suites adds those that only picks need.
func (r Request) suites() ([]Suite, error) {
	out := slices.Clone(r.Suites)
	for _, pick := range r.Pick {
		at, name := splitPick(pick)
		if !validName(name) {
			return nil, fault.New(fault.Input, "write NAME or ARCHIVE/SUITE:NAME", "%q is not a package", pick)
		}
		if at == "" {
			continue
		}
		i := slices.IndexFunc(out, func(s Suite) bool { return s.String() == at })
		if i < 0 {
			archive, suite, ok := strings.Cut(at, "/")
			if !ok {
				return nil, fault.New(fault.Input, "write NAME or ARCHIVE/SUITE:NAME", "%q is not a package", pick)
			}
			out = append(out, Suite{Archive: archive, Name: suite, Components: []string{"main"}, Only: []string{name}})
		} else if s := &out[i]; len(s.Only) > 0 && !slices.Contains(s.Only, name) {
			s.Only = append(slices.Clone(s.Only), name)
		}
	}
	return out, nil
}

// splitPick takes ARCHIVE/SUITE:NAME apart.
func splitPick(pick string) (suite, name string) {
	if i := strings.LastIndexByte(pick, ':'); i >= 0 {
		return pick[:i], pick[i+1:]
	}
	return "", pick
}

// Lock makes a lock of the index, without the hashes of maintainer scripts.
func (ix *Index) Lock(r Request) (*Lock, error) {
	ix, err := ix.pinned(r.Pin)
	if err != nil {
		return nil, err
	}
	res, err := ix.Resolve(r.Want, r.Drop)
	if err != nil {
		return nil, err
	}
	l := &Lock{Arch: ix.Arch, Keys: ix.Signers, Suites: ix.Suites, Want: r.Want, Pick: r.Pick, Drop: r.Drop}
	for _, p := range res.Packages {
		l.Packages = append(l.Packages, p.Locked())
	}
	for _, pick := range r.Pick {
		at, name := splitPick(pick)
		p, ok := ix.Newest(at, name)
		if !ok {
			return nil, fault.New(fault.Input, "correct the name", "there is no package %s for %s%s", pick, ix.Arch, ix.hint(name))
		}
		if had, ok := l.Find(name); !ok {
			l.Packages = append(l.Packages, p.Locked())
		} else if had != p.Locked() {
			return nil, fault.New(fault.Input, "pick it or want it, not both", "package %s is wanted in version %s and picked in version %s",
				name, had.Version, p.Version)
		}
	}
	l.Packages = l.sorted()
	var newest time.Time
	for _, s := range l.Suites {
		t, err := time.Parse(dateLayout, s.Date)
		if err != nil {
			return nil, fmt.Errorf("date of %s: %w", s.Suite, err)
		}
		if t.After(newest) {
			newest = t
		}
	}
	l.Date = newest.Format("20060102")
	return l, nil
}
