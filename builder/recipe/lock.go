package recipe

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"imgbuild/builder/debian"
	"imgbuild/images"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

// LocalLock is the file that lock=auto prefers to the embedded lock, in the working directory.
const LocalLock = "imgbuild.lock"

// Relock reports what a lock that was made again changes, and why it was made.
type Relock struct {
	Why     string
	Changes []debian.Change
}

type locked struct {
	asked
	Lock   *debian.Lock `json:"-"`
	strict bool         // the user named the file: nothing is added to it
	passed string
}

// Locked is a recipe whose packages are chosen. It has the fields of Parts, and the Lock.
type Locked struct{ locked }

// Passed is why lock=auto did not take the LocalLock that is there; empty where it did, or where
// there is none.
func (l *locked) Passed() string { return l.passed }

// Miss is why there is no lock that fits: none is carried, or it was made for something else.
// Passed is the same for the LocalLock that is there, if any.
type Miss struct{ Why, Passed string }

// TakeLock finds the lock that lock=auto (or "") or lock=FILE means, without the network. Where
// none fits the stage is nil, and a new lock has to be made. A named file that does not fit is an
// error of kind Input.
func (a *Asked) TakeLock(option string) (*Locked, Miss, error) {
	if !auto(option) {
		l, err := readLock(option)
		if err != nil {
			return nil, Miss{}, err
		}
		if why := a.misfit(l); why != "" {
			return nil, Miss{}, fault.New(fault.Input, "make one with `imgbuild lock`, or leave lock= away", "lock %s does not fit: %s", option, why)
		}
		return &Locked{locked{a.asked, l, true, ""}}, Miss{}, nil
	}
	var m Miss
	l, err := readLock(LocalLock)
	if err == nil {
		why := a.misfit(l)
		if why == "" {
			return &Locked{locked{a.asked, l, false, ""}}, Miss{}, nil
		}
		m.Passed = "./" + LocalLock + " is not used: " + why
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, Miss{}, err
	}
	if l, err = a.embedded(); err != nil {
		return nil, Miss{}, err
	}
	if l == nil {
		m.Why = "imgbuild carries no lock for " + a.Family.Name + " " + a.Slot.Name
	} else if m.Why = a.misfit(l); m.Why == "" {
		return &Locked{locked{a.asked, l, false, m.Passed}}, Miss{}, nil
	}
	return nil, m, nil
}

// embedded is the lock that imgbuild carries for family and slot; nil for none.
func (p *Parts) embedded() (*debian.Lock, error) {
	data := images.Lock(p.Family.Name, p.Slot.Name)
	if data == nil {
		return nil, nil
	}
	return debian.ParseLock("the embedded lock", data)
}

func auto(option string) bool { return option == "" || option == "auto" }

// LockNote is what a user has to know of the locks that imgbuild carries for a family; empty for
// nothing.
func LockNote(family string) (note string, err error) {
	for _, slot := range images.Slots() {
		data := images.Lock(family, slot)
		if data == nil {
			continue
		}
		l, err := debian.ParseLock("the embedded lock", data)
		if err != nil {
			return "", err
		}
		if !l.Security() {
			note = debian.NoSecurity + " of " + l.Date
		}
	}
	return note, nil
}

func readLock(name string) (*debian.Lock, error) {
	data, err := userfile.Read("lock", name)
	if err != nil {
		return nil, err
	}
	return debian.ParseLock(name, data)
}

// misfit reports why a lock is not one of this recipe, "" if it is.
func (r *asked) misfit(l *debian.Lock) string {
	q := r.Request()
	same := func(a, b []string) bool {
		a, b = slices.Clone(a), slices.Clone(b)
		slices.Sort(a)
		slices.Sort(b)
		return slices.Equal(slices.Compact(a), slices.Compact(b))
	}
	switch {
	case l.Arch != q.Arch:
		return "it is for " + l.Arch + ", not " + q.Arch
	case !same(l.Want, q.Want):
		return "it was made for other packages"
	case !same(l.Pick, q.Pick), !same(l.Drop, q.Drop):
		return "it was made with other picks or drops"
	}
	return ""
}

// Fetch chooses the lock and brings its packages into the client's cache. With lock=auto a lock
// that is missing or has packages that the archive no longer has is made again from the signed
// index; the changes are reported.
func (a *Asked) Fetch(ctx context.Context, c *debian.Client, option string) (*Locked, *Relock, error) {
	l, miss, err := a.TakeLock(option)
	if err != nil {
		return nil, nil, err
	}
	var old *debian.Lock
	if l != nil {
		err := c.Fetch(ctx, l.Lock.Packages)
		var gone *debian.NotFound
		if err == nil || !errors.As(err, &gone) || !auto(option) {
			return l, nil, err
		}
		old, miss = l.Lock, Miss{gone.Error(), l.passed}
	}
	l, changes, err := a.newLock(ctx, c, old)
	if err != nil {
		return nil, nil, err
	}
	l.passed = miss.Passed
	return l, &Relock{miss.Why, changes}, nil
}

// NewLock locks the newest packages of the signed index and returns what is different from the lock
// in a file, whose release of k3s it keeps. A file that is not a lock of this architecture is
// passed over: then the embedded lock is the one before.
func (a *Asked) NewLock(ctx context.Context, c *debian.Client, file string) (*Locked, []debian.Change, error) {
	return a.newLock(ctx, c, a.before(file))
}

// before is the lock in a file that a new one replaces; nil for none of this architecture.
func (a *Asked) before(file string) *debian.Lock {
	if l, err := readLock(file); err == nil && l.Arch == a.Family.Arch {
		return l
	}
	return nil
}

// newLock is NewLock with the lock before; nil for the embedded one.
func (a *Asked) newLock(ctx context.Context, c *debian.Client, old *debian.Lock) (_ *Locked, _ []debian.Change, err error) {
	if old == nil {
		if old, err = a.embedded(); err != nil {
			return nil, nil, err
		}
	}
	if old == nil {
		old = &debian.Lock{}
	}
	q := a.Request()
	if len(old.Packages) > 0 && !old.Security() {
		// It was made while the archive was broken for this architecture: tried again, not insisted
		// on.
		for i := range q.Suites[1:] {
			q.Suites[i+1].Optional = true
		}
	}
	fresh, err := c.MakeLock(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	fresh.K3s = old.K3s
	changes := old.Diff(fresh)
	return &Locked{locked{asked: a.asked, Lock: fresh}}, changes, c.CompareScripts(ctx, changes)
}

// PlanLock locks the newest packages by the index alone, for a look at them: none is fetched.
func (a *Asked) PlanLock(ctx context.Context, c *debian.Client) (*Locked, error) {
	q := a.Request()
	ix, err := c.Index(ctx, q.Arch, q.Suites)
	if err != nil {
		return nil, err
	}
	l, err := ix.Lock(q)
	if err != nil {
		return nil, err
	}
	return &Locked{locked{asked: a.asked, Lock: l}}, nil
}

// LockK3s is this stage with the release of k3s that a word means (see Releases.Version), by the
// sum that the release itself gives.
func (l *Locked) LockK3s(ctx context.Context, word string) (*Locked, error) {
	version, err := l.releases.Version(ctx, word)
	if err != nil {
		return nil, err
	}
	k, err := l.releases.Lock(ctx, version, l.Family.Arch)
	if err != nil {
		return nil, err
	}
	return l.withK3s(k), nil
}

func (l *Locked) withK3s(k *debian.LockedK3s) *Locked {
	next, lock := *l, *l.Lock
	lock.K3s = k
	next.Lock = &lock
	return &next
}

// WriteLock writes a lock in place of the file that may be there, whole or not at all.
func WriteLock(name string, l *debian.Lock) error {
	return fault.Wrap(atomicfile.Write(name, l.Marshal(), 0o644), fault.Device, "give another place as file=FILE", "writing %s", name)
}
