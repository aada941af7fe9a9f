package service

import (
	"testing"
	"time"

	"imgbuild/init/net/clock"
	"imgbuild/init/router/timeserver"
	"imgbuild/init/status"
)

// What PID 1 knows about the clock reaches the shelf's questions through the status.
func TestClockFacts(t *testing.T) {
	when := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		in   clock.Status
		want timeserver.Facts
	}{
		{"good", clock.Status{Synced: true, Server: "x", Level: 2, Error: 20 * time.Millisecond, When: when}, timeserver.Facts{Synced: true, Source: true, Level: 2, Error: 20 * time.Millisecond, Asked: when}},
		{"nobody answers now", clock.Status{Synced: true, Level: 2, When: when, Why: "no answer"}, timeserver.Facts{Synced: true, Level: 2, Asked: when}},
		{"never", clock.Status{Why: "no answer"}, timeserver.Facts{}},
	} {
		c.want.Up = time.Minute
		if got := clockFacts(status.ClockOf(c.in), time.Minute, false); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}
