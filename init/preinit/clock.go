package preinit

import (
	"time"

	"golang.org/x/sys/unix"
)

// farthest is the latest time that a floor may name: a damaged superblock must not send the clock into a year in which
// every certificate has ended.
var farthest = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// latest is the highest of the times that can be believed.
func latest(times ...time.Time) time.Time {
	var floor time.Time
	for _, t := range times {
		if t.After(floor) && t.Before(farthest) {
			floor = t
		}
	}
	return floor
}

// raiseClock sets the clock to floor if it runs before it and says whether it did. A board without a battery starts
// in 1970, where certificates are not valid yet and k3s refuses to start.
func raiseClock(floor time.Time) (bool, error) {
	if !time.Now().Before(floor) {
		return false, nil
	}
	tv := unix.NsecToTimeval(floor.UnixNano())
	return true, unix.Settimeofday(&tv)
}
