// Package turn is what nodes share that take turns, or keep apart without asking each other: k3s'
// restarts and automatic upgrades.
package turn

import (
	"hash/fnv"
	"time"
)

// Number chooses one of n things by a node's name, n > 0: always the same one, and evenly over
// names.
func Number(name string, n int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return int(h.Sum64() % uint64(n))
}

// Credible reports whether a turn that ends at a moment can have been given for at most that long
// by a clock that was right: one that ends later was given with a wrong clock.
func Credible(until, now time.Time, length time.Duration) bool {
	return until.Sub(now) <= length
}
