package recipe

import (
	"slices"
	"testing"

	"imgbuild/boards"
	"imgbuild/builder/debian"
	"imgbuild/images"
)

// TestEmbeddedLocksFit: every image that can be built has a lock inside, made for the packages that
// its recipe names today.
func TestEmbeddedLocksFit(t *testing.T) {
	t.Chdir(t.TempDir()) // no imgbuild.lock
	n := 0
	for _, name := range boards.Names() {
		b, _, err := boards.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range b.Roles {
			if l, miss, err := asks(t, name, role, Choice{}).TakeLock(""); err != nil || l == nil {
				t.Errorf("%s as %s: %v %v; run make locks", name, role, miss, err)
			}
			n++
		}
	}
	if n < 7 {
		t.Errorf("got %d images, want at least 7", n)
	}
}

// served reports whether a board of a family has a role of a slot.
func served(t *testing.T, family, slot string) bool {
	t.Helper()
	return slices.ContainsFunc(boards.Names(), func(name string) bool {
		b, f, err := boards.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		return f.Name == family && slices.ContainsFunc(images.RolesOf(slot), func(role string) bool { return slices.Contains(b.Roles, role) })
	})
}

// TestEmbeddedLocks: every family has a lock for every slot that a board of it may have, and it
// reads.
func TestEmbeddedLocks(t *testing.T) {
	for _, f := range boards.Families() {
		for _, slot := range images.Slots() {
			if !served(t, f.Name, slot) {
				continue
			}
			l, err := debian.ParseLock(images.LockName(f.Name, slot), images.Lock(f.Name, slot))
			if err != nil {
				t.Errorf("%s %s: %v", f.Name, slot, err)
				continue
			}
			if l.Arch != f.Arch || len(l.Packages) < 60 {
				t.Errorf("%s %s: got a lock for %s with %d packages, want one for %s with at least 60", f.Name, slot, l.Arch, len(l.Packages), f.Arch)
			}
		}
	}
	if l := images.Lock("nope", "k3s"); l != nil {
		t.Errorf("got a lock of %d bytes for a family that does not exist", len(l))
	}
}

// A family whose locks lack the security suite is reported as such, and no other.
func TestLockNote(t *testing.T) {
	for _, f := range boards.Families() {
		lacks := false
		for _, slot := range images.Slots() {
			if !served(t, f.Name, slot) {
				continue
			}
			l, err := debian.ParseLock("", images.Lock(f.Name, slot))
			if err != nil {
				t.Fatal(err)
			}
			lacks = lacks || !l.Security()
		}
		if got, err := LockNote(f.Name); err != nil || (got != "") != lacks {
			t.Errorf("%s: got %q, %v; it lacks security updates: %v", f.Name, got, err, lacks)
		}
	}
	if got, err := LockNote("nope"); err != nil || got != "" {
		t.Errorf("got %q, %v of a family that does not exist", got, err)
	}
}
