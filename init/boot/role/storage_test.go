package role

import (
	"testing"
	"time"
)

// It is looked when something may be due, and at least every five minutes.
func TestPause(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 58, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		next time.Time
		want time.Duration
	}{
		"nothing is ever due":            {time.Time{}, lookEvery},
		"soon":                           {now.Add(2 * time.Minute), 2 * time.Minute},
		"tomorrow":                       {now.Add(24 * time.Hour), lookEvery},
		"this moment":                    {now, time.Second},
		"a clock that was set meanwhile": {now.Add(-time.Hour), time.Second},
	} {
		if got := pause(now, c.next); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
