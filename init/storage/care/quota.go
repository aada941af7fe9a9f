package care

import "strconv"

// Quotas is how btrfs counts what its subvolumes hold.
type Quotas uint8

// The ways.
const (
	NoQuotas Quotas = iota
	FullQuotas
	SimpleQuotas // the disk keeps a mark for ever that older kernels refuse
)

// ParseQuotas reads the way from the files enabled and mode of a file system's directory qgroups in
// sysfs (Linux 6.7 and later have mode). Both are empty where nothing is counted.
func ParseQuotas(enabled, mode string) Quotas {
	switch {
	case enabled != "1":
		return NoQuotas
	case mode == "squota":
		return SimpleQuotas
	}
	return FullQuotas
}

// Limit is the most that a subvolume may hold, in bytes; 0 for no limit.
type Limit struct {
	Dir   string `json:"dir"`
	Bytes int64  `json:"bytes"`
}

// QuotaSteps returns the calls of btrfs that bring a disk at a mount point from what it has to what
// the configuration asks for. Counting is begun when the first limit is asked for, in the way that
// is wanted; it is ended when no limit is left, because it costs time at every write. One way is
// not changed into the other while limits need it: that would count everything again.
func QuotaSteps(at string, have, want Quotas, before, limits []Limit) (steps [][]string) {
	any := false
	for _, l := range limits {
		any = any || l.Bytes > 0
	}
	if !any {
		if have != NoQuotas && len(before) > 0 { // ours: a disk that came with quotas keeps them
			steps = append(steps, []string{"quota", "disable", at})
		}
		return steps
	}
	if have == NoQuotas {
		enable := []string{"quota", "enable"}
		if want == SimpleQuotas {
			enable = append(enable, "--simple")
		}
		steps = append(steps, append(enable, at))
	}
	for _, l := range limits {
		was, known := int64(0), false
		for _, b := range before {
			if b.Dir == l.Dir {
				was, known = b.Bytes, true
			}
		}
		switch {
		case have != NoQuotas && known && was == l.Bytes, l.Bytes == 0 && !known:
		case l.Bytes == 0:
			steps = append(steps, []string{"qgroup", "limit", "none", l.Dir})
		default:
			steps = append(steps, []string{"qgroup", "limit", strconv.FormatInt(l.Bytes, 10), l.Dir})
		}
	}
	return steps
}
