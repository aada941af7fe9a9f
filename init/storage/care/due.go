package care

import "time"

// Month is how long after a scrub the next one is due.
const Month = 30 * 24 * time.Hour

// Record is what is kept of a disk, on the disk, in .shelfos/care.json.
type Record struct {
	Scrubbed time.Time `json:"scrubbed,omitzero"` // when the last complete scrub ended; without a known time it is not set
	Begun    time.Time `json:"begun,omitzero"`    // when one was begun, or the disk was taken into use
	Done     bool      `json:"done,omitempty"`    // a scrub came to its end, at whatever time
	Scrub    Scrub     `json:"scrub"`             // what the last one found
	Failed   string    `json:"failed,omitempty"`  // why the last one did not come to its end
	Trimmed  time.Time `json:"trimmed,omitzero"`  // when what is free was reported to the disk
	Limits   []Limit   `json:"limits,omitempty"`  // that were set
}

// ScrubDue reports whether the monthly scrub is due. While nobody knows the time none is. One that
// was cut short is begun again a day after it was begun.
func ScrubDue(r Record, now time.Time, known bool) bool {
	if !known || r.Begun.IsZero() {
		return false
	}
	if r.Failed != "" || r.Begun.After(r.Scrubbed) && !r.Scrubbed.IsZero() {
		return now.Sub(r.Begun) >= 24*time.Hour
	}
	last := r.Scrubbed
	if last.IsZero() {
		last = r.Begun
	}
	return now.Sub(last) >= Month
}
