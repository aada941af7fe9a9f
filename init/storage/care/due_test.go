package care

import (
	"testing"
	"time"
)

func TestScrubDue(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	ago := func(days int) time.Time { return now.AddDate(0, 0, -days) }
	for name, c := range map[string]struct {
		r     Record
		known bool
		want  bool
	}{
		"new disk":                        {Record{Begun: now}, true, false},
		"never, for a month":              {Record{Begun: ago(30)}, true, true},
		"three weeks ago":                 {Record{Begun: ago(21), Scrubbed: ago(21).Add(time.Hour)}, true, false},
		"a month ago":                     {Record{Begun: ago(31), Scrubbed: ago(31).Add(time.Hour)}, true, true},
		"a month ago, time unknown":       {Record{Begun: ago(31), Scrubbed: ago(31).Add(time.Hour)}, false, false},
		"nothing known":                   {Record{}, true, false},
		"cut short by a boot, today":      {Record{Begun: now.Add(-time.Hour), Scrubbed: ago(31)}, true, false},
		"cut short by a boot, yesterday":  {Record{Begun: ago(1), Scrubbed: ago(31)}, true, true},
		"failed yesterday":                {Record{Begun: ago(1), Failed: "the disk does not answer"}, true, true},
		"failed an hour ago":              {Record{Begun: now.Add(-time.Hour), Failed: "the disk does not answer"}, true, false},
		"the clock was in the future":     {Record{Begun: ago(-40), Scrubbed: ago(-40)}, true, false},
		"lasted two days, ended just now": {Record{Begun: ago(2), Scrubbed: now}, true, false},
	} {
		if got := ScrubDue(c.r, now, c.known); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
