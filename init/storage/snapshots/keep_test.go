package snapshots

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"imgbuild/init/contract/config"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

func rule(n int, unit string) config.SnapshotRule { return config.SnapshotRule{Unit: unit, Count: n} }

func TestName(t *testing.T) {
	when := time.Date(2026, 11, 30, 18, 5, 9, 0, time.FixedZone("", 3600))
	if got := Name(when); got != "@GMT-2026.11.30-17.05.09" {
		t.Errorf("got %s, want it in UTC", got)
	}
	if got, ok := Time(Name(when)); !ok || !got.Equal(when) {
		t.Errorf("got %v, %v, want %v", got, ok, when)
	}
	for _, bad := range []string{"", "a", "@GMT-2026.11.30", "2026.11.30-17.05.09", "@GMT-2026.13.30-17.05.09"} {
		if got, ok := Time(bad); ok {
			t.Errorf("%q: got %v, want none", bad, got)
		}
	}
}

func TestDue(t *testing.T) {
	have := []time.Time{at("2026-11-30 12:10")}
	for name, c := range map[string]struct {
		rules []config.SnapshotRule
		have  []time.Time
		now   string
		want  bool
	}{
		"no rule":                    {nil, nil, "2026-11-30 12:00", false},
		"the first":                  {[]config.SnapshotRule{rule(7, "daily")}, nil, "2026-11-30 12:00", true},
		"one this hour":              {[]config.SnapshotRule{rule(7, "daily"), rule(24, "hourly")}, have, "2026-11-30 12:55", false},
		"none this hour":             {[]config.SnapshotRule{rule(7, "daily"), rule(24, "hourly")}, have, "2026-11-30 13:01", true},
		"one today":                  {[]config.SnapshotRule{rule(7, "daily")}, have, "2026-11-30 23:59", false},
		"none today":                 {[]config.SnapshotRule{rule(7, "daily")}, have, "2026-12-01 00:00", true},
		"a week begins on Monday":    {[]config.SnapshotRule{rule(7, "weekly")}, []time.Time{at("2026-11-29 12:00")}, "2026-11-30 00:00", true},
		"and ends on Sunday":         {[]config.SnapshotRule{rule(7, "weekly")}, have, "2026-12-06 23:00", false},
		"another month":              {[]config.SnapshotRule{rule(7, "monthly")}, have, "2026-12-01 00:00", true},
		"the same month, next year":  {[]config.SnapshotRule{rule(7, "monthly")}, have, "2027-11-30 00:00", true},
		"one of a clock that is off": {[]config.SnapshotRule{rule(24, "hourly")}, have, "2026-11-30 12:05", true},
	} {
		if got := Due(c.rules, c.have, at(c.now)); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// A year of snapshots, one each hour: what is kept of it is what the rules say.
func TestDrop(t *testing.T) {
	rules := []config.SnapshotRule{rule(24, "hourly"), rule(7, "daily"), rule(3, "monthly")}
	var have []time.Time
	now := at("2026-01-01 00:00")
	for range 365 * 24 {
		if !Due(rules, have, now) {
			t.Fatalf("none is due at %v", now)
		}
		have = append(have, now)
		for _, d := range Drop(rules, have, now) {
			have = slices.DeleteFunc(have, d.Equal)
		}
		now = now.Add(time.Hour)
	}
	var want []time.Time
	for _, m := range []string{"2026-10-01 00:00", "2026-11-01 00:00", "2026-12-01 00:00"} {
		want = append(want, at(m))
	}
	for d := 25; d <= 30; d++ { // the seventh day is the first hour of the newest
		want = append(want, time.Date(2026, 12, d, 0, 0, 0, 0, time.UTC))
	}
	for h := range 24 {
		want = append(want, time.Date(2026, 12, 31, h, 0, 0, 0, time.UTC))
	}
	if !slices.EqualFunc(have, want, time.Time.Equal) {
		t.Errorf("got %v\nwant %v", have, want)
	}
}

// The newest one is kept whatever the rules, and what is kept once is dropped in no second pass.
func TestDropAlways(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		now := at("2026-01-01 00:00").Add(time.Duration(r.IntN(400*24)) * time.Hour)
		var have []time.Time
		for range r.IntN(60) {
			have = append(have, at("2026-01-01 00:00").Add(time.Duration(r.IntN(400*24))*time.Hour))
		}
		var rules []config.SnapshotRule
		for _, u := range config.SnapshotUnits {
			if r.IntN(2) == 0 {
				rules = append(rules, rule(1+r.IntN(5), u))
			}
		}
		left := slices.Clone(have)
		for _, d := range Drop(rules, have, now) {
			left = slices.DeleteFunc(left, d.Equal)
		}
		for _, h := range have {
			if h.After(now) && !slices.ContainsFunc(left, h.Equal) {
				t.Errorf("%v: one of the future, %v, is dropped", rules, h)
			}
		}
		if past := Past(have, now); len(past) > 0 {
			if newest := slices.MaxFunc(past, time.Time.Compare); !slices.ContainsFunc(left, newest.Equal) {
				t.Errorf("%v: the newest one of %v is dropped", rules, have)
			}
		}
		if again := Drop(rules, left, now); len(again) > 0 {
			t.Errorf("%v: a second pass drops %v of %v", rules, again, left)
		}
	}
}

// A clock that was a year ahead for two days does not cost the snapshots of the right time.
func TestDropAfterWrongClock(t *testing.T) {
	rules, now := []config.SnapshotRule{rule(24, "hourly")}, at("2026-11-30 12:00")
	var have []time.Time
	for h := range 24 {
		have = append(have, now.AddDate(1, 0, 0).Add(time.Duration(h)*time.Hour))
	}
	if !Due(rules, have, now) {
		t.Fatal("none is due")
	}
	if drop := Drop(rules, append(have, now), now); len(drop) > 0 {
		t.Errorf("dropped %v, want none", drop)
	}
}

// Next is the first moment of the next period, by the definition of periods itself.
func TestNext(t *testing.T) {
	if got := Next(nil, at("2026-11-30 12:00")); !got.IsZero() {
		t.Errorf("without rules: got %v, want none", got)
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		now := at("2024-01-01 00:00").Add(time.Duration(r.Int64N(int64(4 * 365 * 24 * time.Hour)))).In(time.FixedZone("", 3*3600))
		rules := []config.SnapshotRule{rule(3, config.SnapshotUnits[r.IntN(4)]), rule(2, config.SnapshotUnits[r.IntN(4)])}
		next, unit := Next(rules, now), shortest(rules)
		if !next.After(now) || period(unit, next) != period(unit, now)+1 || period(unit, next.Add(-1)) != period(unit, now) {
			t.Fatalf("%v after %v: got %v", rules, now, next)
		}
		if !Due(rules, []time.Time{now}, next) || Due(rules, []time.Time{now}, next.Add(-1)) {
			t.Fatalf("%v: a snapshot of %v is not followed by one at %v", rules, now, next)
		}
	}
}
