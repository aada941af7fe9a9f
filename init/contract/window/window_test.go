package window

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, length := range map[string]time.Duration{
		"02:00-05:00": 3 * time.Hour, "sat,sun 22:00-04:00": 6 * time.Hour, "mon-fri 01:00-05:00": 4 * time.Hour, "fri-mon,wed 00:00-00:30": 30 * time.Minute,
		"always": 24 * time.Hour, "sun 00:00-00:00": 24 * time.Hour, " Sat  23:59-00:00 ": time.Minute,
	} {
		if w, err := Parse(text); err != nil || w.Length() != length {
			t.Errorf("%q: got %v, %v, want %v", text, w.Length(), err, length)
		}
	}
	for _, text := range []string{"", "02:00", "2:00-5:00", "02:00-02:00", "24:00-01:00", "02:60-03:00", "someday 02:00-03:00", "mon- 02:00-03:00", ", 02:00-03:00", "02:00-03:00 mon", "mon tue 02:00-03:00", "02:00 - 03:00", "02:00-03:00-04:00"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q is taken for a window", text)
		}
	}
}

func TestOpen(t *testing.T) {
	zone := time.FixedZone("here", 2*3600)
	at := func(text string) time.Time {
		when, err := time.ParseInLocation("2006-01-02 15:04", text, zone)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, c := range []struct {
		window, now string
		shift       time.Duration
		open        bool
		next        string
	}{ // 2026-11-28 is a Saturday
		{"02:00-05:00", "2026-11-28 01:59", 0, false, "2026-11-28 02:00"},
		{"02:00-05:00", "2026-11-28 02:00", 0, true, ""},
		{"02:00-05:00", "2026-11-28 04:59", 0, true, ""},
		{"02:00-05:00", "2026-11-28 05:00", 0, false, "2026-11-29 02:00"},
		{"02:00-05:00", "2026-11-28 02:30", time.Hour, false, "2026-11-28 03:00"},
		{"02:00-05:00", "2026-11-28 03:00", time.Hour, true, ""},
		{"22:00-04:00", "2026-11-28 03:59", 0, true, ""},
		{"22:00-04:00", "2026-11-28 04:00", 0, false, "2026-11-28 22:00"},
		{"sat 22:00-04:00", "2026-11-29 03:59", 0, true, ""}, // it began on Saturday
		{"sat 22:00-04:00", "2026-11-28 03:59", 0, false, "2026-11-28 22:00"},
		{"sat 22:00-04:00", "2026-11-29 22:00", 0, false, "2026-12-05 22:00"},
		{"mon-fri 02:00-05:00", "2026-11-28 03:00", 0, false, "2026-11-30 02:00"},
		{"always", "2026-11-28 23:59", 0, true, ""},
	} {
		w, err := Parse(c.window)
		if err != nil {
			t.Fatal(err)
		}
		open, next := w.Open(at(c.now), c.shift)
		if want := c.next; open != c.open || (want == "") != next.IsZero() || want != "" && !next.Equal(at(want)) {
			t.Errorf("%s at %s: got %v, %v, want %v, %s", c.window, c.now, open, next, c.open, want)
		}
	}
}

func TestAlways(t *testing.T) {
	for text, want := range map[string]bool{"always": true, "00:00-00:00": true, "mon-sun 00:00-00:00": true, "mon-sat 00:00-00:00": false, "00:00-23:59": false, "02:00-05:00": false} {
		w, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Always(); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

// Whatever the zone and the day: when it is closed, it is open at the moment that was promised and
// not a minute before.
func TestOpensAsPromised(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for range 4000 {
			w := Window{begin: r.IntN(day), end: r.IntN(day)}
			w.days[r.IntN(7)], w.days[r.IntN(7)] = true, true
			if w.begin == w.end {
				continue
			}
			shift := time.Duration(r.Int64N(int64(w.Length()/time.Minute))) * time.Minute
			now := time.Unix(1_790_000_000+r.Int64N(400*86400), 0).In(zone)
			open, next := w.Open(now, shift)
			if open {
				continue
			}
			if !next.After(now) || next.Sub(now) > 9*24*time.Hour {
				t.Fatalf("%s, %+v: opens at %v, now is %v", name, w, next, now)
			}
			if early, _ := w.Open(next.Add(-time.Second), shift); early {
				t.Fatalf("%s, %+v: open before %v", name, w, next)
			}
			// A day of 23 hours may have nothing left of a short window.
			if late, again := w.Open(next, shift); !late && again.Sub(next) > 9*24*time.Hour {
				t.Fatalf("%s, %+v: not open at %v", name, w, next)
			}
		}
	}
}
