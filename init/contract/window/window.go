// Package window is the time of the day at which a node may upgrade itself: upgrade.window of the
// configuration.
package window

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Default is the window where the configuration names none.
const Default = "01:00-05:00"

// Always is the word for every time.
const Always = "always"

// Window is some hours of some days. One that ends before it begins goes on after midnight.
type Window struct {
	days       [7]bool // on which it begins; Sunday is 0
	begin, end int     // minutes of the day; equal for a whole day
}

const day = 24 * 60

var names = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Parse reads "[DAYS ]HH:MM-HH:MM", such as "02:00-05:00", "sat,sun 22:00-04:00" or
// "mon-fri 01:00-05:00", or "always".
func Parse(text string) (w Window, err error) {
	fields := strings.Fields(strings.ToLower(text))
	if len(fields) == 1 && fields[0] == Always {
		fields = []string{"00:00-00:00"}
	}
	bad := fmt.Errorf("%q is no window of time: write 02:00-05:00, sat,sun 22:00-04:00 or always", text)
	switch len(fields) {
	case 1:
		for i := range w.days {
			w.days[i] = true
		}
	case 2:
		if !w.parseDays(fields[0]) {
			return w, bad
		}
	default:
		return w, bad
	}
	begin, end, ok := strings.Cut(fields[len(fields)-1], "-")
	if !ok {
		return w, bad
	}
	var okBegin, okEnd bool
	w.begin, okBegin = minutes(begin)
	w.end, okEnd = minutes(end)
	if !okBegin || !okEnd || w.begin == w.end && w.begin != 0 {
		return w, bad
	}
	return w, nil
}

func (w *Window) parseDays(text string) bool {
	for item := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(item, "-")
		if !ranged {
			last = first
		}
		i, j := slices.Index(names, first), slices.Index(names, last)
		if i < 0 || j < 0 {
			return false
		}
		for w.days[i] = true; i != j; w.days[i] = true {
			i = (i + 1) % 7
		}
	}
	return true
}

// minutes reads HH:MM.
func minutes(text string) (int, bool) {
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err == nil && len(text) == 5
}

// Length is how long it is open.
func (w Window) Length() time.Duration {
	n := (w.end - w.begin + day) % day
	if n == 0 {
		n = day
	}
	return time.Duration(n) * time.Minute
}

// Always reports whether it never closes.
func (w Window) Always() bool {
	return w.begin == 0 && w.end == 0 && !slices.Contains(w.days[:], false)
}

// Open reports whether it is open at a moment, whose location is the node's time zone, and when it
// opens next if it is not. With a shift it opens that much later, and closes as without. Days of 23
// and 25 hours make it shorter or longer.
func (w Window) Open(now time.Time, shift time.Duration) (open bool, next time.Time) {
	year, month, date := now.Date()
	for ahead := -1; ahead <= 7; ahead++ {
		// By the clock on the wall: time.Date finds the moment.
		at := func(minute int) time.Time {
			return time.Date(year, month, date+ahead, 0, minute, 0, 0, now.Location())
		}
		if !w.days[at(12*60).Weekday()] {
			continue
		}
		end := w.end
		if end <= w.begin {
			end += day
		}
		begin := at(w.begin).Add(shift)
		switch {
		case now.Before(begin):
			return false, begin
		case now.Before(at(end)):
			return true, time.Time{}
		}
	}
	return false, time.Time{} // not reached: some day is always one
}
