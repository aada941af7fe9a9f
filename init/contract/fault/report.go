package fault

import "strings"

// Headings of an error, as every command shows it; both are equally wide.
const (
	WhatHeading = "what went wrong: "
	FixHeading  = "how to fix it:   "
)

// FromReport takes an error apart that a command of the node has shown: under the headings, or on
// one line after "shelf: " as nodes before 2026-12 do. What was printed before it is left out.
func FromReport(text string) (what, fix string) {
	into := &what
	found := false
	for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
		switch {
		case strings.HasPrefix(l, WhatHeading):
			what, fix, into, found = l[len(WhatHeading):], "", &what, true
		case found && strings.HasPrefix(l, FixHeading):
			fix, into = l[len(FixHeading):], &fix
		case found:
			*into += " " + strings.TrimSpace(l)
		}
	}
	if !found {
		return strings.TrimPrefix(strings.TrimSpace(text), "shelf: "), ""
	}
	return strings.TrimSpace(what), strings.TrimSpace(fix)
}
