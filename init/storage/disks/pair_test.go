package disks

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/disk"
)

var specAuto = config.StorageDisk{Name: "data", Device: "auto"}

// half is one of two members of a file system.
func half(name, serial string, generation uint64) Device {
	return dev(name, serial, disk.FS{Type: "btrfs", UUID: uuidA, Clean: true, Devices: 2, Member: "m-" + name, Generation: generation})
}

// The decision table: which of the halves X and Y are there, which is newer, and what was recorded.
func TestPair(t *testing.T) {
	x, y := "m-x", "m-y"
	for _, c := range []struct {
		name  string
		known Known
		x, y  uint64 // generations; 0: not there
		want  Mode
	}{
		{"both, the same", Known{}, 7, 7, Whole},
		{"both, one behind", Known{}, 9, 7, Repair},
		{"only x", Known{}, 7, 0, Look},
		{"only y", Known{}, 0, 7, Look},
		{"only x, ordered", Known{Alone: []string{x}, Consent: true}, 9, 0, Alone},
		{"only x, lost while running", Known{Alone: []string{x}}, 9, 0, Look},
		{"only y, x was written alone", Known{Alone: []string{x}, Consent: true}, 0, 7, Stale},
		{"only y, lost while running", Known{Alone: []string{x}}, 0, 7, Stale},
		{"both, x was written alone", Known{Alone: []string{x}, Consent: true}, 9, 7, Repair},
		{"both, x was written alone, y later elsewhere", Known{Alone: []string{x}, Consent: true}, 9, 12, Stale},
		{"both, x was written alone, y as often elsewhere", Known{Alone: []string{x}}, 9, 9, Stale},
		{"both, being repaired when the power went", Known{Alone: []string{x}, Repairing: true}, 12, 12, Repair},
		{"only y, being repaired when x died", Known{Alone: []string{x}, Repairing: true}, 0, 12, Stale},
		{"only y, y was written alone", Known{Alone: []string{y}, Consent: true}, 0, 9, Alone},
	} {
		var parts []Device
		if c.x > 0 {
			parts = append(parts, half("x", "SX", c.x))
		}
		if c.y > 0 {
			parts = append(parts, half("y", "SY", c.y))
		}
		got, why, err := pair(c.known, "data", parts)
		if got != c.want || (err != nil) != (c.want == Stale) || (why == "") != (c.want == Whole || c.want == Stale) {
			t.Errorf("%s: got %v, %q, %v, want %v", c.name, got, why, err, c.want)
		}
	}
}

// Whatever is there and recorded: nothing is written while a member is missing without the owner's
// order, and a member that missed writes is never used without those that have them.
func TestPairAlways(t *testing.T) {
	for gx := range uint64(4) {
		for gy := range uint64(4) {
			for _, alone := range [][]string{nil, {"m-x"}, {"m-y"}} {
				for _, consent := range []bool{false, true} {
					var parts []Device
					for name, g := range map[string]uint64{"x": gx, "y": gy} {
						if g > 0 {
							parts = append(parts, half(name, "S", g))
						}
					}
					if len(parts) == 0 {
						continue
					}
					at := fmt.Sprintf("x %d, y %d, alone %v, ordered %v", gx, gy, alone, consent)
					mode, _, err := pair(Known{Alone: alone, Consent: consent}, "data", parts)
					if len(parts) == 1 && mode != Look && mode != Stale && !consent {
						t.Errorf("%s: written (%v)", at, mode)
					}
					if len(parts) == 1 && len(alone) > 0 && !slices.Contains(alone, parts[0].FS.Member) && mode != Stale {
						t.Errorf("%s: the old half is used (%v)", at, mode)
					}
					if len(parts) == 2 && (gx != gy) && mode == Whole {
						t.Errorf("%s: taken for whole", at)
					}
					if (mode == Stale) != (err != nil) {
						t.Errorf("%s: %v with %v", at, mode, err)
					}
				}
			}
		}
	}
}

// Of two devices that say to be the same member the one with the known serial number counts.
func TestPartsOf(t *testing.T) {
	x, y, copied := half("x", "SX", 7), half("y", "SY", 7), half("z", "SZ", 3)
	copied.FS.Member = "m-y"
	known := &Known{UUID: uuidA, Serial: "SX", Members: map[string]string{"m-x": "SX", "m-y": "SY"}}
	for _, c := range []struct {
		name  string
		known *Known
		list  []Device
		want  string
		err   string
	}{
		{"both", known, []Device{x, y}, "/dev/x and /dev/y", ""},
		{"and the one that was replaced", known, []Device{x, copied, y}, "/dev/x and /dev/y", ""},
		{"only the one that was replaced", known, []Device{x, copied}, "/dev/x", ""},
		{"a copy, nothing known", nil, []Device{x, y, copied}, "", "one of them is a copy"},
		{"another file system", known, []Device{x, dev("w", "SW", btrfs(uuidB))}, "/dev/x", ""},
		{"an old record of one number", &Known{UUID: uuidA, Serial: "SX"}, []Device{x, y}, "/dev/x and /dev/y", ""},
	} {
		parts, err := partsOf(c.known, uuidA, c.list)
		if paths(parts) != c.want || c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: got %s, %v, want %s %s", c.name, paths(parts), err, c.want, c.err)
		}
	}
	// The half that is not the first one is the known disk as well.
	if what, d, err := Decide(specAuto, known, []Device{y}); what != Use || d.Path != "/dev/y" {
		t.Errorf("the second half alone: got %v %s, %v, want use", what, d.Path, err)
	}
	if what, _, err := Decide(specAuto, known, []Device{copied}); what != Refuse {
		t.Errorf("a copy of the second half alone: got %v, %v, want refuse", what, err)
	}
}
