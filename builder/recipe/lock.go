package recipe

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"

	"imgbuild/builder/debian"
	"imgbuild/images"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
)

// LocalLock is the file that lock=auto prefers to the embedded lock, in the working directory.
const LocalLock = "imgbuild.lock"

// Relock reports what a lock that was made again changes, and why it was made.
type Relock struct {
	Why     string
	Changes []debian.Change
}

// TakeLock finds the lock that lock=auto (or "") or lock=FILE means, without the network. A nil
// lock means that there is none that fits, with the reason; then MakeLock has to make one. A named
// file that does not fit is an error of kind Input.
func (r *Recipe) TakeLock(option string) (why string, err error) {
	if option != "" && option != "auto" {
		l, err := readLock(option)
		if err != nil {
			return "", err
		}
		if why := r.misfit(l); why != "" {
			return "", fault.New(fault.Input, "make one with `imgbuild lock`, or leave lock= away", "lock %s does not fit: %s", option, why)
		}
		r.Lock, r.Strict = l, true
		return "", nil
	}
	l, err := readLock(LocalLock)
	if err == nil {
		why := r.misfit(l)
		if why == "" {
			r.Lock = l
			return "", nil
		}
		r.Passed = "./" + LocalLock + " is not used: " + why
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	data := images.Lock(r.Family.Name, r.Slot.Name)
	if data == nil {
		return "imgbuild carries no lock for " + r.Family.Name + " " + r.Slot.Name, nil
	}
	if l, err = debian.ParseLock("the embedded lock", data); err != nil {
		return "", err
	}
	if why := r.misfit(l); why != "" {
		return why, nil
	}
	r.Lock = l
	return "", nil
}

func readLock(name string) (*debian.Lock, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "", "reading lock=%s", name)
	}
	return debian.ParseLock(name, data)
}

// misfit reports why a lock is not one of this recipe, "" if it is.
func (r *Recipe) misfit(l *debian.Lock) string {
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

// Fetch brings the locked packages into the client's cache. With lock=auto a lock that is missing
// or has packages that the archive no longer has is made again from the signed index; the changes
// are reported.
func (r *Recipe) Fetch(ctx context.Context, c *debian.Client, option string) (*Relock, error) {
	why, err := r.TakeLock(option)
	if err != nil {
		return nil, err
	}
	auto := option == "" || option == "auto"
	if r.Lock != nil {
		err := c.Fetch(ctx, r.Lock.Packages)
		var gone *debian.NotFound
		if !errors.As(err, &gone) || !auto {
			return nil, err
		}
		why = gone.Error()
	}
	changes, err := r.NewLock(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Relock{why, changes}, nil
}

// NewLock locks the newest packages of the signed index and returns what is different from the lock
// before: the one that the recipe has, else the embedded one.
func (r *Recipe) NewLock(ctx context.Context, c *debian.Client) ([]debian.Change, error) {
	old := r.Lock
	if old == nil {
		old = &debian.Lock{}
		if data := images.Lock(r.Family.Name, r.Slot.Name); data != nil {
			var err error
			if old, err = debian.ParseLock("the embedded lock", data); err != nil {
				return nil, err
			}
		}
	}
	q := r.Request()
	if len(old.Packages) > 0 && !old.Security() {
		// It was made while the archive was broken for this architecture: tried again, not insisted
		// on.
		for i := range q.Suites[1:] {
			q.Suites[i+1].Optional = true
		}
	}
	fresh, err := c.MakeLock(ctx, q)
	if err != nil {
		return nil, err
	}
	fresh.K3s = old.K3s
	r.Lock = fresh
	changes := old.Diff(fresh)
	return changes, c.CompareScripts(ctx, changes)
}

// Replaces makes the lock in a file the one before: NewLock gives what is different from it, and
// keeps its release of k3s. A file that is no lock of this architecture is passed over.
func (r *Recipe) Replaces(file string) {
	if l, err := readLock(file); err == nil && l.Arch == r.Family.Arch {
		r.Lock = l
	}
}

// WriteLock writes a lock in place of the file that may be there, whole or not at all.
func WriteLock(name string, l *debian.Lock) error {
	return fault.Wrap(atomicfile.Write(name, l.Marshal(), 0o644), fault.Device, "give another place as file=FILE", "writing %s", name)
}
