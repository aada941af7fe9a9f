package k3s

import (
	"time"

	"imgbuild/init/base/turn"
)

// A server that cannot ask the cluster for its turn restarts k3s in a time slot of its own, which
// its name chooses. A slot is as long as a turn, and a restart may begin only in its first minutes,
// so that it has ended, or was given up, before the next slot begins: two servers with different
// slots never restart at the same time. Two names share a slot with a probability of 1 in 320 while
// there is more than renewNow left, and of 1 in 96 below it.
const (
	slotLength = turnLimit
	slotBegins = slotLength - stopLimit - readyLimit // a restart begins within this
	slotNights = 40                                  // fewer than the nights between renewSoon and renewNow
	slotsNight = int(2 * time.Hour / slotLength)     // of the window
	slotsDay   = int(24 * time.Hour / slotLength)
)

// permission is whether a server may restart k3s, and by what right.
type permission int

const (
	mustWait permission = iota
	hasTurn             // it has the turn, and gives it back
	ownTime             // nobody could be asked, and it is the time slot of this server
)

// permit reports whether a server may restart now. mine and err are the cluster's answer to whose
// turn it is; ends is when its certificate does. A server whose certificate has ended serves nobody
// and waits for nobody.
func permit(mine bool, err error, name string, now, ends time.Time, zone string) permission {
	switch {
	case err == nil && mine:
		return hasTurn
	case err == nil:
		return mustWait
	case !now.Before(ends), ownSlot(name, now, ends.Sub(now), zone):
		return ownTime
	}
	return mustWait
}

// ownSlot reports whether a restart may begin now in the slot of a name, with so much time left
// until a certificate ends.
func ownSlot(name string, now time.Time, left time.Duration, zone string) bool {
	if now.Sub(now.Truncate(slotLength)) >= slotBegins {
		return false
	}
	n := slotNumber(name)
	utc := int(now.Unix() / int64(slotLength/time.Second))
	if left < renewNow {
		return utc%slotsDay == n%slotsDay
	}
	// The same night everywhere: the clock of a cluster's servers is one, their time zone need not
	// be. Of zones that differ the windows do, and the slots in them are compared in UTC as well.
	night := int(now.Unix() / (24 * 60 * 60))
	return inWindow(now, zone) && night%slotNights == n/slotsNight%slotNights && utc%slotsNight == n%slotsNight
}

// slotNumber is what chooses the slots of a name: its remainders by their numbers.
func slotNumber(name string) int {
	return turn.Number(name, slotNights*slotsNight*slotsDay)
}
