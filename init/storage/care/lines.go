package care

import (
	"fmt"
	"time"
)

// Lines is the state as lines for people.
func (s State) Lines() []string {
	var lines []string
	if s.Doing != "" {
		lines = append(lines, "it is "+s.Doing)
	}
	switch {
	case s.Failed != "":
		lines = append(lines, "the last scrub failed: "+s.Failed)
	case !s.Scrubbed.IsZero() && s.Scrub.Uncorrectable > 0:
		lines = append(lines, fmt.Sprintf("scrubbed %s: %d damaged blocks repaired, %d LOST", s.Scrubbed.Format(time.DateOnly), s.Scrub.Corrected, s.Scrub.Uncorrectable))
	case !s.Scrubbed.IsZero() && s.Scrub.Corrected > 0:
		lines = append(lines, fmt.Sprintf("scrubbed %s: %d damaged blocks repaired", s.Scrubbed.Format(time.DateOnly), s.Scrub.Corrected))
	case !s.Scrubbed.IsZero():
		lines = append(lines, fmt.Sprintf("scrubbed %s: no errors", s.Scrubbed.Format(time.DateOnly)))
	}
	if s.Last != "" && s.Doing == "" {
		lines = append(lines, s.Last)
	}
	return lines
}
