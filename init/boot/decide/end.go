package decide

import (
	"time"

	"imgbuild/init/contract/bootstate"
)

// Note is what is written into the boot record about the end of a boot.
type Note uint8

// The notes.
const (
	Nothing Note = iota
	Reason       // why the boot ended
	Blame        // the same, and the trial is given up: its slot is bad
)

// Ending is how a boot ends.
type Ending struct {
	Trial bool // the running slot is under trial: a trial that this boot armed for the other one is not to blame
	Fault bool // the system itself is at fault
}

// Note is what to write.
func (e Ending) Note() Note {
	if e.Trial && e.Fault {
		return Blame
	}
	return Reason
}

// Crash is what the boot before left behind when this program failed in it.
type Crash struct {
	Trial    bool // the running slot is under trial
	Ours     bool // it was left by the slot and system that run now
	Recorded bool // the boot record has it already
}

// Note is what to write. A trial that did not even get to note its end is given up, as if it had
// failed now.
func (c Crash) Note() Note {
	switch {
	case c.Trial && c.Ours:
		return Blame
	case c.Trial || c.Recorded:
		return Nothing
	}
	return Reason
}

// Corner is what is known of the way back.
type Corner struct {
	Disk  bool   // the boot disk was found
	Trial bool   // the running slot is under trial
	Last  bool   // this is the last attempt of the running slot
	Other string // the boot record's state of the other slot; empty if it cannot be read
}

// Cornered: the boot script would only come back here: this is the last attempt, and the
// other slot is not good.
func (c Corner) Cornered() bool {
	return c.Disk && !c.Trial && c.Last && c.Other != bootstate.Good
}

// How long a message is shown before a reboot, for somebody to read it. Shorter when the node was
// up, because then it can be read later as well; longer when no attempt of any system has come up,
// so that a node does not wear out its card by rebooting for weeks.
const (
	PauseUp       = 10 * time.Second
	PauseBoot     = 60 * time.Second
	PauseCornered = 15 * time.Minute
)

// Pause is how long to wait before the reboot that follows a failure.
func Pause(up, cornered bool) time.Duration {
	switch {
	case up:
		return PauseUp
	case cornered:
		return PauseCornered
	}
	return PauseBoot
}
