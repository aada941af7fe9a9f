package decide

import (
	"time"

	"imgbuild/init/contract/bootstate"
)

// Damage is what is done about a block of /usr that is not what was built.
type Damage uint8

// What to do. In any case reads of the block return an error.
const (
	Watch  Damage = iota // the first one: a card may read wrong once
	Endure               // there is no better system to go to: half dead but reachable is better
	Leave                // this slot is bad, and the other one boots
	End                  // the trial is given up
)

// DamageEvery is the least time between two reboots for this reason.
const DamageEvery = time.Hour

// Damaged is what is known when such a block was found.
type Damaged struct {
	Disk  bool          // the boot disk and its record are there
	Trial bool          // the running slot is under trial
	Here  int           // blocks found in the running slot, this one included
	There int           // in the other one
	Other string        // the state of the other slot in the record
	Since time.Duration // since the last reboot for this reason
	Ever  bool          // there was one
}

// Decide decides. A clock that was set back counts as a reboot of a moment ago.
func (d Damaged) Decide() Damage {
	switch {
	case !d.Disk:
		return Endure
	case d.Trial:
		return End
	case d.Here < 2:
		return Watch
	case d.Other != bootstate.Good, d.There > 0, d.Ever && d.Since < DamageEvery:
		return Endure
	}
	return Leave
}
