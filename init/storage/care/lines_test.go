package care

import (
	"slices"
	"testing"
	"time"
)

// A scrub is reported whenever it came to its end, also on a node that does not know the time.
func TestLines(t *testing.T) {
	at := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		s    State
		want []string
	}{
		"new":               {State{}, nil},
		"it goes on":        {State{Doing: "scrubbed"}, []string{"it is being scrubbed"}},
		"good":              {State{Record: Record{Done: true, Scrubbed: at}}, []string{"scrubbed 2026-12-01: no errors"}},
		"of an older node":  {State{Record: Record{Scrubbed: at}}, []string{"scrubbed 2026-12-01: no errors"}},
		"no time is known":  {State{Record: Record{Done: true}, Last: "it was scrubbed"}, []string{"scrubbed while the time was not known: no errors", "it was scrubbed"}},
		"repaired":          {State{Record: Record{Done: true, Scrubbed: at, Scrub: Scrub{Corrected: 3}}}, []string{"scrubbed 2026-12-01: 3 damaged blocks repaired"}},
		"lost":              {State{Record: Record{Done: true, Scrub: Scrub{Uncorrectable: 1}}}, []string{"scrubbed while the time was not known: 0 damaged blocks repaired, 1 LOST"}},
		"it failed":         {State{Record: Record{Done: true, Scrubbed: at, Failed: "canceled"}}, []string{"the last scrub failed: canceled"}},
		"space":             {State{Space: Space{Size: 1e9, Free: 5e8}}, []string{"0.5 GB are free (0.0 GB not allocated; metadata 0.0 of 0.0 GB)"}},
		"errors of devices": {State{Errors: []Errors{{Device: "/dev/vdb", Read: 2}, {Device: "/dev/vdc"}}}, []string{"device /dev/vdb: 2 errors"}},
	} {
		if got := c.s.Lines(); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}
