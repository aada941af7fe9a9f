package disk

import "strings"

// Kind is what a block device is by its name in /sys/class/block.
type Kind int

// The kinds of block devices.
const (
	Plain    Kind = iota // a disk or card, or a partition of one
	Virtual              // memory, a file, a mapping, the network, raw flash: no disk of the machine
	Optical              // a drive for discs
	Array                // several disks as one
	BootArea             // of an eMMC, for firmware
)

// KindOf returns the kind of a device such as mmcblk0.
func KindOf(name string) Kind {
	for prefix, kind := range map[string]Kind{
		"loop": Virtual, "ram": Virtual, "zram": Virtual, "dm-": Virtual, "nbd": Virtual, "mtd": Virtual, "sr": Optical, "md": Array,
	} {
		if strings.HasPrefix(name, prefix) {
			return kind
		}
	}
	if strings.HasPrefix(name, "mmcblk") && strings.Contains(name, "boot") { // mmcblk0boot0
		return BootArea
	}
	return Plain
}
