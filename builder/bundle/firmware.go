package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"imgbuild/boards"
	"imgbuild/builder/ubootscript"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/firmware"
	"imgbuild/init/contract/mbr"
)

// Firmware is the part of BOOT that belongs to the board: its files, and their contents one after
// the other.
type Firmware struct {
	Files []firmware.File
	Data  []byte
}

func (f *Firmware) files() []firmware.File {
	if f == nil {
		return nil
	}
	return f.Files
}

func (f *Firmware) add(name, board string, data []byte) {
	sum := sha256.Sum256(data)
	f.Files = append(f.Files, firmware.File{Path: name, Board: board, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])})
	f.Data = append(f.Data, data...)
}

// FirmwareOfDisk reads the files of the board out of a disk's BOOT. The boot script is for one
// board; that of the others of its family is made of it.
func FirmwareOfDisk(disk io.ReaderAt) (*Firmware, error) {
	first := make([]byte, mbr.SectorSize)
	if _, err := disk.ReadAt(first, 0); err != nil {
		return nil, fault.Wrap(err, fault.Device, "", "the partition table")
	}
	at, err := firmware.Booted(first)
	if err != nil {
		return nil, err
	}
	boot := io.NewSectionReader(disk, int64(at), diskmap.BootSize)
	names, err := fatfile.Names(boot)
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "give an image that imgbuild has made", "BOOT")
	}
	slices.Sort(names)
	f := &Firmware{}
	for _, name := range names {
		if firmware.User(name) {
			continue
		}
		data, err := fatfile.ReadFile(boot, name)
		if err != nil {
			return nil, fault.Wrap(err, fault.Input, "give an image that imgbuild has made", "BOOT")
		}
		if len(data) == 0 {
			continue
		}
		if name != firmware.Script {
			f.add(name, "", data)
			continue
		}
		scripts, err := scriptsFor(data)
		if err != nil {
			return nil, fault.Wrap(err, fault.Input, "give an image that imgbuild has made", "BOOT")
		}
		for _, s := range scripts {
			f.add(name, s.board, s.data)
		}
	}
	if err := firmware.Check(f.Files); err != nil {
		return nil, fault.Wrap(err, fault.Input, "give an image that imgbuild has made", "BOOT")
	}
	return f, nil
}

var boardWord = regexp.MustCompile(`shelf\.board=([A-Za-z0-9_.-]+)`)

type boardScript struct {
	board string
	data  []byte
}

// scriptsFor makes the boot scripts of all boards of a family out of that of one: a script differs
// by the board's name only.
func scriptsFor(image []byte) ([]boardScript, error) {
	text, date, err := ubootscript.Parse(image)
	if err != nil {
		return nil, err
	}
	m := boardWord.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("%s names no board", firmware.Script)
	}
	own := m[1]
	_, family, err := boards.Get(own)
	if err != nil {
		return nil, err
	}
	if family == nil {
		return []boardScript{{own, image}}, nil
	}
	var list []boardScript
	for _, b := range boards.Of(family.Name) {
		other := strings.NewReplacer("shelf.board="+own, "shelf.board="+b.Name, "ShelfOS, for "+own+"\n", "ShelfOS, for "+b.Name+"\n").Replace(text)
		list = append(list, boardScript{b.Name, ubootscript.Image(other, date)})
	}
	return list, nil
}

// firmwareOf returns the firmware of an image or a bundle; nil where a bundle has none. had is the
// manifest of the bundle.
func firmwareOf(ctx context.Context, name string, had *bundle.Manifest) (*Firmware, error) {
	if had == nil {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return FirmwareOfDisk(f)
	}
	if had.Firmware == nil {
		return nil, nil
	}
	o, err := OpenOffer(name)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	b := &bundle.Bundle{Source: File{o.file}, Header: o.Header, Manifest: had}
	made := &Firmware{Files: had.Firmware}
	var at int64
	for _, f := range had.Firmware {
		data, err := b.FirmwareFile(ctx, firmware.Placed{File: f, Off: at})
		if err != nil {
			return nil, err
		}
		made.Data, at = append(made.Data, data...), at+f.Size
	}
	return made, nil
}
