package image

import (
	"os"

	"imgbuild/builder/bmap"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/ext4"
	"imgbuild/init/contract/fat"
)

// mapped are the parts of the disk that have to be written to a card whatever was on it, as the
// formats themselves report them, never as the holes of a file do: zeros may matter. Next to what
// has content these are everything before BOOT, for an older boot record would count, and the
// beginnings of the spare BOOT and of slot B, for an older system there would be taken for whole.
func mapped(boot *fat.Volume, slot fat.Extent, o ext4.Options, entries []ext4.Entry) ([]bmap.Range, error) {
	b, err := boot.Mapped()
	if err != nil {
		return nil, err
	}
	parts := []bmap.Range{{Start: 0, End: bootStart}, {Start: diskmap.Spare, End: diskmap.Spare + mib}, {Start: slotBStart, End: slotBStart + mib},
		{Start: bootStart + b.Offset, End: bootStart + b.Offset + b.Size}, {Start: slotAStart + slot.Offset, End: slotAStart + slot.Offset + slot.Size}}
	data, err := ext4.Mapped(o, entries)
	if err != nil {
		return nil, err
	}
	for _, e := range data {
		parts = append(parts, bmap.Range{Start: dataStart + e.Offset, End: dataStart + e.Offset + e.Size})
	}
	return bmap.Ranges(parts, dataStart+o.Size), nil
}

// blockMap writes the map of the finished disk.
func (b *build) blockMap() error {
	f, err := os.Open(b.path("disk.img"))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	m, err := bmap.Make(f, info.Size(), b.mapped)
	if err != nil {
		return err
	}
	b.result.Mapped = m.Mapped()
	return os.WriteFile(b.path("disk.img.bmap"), m.Marshal(), 0o644)
}
