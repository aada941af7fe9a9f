package image

// Where everything is on the disk, in bytes. Frozen by the first flashed card: docs/disk.md.
const (
	mib = 1 << 20

	bootStart  = 16 * mib
	bootSize   = 112 * mib
	spareStart = 128 * mib // the second BOOT, reserved for firmware upgrades
	slotAStart = 240 * mib
	slotSize   = 640 * mib
	slotBStart = 880 * mib
	dataStart  = 1520 * mib
	dataSize   = 256 * mib // as flashed; the first boot lets it grow to the end of the disk
	dataMax    = 2 << 40   // that it can grow to
	dataSpare  = 64 * mib  // that a node with data of its own has left before its first growth

	sector      = 512
	slotCluster = 4096
	bootCluster = 1024 // 112 MiB need small clusters to be FAT32
	journalSize = 64 * mib
	slotFull    = 75 // percent; a build that fills more of its slot fails, because the next one will be larger
	reportSize  = 64 << 10
	typeFAT     = 0x0c
	typeHidden  = 0x1c // a hidden FAT: desktops leave the slots alone
	typeLinux   = 0x83
	dataLabel   = "K3OS_STATE" // k3OS's name for it
	bootLabel   = "BOOT"
	slotLabel   = "SLOT"
	blockSize   = 256 << 10 // of the squashfs
)
