package care

import (
	"testing"
	"time"
)

func TestSpin(t *testing.T) {
	const limit = 20 * time.Minute
	var s Spin
	for i, c := range []struct {
		minute int
		count  uint64
		want   bool
	}{
		{0, 100, false}, {1, 100, false}, {19, 100, false},
		{20, 100, true},                    // nobody for 20 minutes
		{21, 100, false}, {60, 100, false}, // once
		{61, 105, false}, {70, 105, false}, // somebody
		{80, 106, false}, {99, 106, false}, {100, 106, true},
		{101, 0, false}, // another disk of that name
		{121, 0, true},
	} {
		if got := s.Look(c.count, time.Duration(c.minute)*time.Minute, limit); got != c.want {
			t.Errorf("step %d: got %v, want %v", i, got, c.want)
		}
	}
	if !s.Stopped() {
		t.Error("it is not stopped")
	}
}

func TestRequests(t *testing.T) {
	if got, ok := requests("   446216      0  9680632  3201  321714  0  6742 90 0 12 93 0 0 0 0 0 0\n"); !ok || got != 446216+321714 {
		t.Errorf("got %d, %v", got, ok)
	}
	for _, bad := range []string{"", "1 2 3", "a b c d e f g h"} {
		if got, ok := requests(bad); ok {
			t.Errorf("%q: got %d, want none", bad, got)
		}
	}
}
