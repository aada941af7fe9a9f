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
func mapped(boot, slot *fat.Volume, o ext4.Options, entries []ext4.Entry) ([]bmap.Range, error) {
	parts := []bmap.Range{{Start: 0, End: bootStart}, {Start: diskmap.Spare, End: diskmap.Spare + mib}, {Start: slotBStart, End: slotBStart + mib}}
	for _, v := range []struct {
		volume *fat.Volume
		start  int64
	}{{boot, bootStart}, {slot, slotAStart}} {
		e, err := v.volume.Mapped()
		if err != nil {
			return nil, err
		}
		parts = append(parts, bmap.Range{Start: v.start + e.Offset, End: v.start + e.Offset + e.Size})
	}
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
