package preinit

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
)

// Compatible reads the compatibles of the machine from its device tree below proc (/proc); none
// without a device tree.
func Compatible(proc string) []string {
	data, err := os.ReadFile(filepath.Join(proc, "device-tree/compatible"))
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(data), func(r rune) bool { return r == 0 })
}

// Model is the machine's name as its device tree gives it, or "unknown machine".
func Model(proc string) string {
	data, err := os.ReadFile(filepath.Join(proc, "device-tree/model"))
	if s := string(bytes.TrimRight(data, "\x00\n ")); err == nil && s != "" {
		return s
	}
	return "unknown machine"
}

// Memory is the RAM that the kernel has, in bytes: MemTotal of /proc/meminfo; 0 if it cannot be
// read.
func Memory(proc string) int64 {
	data, _ := os.ReadFile(filepath.Join(proc, "meminfo"))
	for _, line := range strings.Split(string(data), "\n") {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// checkBoard reports whether the slot is made for this machine.
func checkBoard(m *manifest.Manifest, compatible []string, model string) error {
	if m.Fits(compatible) {
		return nil
	}
	return fault.New(fault.Input, "write an image to the card that was built for this board (imgbuild boards lists them)",
		"this card is for %s (%s), but the machine is %s (%s)", m.Family, strings.Join(m.Compatible, ", "), model, strings.Join(compatible, ", "))
}

// EnoughMemory reports whether the machine has the memory that the slot's roles need. The kernel
// and the firmware keep up to a seventh of the memory to themselves, which MemTotal does not count.
func EnoughMemory(m *manifest.Manifest, have int64) error {
	if have == 0 || have >= m.MinMemory-m.MinMemory/7 {
		return nil
	}
	return fault.New(fault.Input, "use a board with more memory, or another role",
		"the roles of this image need %d MiB of memory, this machine has %d MiB", m.MinMemory>>20, have>>20)
}
