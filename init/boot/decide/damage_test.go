package decide

import (
	"testing"
	"time"

	"imgbuild/init/contract/bootstate"
)

func TestDamaged(t *testing.T) {
	const good = bootstate.Good
	for _, c := range []struct {
		name string
		d    Damaged
		want Damage
	}{
		{"the first one", Damaged{Disk: true, Here: 1, Other: good}, Watch},
		{"the second one", Damaged{Disk: true, Here: 2, Other: good}, Leave},
		{"the second one, the other slot is empty", Damaged{Disk: true, Here: 2, Other: bootstate.Empty}, Endure},
		{"the second one, the other slot is bad", Damaged{Disk: true, Here: 2, Other: bootstate.Bad}, Endure},
		{"the other slot has one too", Damaged{Disk: true, Here: 2, There: 1, Other: good}, Endure},
		{"a reboot within the hour", Damaged{Disk: true, Here: 2, Other: good, Ever: true, Since: 59 * time.Minute}, Endure},
		{"a reboot an hour ago", Damaged{Disk: true, Here: 2, Other: good, Ever: true, Since: time.Hour}, Leave},
		{"the clock was set back", Damaged{Disk: true, Here: 2, Other: good, Ever: true, Since: -5 * time.Hour}, Endure},
		{"on trial", Damaged{Disk: true, Trial: true, Here: 1, Other: good}, End},
		{"on trial, within the hour", Damaged{Disk: true, Trial: true, Here: 1, Other: good, Ever: true}, End},
		{"no disk", Damaged{Here: 2, Other: good}, Endure},
		{"no record", Damaged{Disk: true, Here: 2}, Endure},
	} {
		if got := c.d.Decide(); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// Two slots with damaged blocks never send the node back and forth: a slot that was left is bad,
// and what was found in it is known.
func TestDamageEnds(t *testing.T) {
	state := map[string]string{bootstate.A: good, bootstate.B: good}
	found := map[string]int{}
	running, reboots, last := bootstate.A, 0, time.Duration(0)
	for now := time.Duration(0); now < 48*time.Hour; now += 10 * time.Minute {
		found[running] = min(2, found[running]+1)
		other := bootstate.Other(running)
		d := Damaged{Disk: true, Here: found[running], There: found[other], Other: state[other], Since: now - last, Ever: reboots > 0}
		if d.Decide() == Leave {
			state[running], running, last = bootstate.Bad, other, now
			reboots++
		}
	}
	if reboots != 1 || running != bootstate.B || state[running] != good {
		t.Errorf("%d reboots, slot %s runs, %v", reboots, running, state)
	}
}

const good = bootstate.Good
