package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A moment is when in an upgrade the power is to go: in which of its parts, and how far into it.
type moment struct {
	Part int     // of parts
	At   float64 // 0 to 1
	way  string
	seed uint64 // of what the disk loses
}

// The parts of an upgrade, as a laptop and the console see them.
const (
	download = iota // imgbuild has begun
	write           // the same, up to the end of writing
	arming          // the slot is read back: arming, shutdown
	trial           // U-Boot has started the new system
	commit          // the new system is up
)

var parts = []string{"download", "write", "arming", "trial", "commit"}

// cutsPerUpgrade is how often the power goes during one upgrade: a system has three attempts.
const cutsPerUpgrade = 2

// moments are those of one upgrade, in its order. The same seed gives the same ones.
func moments(seed uint64, upgrade int) []moment {
	random := rand.New(rand.NewPCG(seed, uint64(upgrade)))
	var all []moment
	for range cutsPerUpgrade {
		all = append(all, moment{random.IntN(len(parts)), random.Float64(), ways[random.IntN(len(ways))], random.Uint64()})
	}
	slices.SortStableFunc(all, func(a, b moment) int { return a.Part - b.Part })
	return all
}

// pace is how long the parts take on this machine, as they were seen last.
type pace struct{ write, arm, boot, settle time.Duration }

// usual is what they take on a machine that does nothing else.
var usual = pace{20 * time.Second, 6 * time.Second, 25 * time.Second, 8 * time.Second}

// wait is how long after its part begins the moment comes. Arming takes a fraction of a second at
// the beginning of its part.
func (p pace) wait(m moment) time.Duration {
	switch part := func(d time.Duration, x float64) time.Duration { return time.Duration(x * float64(d)) }; m.Part {
	case download:
		return part(p.write, m.At/3)
	case write:
		return part(p.write, m.At)
	case arming:
		return part(p.arm, m.At*m.At)
	case trial:
		return part(p.boot, m.At)
	default:
		return part(p.settle, m.At)
	}
}
