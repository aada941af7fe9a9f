package upgrade

import (
	"bytes"
	"io"
	"os"

	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/firmware"
	"imgbuild/init/contract/mbr"
)

// SwapCard makes the other BOOT of a disk the one that boots, if it is one.
func SwapCard(name string) (firmware.Place, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return 0, fault.Wrap(err, fault.Input, "give the card's device, such as /dev/sdb, or an image", "")
	}
	defer f.Close()
	sector := make([]byte, mbr.SectorSize)
	if _, err := f.ReadAt(sector, 0); err != nil {
		return 0, err
	}
	at, err := firmware.Booted(sector)
	if err != nil {
		return 0, err
	}
	to := at.Other()
	if _, err := fatfile.ReadFile(io.NewSectionReader(f, int64(to), diskmap.BootSize), firmware.Script); err != nil {
		return 0, fault.Wrap(err, fault.Input, "write the card again", "there is no other firmware on it, nothing was changed")
	}
	swapped, err := firmware.Swap(sector)
	if err != nil {
		return 0, err
	}
	if _, err := f.WriteAt(swapped, 0); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	if _, err := f.ReadAt(sector, 0); err != nil || !bytes.Equal(sector, swapped) {
		return 0, fault.Wrap(err, fault.Device, "replace the card", "it does not return what was written")
	}
	return to, nil
}
