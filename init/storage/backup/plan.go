// Package backup copies the shares of a storage node to other disks and machines, and back.
//
// A backup is a series of read-only btrfs snapshots. Each is sent as the difference from the newest
// one that both sides have, arrives in a staging directory, is checked there, and gets its name
// last. What a cut transfer leaves is deleted and sent again. The snapshots that transfers begin
// from are made for them and do not depend on the snapshots that users see.
//
// The decisions here are pure functions of what both sides have. Jobs run as a process of their
// own, `shelf backup now`; PID 1 only decides when.
package backup

import (
	"cmp"
	"slices"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/storage/snapshots"
)

// Snap is a snapshot of a share, on either side.
type Snap struct {
	Name   string // as snapshots.Name makes it
	Stream string // the UUID that a stream of it bears, 32 hex digits: on both sides the same
	Gen    uint64 // the transaction that it was made in; counts on one file system alone
	Whole  bool   // it is read-only, and if it was received, to its end
}

// Next returns what to send to a place, and from which snapshot on; base is nil where the two sides
// have none in common. send is nil when the place has the newest one already, or own is empty.
func Next(own, there []Snap) (send, base *Snap) {
	own = byAge(own)
	for i := len(own) - 1; i >= 0; i-- {
		if !has(there, own[i].Stream) {
			continue
		}
		if i == len(own)-1 {
			return nil, &own[i]
		}
		base = &own[i]
		break
	}
	if len(own) == 0 {
		return nil, nil
	}
	return &own[len(own)-1], base
}

// kept returns a name if a whole snapshot has it, else nothing.
func kept(own []Snap, name string) string {
	if slices.ContainsFunc(own, func(s Snap) bool { return s.Whole && s.Name == name }) {
		return name
	}
	return ""
}

// upTo are the snapshots that are not younger than one of them; all without a name.
func upTo(own []Snap, name string) []Snap {
	i := slices.IndexFunc(own, func(s Snap) bool { return s.Name == name })
	if i < 0 {
		return own
	}
	last := own[i].Gen
	return slices.DeleteFunc(slices.Clone(own), func(s Snap) bool { return s.Gen > last })
}

// byAge are the whole ones of a file system, the oldest first. The clock may have been wrong; the
// transactions are in order.
func byAge(own []Snap) []Snap {
	whole := slices.DeleteFunc(slices.Clone(own), func(s Snap) bool { return !s.Whole || s.Stream == "" })
	slices.SortFunc(whole, func(a, b Snap) int { return cmp.Or(cmp.Compare(a.Gen, b.Gen), cmp.Compare(a.Name, b.Name)) })
	return whole
}

func has(list []Snap, stream string) bool {
	return slices.ContainsFunc(list, func(s Snap) bool { return s.Whole && s.Stream == stream })
}

// Cut returns the names of what transfers that did not come to their end left.
func Cut(there []Snap) (names []string) {
	for _, s := range there {
		if !s.Whole {
			names = append(names, s.Name)
		}
	}
	return names
}

// Surplus returns the names of the snapshots at a place that no rule keeps, the oldest first. The
// one that the next transfer begins from, by its stream, is kept.
func Surplus(rules []config.SnapshotRule, there []Snap, base string, now time.Time) (names []string) {
	var times []time.Time
	for _, s := range there {
		if t, ok := snapshots.Time(s.Name); ok && s.Whole {
			times = append(times, t)
		}
	}
	if len(rules) == 0 {
		return nil
	}
	for _, t := range snapshots.Drop(rules, times, now) {
		name := snapshots.Name(t)
		if i := slices.IndexFunc(there, func(s Snap) bool { return s.Name == name }); there[i].Stream != base || base == "" {
			names = append(names, name)
		}
	}
	return names
}

// Unneeded returns the names of a share's own snapshots for transfers that no place begins from:
// all but the newest, those in bases, and those that are not whole.
func Unneeded(own []Snap, bases []string) (names []string) {
	whole := byAge(own)
	for _, s := range own {
		newest := len(whole) > 0 && s.Name == whole[len(whole)-1].Name
		if s.Whole && (newest || slices.Contains(bases, s.Stream)) {
			continue
		}
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names
}

// NameAt is the name of a snapshot that is made now: one that sorts after those that are there,
// whatever the clock was.
func NameAt(have []Snap, now time.Time) string {
	name := snapshots.Name(now)
	for _, s := range have {
		if t, ok := snapshots.Time(s.Name); ok && s.Name >= name {
			name = snapshots.Name(t.Add(time.Second))
		}
	}
	return name
}
