package backup

import (
	"fmt"
	"strings"
	"time"

	"imgbuild/init/storage/disks"
)

// Attached are the names of the places whose disk is there.
func (s State) Attached(list []disks.Device) (names []string) {
	for _, name := range s.Names() {
		if s.Places[name].attached(list) {
			names = append(names, name)
		}
	}
	return names
}

func (p Place) attached(list []disks.Device) bool {
	for _, d := range list {
		if p.UUID != "" && d.FS.Type == "btrfs" && strings.EqualFold(d.FS.UUID, p.UUID) {
			return true
		}
	}
	return false
}

// Lines is a place as lines for people. where is the address of a server, empty for a disk.
func (p Place) Lines(name, where string, list []disks.Device, now time.Time) []string {
	if where == "" {
		where = "UUID=" + p.UUID + map[bool]string{false: ", not attached", true: ", attached"}[p.attached(list)]
	}
	lines := []string{name + ": " + where}
	if p.Good.IsZero() {
		lines = append(lines, "  no good backup yet")
	} else {
		lines = append(lines, fmt.Sprintf("  last good backup: %s, %v ago, %.1f MB were sent", p.Good.Local().Format(time.DateTime), now.Sub(p.Good).Round(time.Minute), float64(p.Sent)/1e6))
	}
	if p.Error != "" {
		lines = append(lines, fmt.Sprintf("  the last attempt, %v ago, failed: %s", now.Sub(p.Tried).Round(time.Minute), p.Error))
	}
	return lines
}
