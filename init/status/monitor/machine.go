package monitor

import (
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Machine is what the kernel reports about the hardware. A value that it does not report is nil.
type Machine struct {
	Zones            []Zone     `json:"temperature,omitempty"`
	Throttled        []Throttle `json:"throttled,omitempty"`
	UnderVoltage     *bool      `json:"undervoltage,omitempty"`            // now
	UnderVoltageSeen *bool      `json:"undervoltage_since_boot,omitempty"` // at some time since the boot
	Wear             []Wear     `json:"wear,omitempty"`

	ReadOnly map[string]bool `json:"-"` // by mount point: whether the file system takes no more writes; not from sys
}

// Zone is one thermal zone.
type Zone struct {
	Name    string  `json:"name"` // thermal_zone0
	Type    string  `json:"type"` // cpu-thermal
	Celsius float64 `json:"celsius"`
}

// Throttle reports whether the processor is slowed down for a cause: heat, undervoltage or limit.
type Throttle struct {
	Cause string `json:"cause"`
	On    bool   `json:"on"`
}

// Wear is how much of its life a flash medium has used.
type Wear struct {
	Device string `json:"device"`
	Life   []Life `json:"life,omitempty"`
	PreEOL int    `json:"pre_eol,omitempty"` // 1 normal, 2 80 % of the reserve used, 3 90 %; 0 not reported
}

// Life is the upper bound of the life used by one type of cells, in per cent; 110 means beyond.
type Life struct {
	Cells   string `json:"cells"` // a: SLC or the like, b: MLC or TLC (JEDEC JESD84-B51, EXT_CSD 268 and 269)
	Percent int    `json:"percent"`
}

// Read asks the kernel, below sys (/sys). Whatever fails is left out.
func Read(sys string) Machine {
	m := Machine{Zones: zones(sys), Wear: wear(sys)}
	m.firmware(sys)
	if m.UnderVoltage == nil {
		m.UnderVoltage = lowVoltage(sys)
	}
	if on, ok := hot(sys); ok && m.Throttled == nil {
		m.Throttled = []Throttle{{"heat", on}}
	}
	return m
}

func zones(sys string) []Zone {
	var list []Zone
	for _, dir := range numbered(sys, "class/thermal/thermal_zone*") {
		if milli, err := strconv.ParseInt(line(dir, "temp"), 10, 64); err == nil {
			list = append(list, Zone{filepath.Base(dir), line(dir, "type"), float64(milli) / 1000})
		}
	}
	return list
}

// numbered returns the directories that match, in the order of the number at their end.
func numbered(sys, pattern string) []string {
	dirs, _ := filepath.Glob(filepath.Join(sys, pattern))
	sort.Slice(dirs, func(i, j int) bool {
		if len(dirs[i]) != len(dirs[j]) {
			return len(dirs[i]) < len(dirs[j])
		}
		return dirs[i] < dirs[j]
	})
	return dirs
}

// firmware reads get_throttled, which the Raspberry Pi archive's kernels have: bits 0 to 3 are the
// present, 16 to 19 what has been since the boot (0 under-voltage, 1 frequency capped, 2 throttled,
// 3 soft temperature limit). Debian's have it not.
func (m *Machine) firmware(sys string) {
	paths, _ := filepath.Glob(filepath.Join(sys, "devices/platform/soc*/soc*:firmware/get_throttled"))
	if len(paths) == 0 {
		return
	}
	bits, err := strconv.ParseUint(strings.TrimPrefix(line(filepath.Dir(paths[0]), "get_throttled"), "0x"), 16, 32)
	if err != nil {
		return
	}
	now, seen := bits&1 != 0, bits>>16&1 != 0
	m.UnderVoltage, m.UnderVoltageSeen = &now, &seen
	m.Throttled = []Throttle{{"undervoltage", bits&1 != 0 && bits&6 != 0}, {"limit", bits>>1&1 != 0}, {"heat", bits>>3&1 != 0 || bits>>2&1 != 0 && bits&1 == 0}}
}

// lowVoltage reads the driver raspberrypi-hwmon, whose device is called rpi_volt.
func lowVoltage(sys string) *bool {
	for _, dir := range numbered(sys, "class/hwmon/hwmon*") {
		if line(dir, "name") != "rpi_volt" {
			continue
		}
		switch line(dir, "in0_lcrit_alarm") {
		case "0":
			return new(bool)
		case "1":
			on := true
			return &on
		}
	}
	return nil
}

// hot reports whether a thermal zone slows the processor down. Only a zone that is bound to the
// processor's frequency can show it; the Pis' are not.
func hot(sys string) (on, ok bool) {
	links, _ := filepath.Glob(filepath.Join(sys, "class/thermal/thermal_zone*/cdev[0-9]*"))
	for _, dir := range links {
		kind := line(dir, "type")
		if !strings.HasPrefix(kind, "cpufreq") && !strings.HasPrefix(kind, "thermal-cpufreq") && !strings.HasPrefix(kind, "cpu-freq") {
			continue
		}
		if state, err := strconv.Atoi(line(dir, "cur_state")); err == nil {
			on, ok = on || state > 0, true
		}
	}
	return on, ok
}

// wear reads an eMMC's own report. SD cards and USB sticks have none; an NVMe disk only
// answers commands.
func wear(sys string) []Wear {
	var list []Wear
	for _, dir := range numbered(sys, "block/mmcblk*") {
		if strings.Contains(filepath.Base(dir), "boot") {
			continue
		}
		w := Wear{Device: filepath.Base(dir)}
		for i, f := range strings.Fields(line(dir, "device/life_time")) {
			// 1 is 0 to 10 per cent used, 10 is 90 to 100, 11 is beyond; 0 is not defined.
			if n, err := strconv.ParseUint(strings.TrimPrefix(f, "0x"), 16, 8); err == nil && n >= 1 && n <= 11 && i < 2 {
				w.Life = append(w.Life, Life{[]string{"a", "b"}[i], int(n) * 10})
			}
		}
		if n, err := strconv.ParseUint(strings.TrimPrefix(line(dir, "device/pre_eol_info"), "0x"), 16, 8); err == nil && n <= 3 {
			w.PreEOL = int(n)
		}
		if len(w.Life) > 0 || w.PreEOL > 0 {
			list = append(list, w)
		}
	}
	return list
}

// line is the content of a small file, empty if there is none.
func line(dir, name string) string {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// Resident is the resident memory of this process in bytes, 0 if the kernel does not report it.
func Resident() int64 {
	f := strings.Fields(line("/proc/self", "statm"))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
