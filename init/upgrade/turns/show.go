package turns

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// Write shows a state to people.
func (s *State) Write(w io.Writer) {
	const form = "2006-01-02 15:04 UTC"
	if l := s.Lease; l != nil {
		fmt.Fprintf(w, "%s upgrades to %s, until %s at the latest\n", l.Node, l.Version, l.Until.UTC().Format(form))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Nodes)) {
		n := s.Nodes[name]
		text := fmt.Sprintf("%s, %s: %s", name, n.Role, n.Running)
		if n.Wants != "" {
			text += ", wants " + n.Wants
		}
		fmt.Fprintf(w, "%s, seen %s\n", text, n.Seen.UTC().Format(form))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Versions)) {
		if v := s.Versions[name]; v.Stopped != "" {
			fmt.Fprintf(w, "%s is stopped: %s\n", name, v.Stopped)
		}
	}
}
