// Package snapshots decides when a share is snapshot, how long snapshots are kept and what they are
// called. Snapshots lie outside the share, in .shelfos of its disk: inside an export they would
// make find, du and cp -a of NFS clients fail.
package snapshots

import (
	"slices"
	"time"

	"imgbuild/init/contract/config"
)

// nameLayout is the form that Samba's shadow_copy2 looks for, in UTC.
const nameLayout = "@GMT-2006.01.02-15.04.05"

// Name is the name of a snapshot.
func Name(t time.Time) string { return t.UTC().Format(nameLayout) }

// Time reads the name of a snapshot; false for any other name.
func Time(name string) (time.Time, bool) {
	t, err := time.Parse(nameLayout, name)
	return t, err == nil
}

// period returns the number of the hour, day, week or month that a moment is in, in UTC.
func period(unit string, t time.Time) int {
	t = t.UTC()
	switch unit {
	case "hourly":
		return int(t.Unix() / 3600)
	case "daily":
		return int(t.Unix() / 86400)
	case "weekly":
		return int((t.Unix()/86400 + 3) / 7) // weeks begin on a Monday
	}
	return t.Year()*12 + int(t.Month())
}

// Due reports whether a snapshot is to be made: there is none in the shortest period of the rules.
// One of the future, from a clock that was wrong, does not count.
func Due(rules []config.SnapshotRule, have []time.Time, now time.Time) bool {
	if len(rules) == 0 {
		return false
	}
	unit := shortest(rules)
	return !slices.ContainsFunc(have, func(t time.Time) bool { return !t.After(now) && period(unit, t) == period(unit, now) })
}

// shortest is the unit of the rules with the shortest period.
func shortest(rules []config.SnapshotRule) string {
	return slices.MinFunc(rules, func(a, b config.SnapshotRule) int {
		return slices.Index(config.SnapshotUnits, a.Unit) - slices.Index(config.SnapshotUnits, b.Unit)
	}).Unit
}

// Next returns when the next of the shortest periods begins: nothing becomes due before it, unless
// the clock is set. The zero time without rules.
func Next(rules []config.SnapshotRule, now time.Time) time.Time {
	if len(rules) == 0 {
		return time.Time{}
	}
	now = now.UTC()
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	switch shortest(rules) {
	case "hourly":
		return now.Truncate(time.Hour).Add(time.Hour)
	case "daily":
		return day.AddDate(0, 0, 1)
	case "weekly":
		return day.AddDate(0, 0, 7-(int(now.Weekday())+6)%7)
	}
	return time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
}

// Past are the snapshots that are not of the future. Those were made while the clock was wrong: no
// rule counts them until their time comes, so that they take the place of none.
func Past(have []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(have), func(t time.Time) bool { return t.After(now) })
}

// Drop returns the snapshots that no rule keeps, oldest first. A rule keeps the first snapshot of
// each of its newest periods. The newest snapshot is always kept, and so are those of the future.
func Drop(rules []config.SnapshotRule, have []time.Time, now time.Time) []time.Time {
	sorted := Past(have, now)
	slices.SortFunc(sorted, time.Time.Compare)
	keep := map[int]bool{len(sorted) - 1: true}
	for _, r := range rules {
		var first []int // of each period, oldest period first
		for i, t := range sorted {
			if len(first) == 0 || period(r.Unit, sorted[first[len(first)-1]]) != period(r.Unit, t) {
				first = append(first, i)
			}
		}
		for _, i := range first[max(0, len(first)-r.Count):] {
			keep[i] = true
		}
	}
	var drop []time.Time
	for i, t := range sorted {
		if !keep[i] {
			drop = append(drop, t)
		}
	}
	return drop
}
