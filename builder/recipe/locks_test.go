package recipe

import (
	"testing"

	"imgbuild/boards"
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
			r, err := New(name, role)
			if err != nil {
				t.Fatal(err)
			}
			if why, err := r.TakeLock(""); err != nil || why != "" {
				t.Errorf("%s as %s: %s %v; run make locks", name, role, why, err)
			}
			n++
		}
	}
	if n < 7 {
		t.Errorf("only %d images", n)
	}
}
