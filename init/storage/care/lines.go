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
	if s.Space.Size > 0 {
		lines = append(lines, fmt.Sprintf("%.1f GB are free (%.1f GB not allocated; metadata %.1f of %.1f GB)",
			gb(s.Space.Free), gb(s.Space.Unallocated), gb(s.Space.MetadataUsed), gb(s.Space.MetadataSize)))
	}
	for _, e := range s.Errors {
		if e.Sum() > 0 {
			lines = append(lines, fmt.Sprintf("device %s: %d errors", e.Device, e.Sum()))
		}
	}
	for _, d := range s.Smart {
		lines = append(lines, d.Line())
	}
	for _, path := range s.Resting {
		lines = append(lines, path+" is stopped; the next request starts it")
	}
	if !s.Trimmed.IsZero() {
		lines = append(lines, "trimmed "+s.Trimmed.Format(time.DateOnly))
	}
	return lines
}

func gb(n uint64) float64 {
	return float64(n) / 1e9
}
