package preinit

import (
	"time"

	"golang.org/x/sys/unix"

	"imgbuild/init/net/clock"
)

// latest is the highest of the times that can be believed: a damaged superblock must not send the
// clock anywhere.
func latest(times ...time.Time) time.Time {
	var floor time.Time
	for _, t := range times {
		if t.After(floor) && t.Before(clock.Farthest()) {
			floor = t
		}
	}
	return floor
}

// raiseClock sets the clock to floor if it runs before it and reports whether it did. A board
// without a battery starts in 1970, where certificates are not valid yet and k3s refuses to start.
func raiseClock(floor time.Time) (bool, error) {
	if !time.Now().Before(floor) {
		return false, nil
	}
	tv := unix.NsecToTimeval(floor.UnixNano())
	return true, unix.Settimeofday(&tv)
}
