package image

import (
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/firmware"
)

// Sizes in bytes. Where the parts of a disk are is the table of package diskmap.
const (
	mib = 1 << 20

	bootStart  = diskmap.Boot
	bootSize   = diskmap.BootSize
	slotAStart = diskmap.SlotA
	slotSize   = diskmap.SlotSize
	slotBStart = diskmap.SlotB
	dataStart  = diskmap.Data
	dataSize   = 256 * mib // as flashed; the first boot lets it grow to the end of the disk
	dataMax    = 2 << 40   // that it can grow to
	dataSpare  = 64 * mib  // that a node with data of its own has left before its first growth

	sector      = 512
	slotCluster = 4096
	bootCluster = firmware.ClusterSize
	journalSize = 64 * mib
	slotFull    = 75 // percent; a build that fills more of its slot fails, because the next one will be larger
	reportSize  = 64 << 10
	bootLabel   = firmware.Label
	slotLabel   = "SLOT"
	blockSize   = 256 << 10 // of the squashfs
)
