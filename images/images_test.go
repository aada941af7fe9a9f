package images

import (
	"path"
	"strings"
	"testing"

	"imgbuild/boards"
	"imgbuild/builder/debian"
)

func TestRoles(t *testing.T) {
	for _, name := range []string{"server", "worker"} {
		r, s, err := Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if r == nil || s == nil || s.Name != "k3s" || !s.K3s || r.MemoryMB == 0 || len(r.Services) == 0 || r.Health == "" {
			t.Errorf("%s is %+v of %+v", name, r, s)
		}
	}
	if got := strings.Join(RolesOf("k3s"), " "); got != "server worker" {
		t.Errorf("the slot k3s serves %q", got)
	}
	for _, board := range boards.Names() {
		b, _, err := boards.Get(board)
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range b.Roles {
			if r, _, err := Get(role); err != nil || r == nil {
				t.Errorf("%s has the role %s, which is not there: %v", board, role, err)
			}
		}
	}
}

func TestPatternsAreWellFormed(t *testing.T) {
	b, err := GetBase()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(append([]string(nil), b.Strip...), b.Keep...) {
		if _, err := path.Match(strings.TrimSuffix(p, "/**"), "x"); err != nil || strings.HasPrefix(p, "/") {
			t.Errorf("pattern %q: %v", p, err)
		}
	}
}

// Every family that a board of some role belongs to has a lock, and it reads.
func TestLocks(t *testing.T) {
	for _, f := range boards.Families() {
		for _, slot := range Slots() {
			l, err := debian.ParseLock(LockName(f.Name, slot), Lock(f.Name, slot))
			if err != nil {
				t.Errorf("%s %s: %v", f.Name, slot, err)
				continue
			}
			if l.Arch != f.Arch || len(l.Packages) < 60 {
				t.Errorf("%s %s: a lock for %s with %d packages", f.Name, slot, l.Arch, len(l.Packages))
			}
		}
	}
	if Lock("nope", "k3s") != nil {
		t.Error("there is a lock for a family that is not there")
	}
}
