package main

import (
	"fmt"
	"strings"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/diskmap"
)

// inSlot is the slot that an offset of the disk belongs to; "" for none.
func inSlot(offset int64) string {
	for slot, start := range map[string]int64{bootstate.A: diskmap.SlotA, bootstate.B: diskmap.SlotB} {
		if offset >= start && offset < start+diskmap.SlotSize {
			return slot
		}
	}
	return ""
}

// report prints the cut.
func (c UpgradeCut) report(say func(string, ...any)) {
	say("cut %d, %s: %s; of %d writes %s; slot %s booted", c.Number, c.Part, c.Phase, c.Pending, c.Way, c.Slot)
	for _, b := range c.Bad {
		say("cut %d: wrong: %s", c.Number, b)
	}
}

// phases are how far an upgrade may be.
var phases = []string{"before the first write", "being written", "written", "armed", "in the trial", "committed"}

type upgradeSum struct {
	cuts, bad, again, controls, caught int
	at                                 map[string]int // cuts by phase
}

func sumUp(all []UpgradeCut) upgradeSum {
	s := upgradeSum{at: map[string]int{}}
	for _, c := range all {
		s.cuts++
		s.again += c.Again
		s.at[c.Phase]++
		if len(c.Bad) > 0 {
			s.bad++
		}
		if c.Control != "" {
			s.controls++
		}
		if c.Control == "caught" {
			s.caught++
		}
	}
	return s
}

// line is the result in one line.
func (s upgradeSum) line() string {
	var list []string
	for _, p := range phases {
		list = append(list, fmt.Sprintf("%s %d", p, s.at[p]))
	}
	return fmt.Sprintf("%d power cuts of upgrades: %d good, %d not; %s; imgbuild upgrade run again %d times; control, a disk that loses flushes: %d of %d caught",
		s.cuts, s.cuts-s.bad, s.bad, strings.Join(list, ", "), s.again, s.caught, s.controls)
}

// verdict is an error when a cut is not good, or when the controls caught nothing.
func (s upgradeSum) verdict() error {
	switch {
	case s.bad > 0:
		return fmt.Errorf("after %d power cuts the node or the upgrade was not as it should be", s.bad)
	case s.controls >= 3 && s.caught == 0:
		return fmt.Errorf("a disk that loses flushes is not noticed: the search proves nothing")
	}
	return nil
}
