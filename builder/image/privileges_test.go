package image

import (
	"slices"
	"strings"
	"testing"

	"imgbuild/builder/tree"
	"imgbuild/overlays"
)

// Only programs of the table keep a set-id bit, and nothing but sticky directories is writable for
// everybody.
func TestPrivileges(t *testing.T) {
	tr := tree.New()
	put(t, tr, &tree.Node{Path: "usr/bin/keep", Kind: tree.File, Mode: 0o4755}, &tree.Node{Path: "usr/bin/drop", Kind: tree.File, Mode: 0o4755},
		&tree.Node{Path: "usr/bin/again", Kind: tree.File, Mode: 0o4755, HardLink: "usr/bin/drop"},
		&tree.Node{Path: "usr/bin/new", Kind: tree.File, Mode: 0o2755, Origin: "surprise"}, &tree.Node{Path: "usr/bin/link", Kind: tree.Symlink, Mode: 0o777, Target: "keep"},
		&tree.Node{Path: "var/tmp", Kind: tree.Dir, Mode: 0o1777}, &tree.Node{Path: "var/mail", Kind: tree.Dir, Mode: 0o2777}, &tree.Node{Path: "var/mail/box", Kind: tree.File, Mode: 0o666})
	warnings := privileges(tr, []overlays.SetID{{Path: "usr/bin/keep", Keep: true}, {Path: "usr/bin/drop"}, {Path: "usr/bin/again"}})
	for name, want := range map[string]uint16{"usr/bin/keep": 0o4755, "usr/bin/drop": 0o755, "usr/bin/again": 0o755, "usr/bin/new": 0o755, "usr/bin/link": 0o777, "var/tmp": 0o1777, "var/mail": 0o2775, "var/mail/box": 0o664} {
		if got := tr.Lookup(name).Mode; got != want {
			t.Errorf("%s has mode %04o, want %04o", name, got, want)
		}
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "usr/bin/new of surprise has mode 2755") {
		t.Errorf("warnings: %q", warnings)
	}
}

// Each row of the tables has a reason, and sudo is the one that keeps the bit.
func TestSetIDTables(t *testing.T) {
	var kept []string
	for _, name := range []string{"base", "k3s"} {
		_, table, err := overlays.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(table.SetID) == 0 {
			t.Errorf("%s has no rows", name)
		}
		for _, s := range table.SetID {
			if s.Why == "" || s.Path == "" || strings.HasPrefix(s.Path, "/") {
				t.Errorf("%s: %+v", name, s)
			}
			if s.Keep {
				kept = append(kept, s.Path)
			}
		}
	}
	if !slices.Equal(kept, []string{"usr/bin/sudo"}) {
		t.Errorf("%v keep the bit", kept)
	}
}
