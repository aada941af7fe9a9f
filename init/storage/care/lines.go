package care

import (
	"fmt"
	"time"
)

// Lines is the state as lines for people.
func (s State) Lines() []string {
	var lines []string
	if s.Doing != "" {
		lines = append(lines, "it is being "+s.Doing)
	}
	switch {
	case s.Failed != "":
		lines = append(lines, "the last scrub failed: "+s.Failed)
	case s.Done || !s.Scrubbed.IsZero():
		lines = append(lines, s.scrubbed())
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

// scrubbed is when a scrub came to its end, as far as that is known, and what it found.
func (s State) scrubbed() string {
	when := "while the time was not known"
	if !s.Scrubbed.IsZero() {
		when = s.Scrubbed.Format(time.DateOnly)
	}
	found := "no errors"
	switch c := s.Scrub; {
	case c.Uncorrectable > 0:
		found = fmt.Sprintf("%d damaged blocks repaired, %d LOST", c.Corrected, c.Uncorrectable)
	case c.Corrected > 0:
		found = fmt.Sprintf("%d damaged blocks repaired", c.Corrected)
	}
	return "scrubbed " + when + ": " + found
}

func gb(n uint64) float64 {
	return float64(n) / 1e9
}
