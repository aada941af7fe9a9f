package image

import "imgbuild/init/contract/diskmap"

// Area is a part of the disk.
type Area struct {
	Name  string `json:"name"`
	Start int64  `json:"start"`
	Size  int64  `json:"size"` // 0: the rest of the disk
	What  string `json:"what"`
}

// Areas lists the disk from its start to its end; docs/disk.md has more.
func Areas() []Area {
	return []Area{
		{"mbr", 0, sector, "partition table"},
		{"record 0", diskmap.Record0, sector, "which slot boots; one copy"},
		{"record 1", diskmap.Record1, sector, "the other copy"},
		{"p1 BOOT", bootStart, bootSize, "FAT32: firmware, bootloader, config.yaml, report.txt"},
		{"spare BOOT", diskmap.Spare, bootSize, "reserved for firmware upgrades"},
		{"p2 slot A", slotAStart, slotSize, "kernel, initramfs, root.squashfs, manifest"},
		{"p3 slot B", slotBStart, slotSize, "the same, of the next version"},
		{"p4 data", dataStart, 0, "ext4 " + diskmap.DataLabel + ", grows to the end of the disk"},
	}
}
