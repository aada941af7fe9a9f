package image

import (
	"fmt"
	"slices"

	"imgbuild/builder/tree"
	"imgbuild/overlays"
)

// Permission bits beyond those of a plain program.
const (
	setID      = 0o6000
	sticky     = 0o1000
	otherWrite = 0o0002
)

// privileges takes the set-uid and set-gid bits from every program that the table does not keep,
// and the right of others to write from everything but sticky directories. A program with such a
// bit that the table does not name gives a warning: a package has a new one.
func privileges(t *tree.Tree, table []overlays.SetID) (warnings []string) {
	for _, n := range t.Nodes() {
		if n.Kind == tree.Symlink {
			continue
		}
		if n.Kind != tree.Dir || n.Mode&sticky == 0 {
			n.Mode &^= otherWrite
		}
		if n.Kind != tree.File || n.Mode&setID == 0 {
			continue
		}
		i := slices.IndexFunc(table, func(s overlays.SetID) bool { return s.Path == n.Path })
		if i >= 0 && table[i].Keep {
			continue
		}
		if i < 0 {
			warnings = append(warnings, fmt.Sprintf("%s of %s has mode %04o and loses set-uid and set-gid: no table in overlays/ names it", n.Path, n.Origin, n.Mode))
		}
		n.Mode &^= setID
	}
	return warnings
}
