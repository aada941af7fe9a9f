// Package diskmap is where everything is on a node's disk: the one table of what docs/disk.md
// describes. Every flashed card has these offsets, so they never change.
package diskmap

const mib = 1 << 20

// Offsets and sizes in bytes, from the start of the disk.
const (
	Record0  = 4 * mib  // the boot record, one copy
	Record1  = 12 * mib // and the other
	Boot     = 16 * mib
	Spare    = 128 * mib // the second BOOT, reserved for firmware upgrades
	BootSize = 112 * mib // of either
	SlotA    = 240 * mib
	SlotB    = 880 * mib
	SlotSize = 640 * mib
	Data     = 1520 * mib // to the end of the disk
)

// Erase is what a card may lose at once when the power fails: areas that are written at different
// times never share one.
const Erase = 4 * mib

// The types of the partitions in the MBR.
const (
	TypeBoot = 0x0c // FAT32
	TypeSlot = 0x1c // a hidden FAT32: desktops leave the slots alone
	TypeData = 0x83 // Linux
)

// DataLabel is the label of the data partition's file system, which is k3OS's name for it.
const DataLabel = "K3OS_STATE"
