package firmware

import (
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mbr"
)

// Place is where a BOOT is.
type Place int64

// The places, in bytes from the start of the disk.
const (
	First  Place = diskmap.Boot
	Second Place = diskmap.Spare
)

// Other is the place that is not p.
func (p Place) Other() Place {
	if p == First {
		return Second
	}
	return First
}

func (p Place) String() string {
	if p == First {
		return "first"
	}
	return "second"
}

// Booted is the place that the partition table in a disk's sector 0 names. A table that is not one
// of an image is an error.
func Booted(sector []byte) (Place, error) {
	t, err := mbr.Parse(sector)
	if err != nil {
		return 0, fault.Wrap(err, fault.Device, "give a disk that imgbuild has made", "")
	}
	p := t.Partitions[0]
	at := Place(int64(p.Start) * mbr.SectorSize)
	if at != First && at != Second || p.Type != diskmap.TypeBoot || int64(p.Sectors)*mbr.SectorSize != diskmap.BootSize {
		return 0, fault.New(fault.Device, "give a disk that imgbuild has made", "partition 1 begins at sector %d and has %d sectors: it is not a BOOT", p.Start, p.Sectors)
	}
	return at, nil
}

// Swap returns sector 0 (512 bytes) with the other BOOT as partition 1. Nothing else of it changes,
// so that writing it is one sector.
func Swap(sector []byte) ([]byte, error) {
	at, err := Booted(sector)
	if err != nil {
		return nil, err
	}
	t, err := mbr.Parse(sector)
	if err != nil {
		return nil, err
	}
	p := t.Partitions[0]
	p.Start = uint32(int64(at.Other()) / mbr.SectorSize)
	out := mbr.Set(sector[:mbr.SectorSize], 1, p)
	if _, err := mbr.Parse(out); err != nil { // the other place belongs to something else
		return nil, fault.Wrap(err, fault.Device, "write the card again", "")
	}
	return out, nil
}
