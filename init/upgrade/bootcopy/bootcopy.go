// Package bootcopy upgrades the firmware of a node: it writes a new BOOT to the place of the disk
// that does not boot, with the user's files of the one that does, and makes it the one that boots
// by a write of one sector, the partition table. The old BOOT stays, for the way back.
//
// Nothing is written before everything was read and checked. Until the last write the old BOOT
// boots; the new one is whole, flushed and read back before.
package bootcopy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fat"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/firmware"
	"imgbuild/init/contract/mbr"
	"imgbuild/init/upgrade/slot"
)

// Content is a file of a BOOT in memory.
type Content struct {
	Path string
	Data []byte
}

// Result is what an upgrade or the way back has done.
type Result struct {
	Same    bool           // the files are those that are there: nothing was written
	At      firmware.Place // of the BOOT that boots next
	Dropped []string       // files of the old BOOT that are neither the user's nor in the new one
}

// Booted is the place of the BOOT that boots, as the disk's sector 0 has it now.
func Booted(d slot.Device) (firmware.Place, error) {
	sector, err := table(d)
	if err != nil {
		return 0, err
	}
	return firmware.Booted(sector)
}

// swappable is Booted for a disk whose other place can be made the one that boots.
func swappable(d slot.Device) (firmware.Place, error) {
	sector, err := table(d)
	if err != nil {
		return 0, err
	}
	if _, err := firmware.Swap(sector); err != nil {
		return 0, err
	}
	return firmware.Booted(sector)
}

func table(d slot.Device) ([]byte, error) {
	sector := make([]byte, mbr.SectorSize)
	if _, err := d.Direct().ReadAt(sector, 0); err != nil {
		return nil, fault.Wrap(err, fault.Device, "", "the partition table")
	}
	return sector, nil
}

// at returns the volume of a place.
func at(d slot.Device, p firmware.Place) io.ReaderAt {
	return io.NewSectionReader(d.Direct(), int64(p), diskmap.BootSize)
}

// Upgrade makes the firmware of a bundle the one that boots next.
func Upgrade(ctx context.Context, d slot.Device, b *bundle.Bundle, board string, report func(done, total int64)) (r Result, err error) {
	list, ok := firmware.For(b.Manifest.Firmware, board)
	switch {
	case len(b.Manifest.Firmware) == 0:
		return r, fault.New(fault.Input, "build it again with this version of imgbuild", "the bundle of %s has no firmware", b.Manifest.Version)
	case !ok:
		return r, fault.New(fault.Input, "take a bundle of this board's family", "the bundle of %s has no boot script for the board %q", b.Manifest.Version, board)
	}
	from, err := swappable(d)
	if err != nil {
		return r, err
	}
	names, err := fatfile.Names(at(d, from))
	if err != nil {
		return r, fault.Wrap(err, fault.Device, "repair BOOT on a laptop", "BOOT")
	}
	files, same := []Content{}, true
	var total, done int64
	for _, f := range list {
		total += f.Size
	}
	for _, f := range list {
		data, err := b.FirmwareFile(ctx, f)
		if err != nil {
			return r, err
		}
		files = append(files, Content{f.Path, data})
		if done += f.Size; report != nil {
			report(done, total)
		}
		if now, err := fatfile.ReadFile(at(d, from), f.Path); err != nil || !bytes.Equal(now, data) {
			same = false
		}
	}
	if same {
		return Result{Same: true, At: from}, nil
	}
	own, err := users(at(d, from), names)
	if err != nil {
		return r, err
	}
	for _, name := range names {
		if !firmware.User(name) && !slices.ContainsFunc(files, func(c Content) bool { return strings.EqualFold(c.Path, name) }) {
			r.Dropped = append(r.Dropped, name)
		}
	}
	r.At = from.Other()
	if err := write(ctx, d, from, append(files, own...)); err != nil {
		return r, err
	}
	return r, swap(d, from)
}

// Back makes the other BOOT the one that boots next, with the user's files as they are now.
func Back(ctx context.Context, d slot.Device) (r Result, err error) {
	from, err := swappable(d)
	if err != nil {
		return r, err
	}
	r.At = from.Other()
	nothing := func(err error) error {
		return fault.Wrap(err, fault.Usage, "upgrade it instead: sudo shelf firmware upgrade SOURCE", "the %s place of BOOT holds no firmware to go back to", r.At)
	}
	before, err := files(at(d, r.At))
	if err != nil {
		return r, nothing(err)
	}
	if !slices.ContainsFunc(before, func(c Content) bool { return strings.EqualFold(c.Path, firmware.Script) }) {
		return r, nothing(errors.New("it has no " + firmware.Script))
	}
	names, err := fatfile.Names(at(d, from))
	if err != nil {
		return r, fault.Wrap(err, fault.Device, "repair BOOT on a laptop", "BOOT")
	}
	own, err := users(at(d, from), names)
	if err != nil {
		return r, err
	}
	if !sameUsers(before, own) {
		before = slices.DeleteFunc(before, func(c Content) bool { return firmware.User(c.Path) })
		if err := write(ctx, d, from, append(before, own...)); err != nil {
			return r, err
		}
	}
	return r, swap(d, from)
}

// sameUsers reports whether the user's files of a BOOT are these. The report does not count.
func sameUsers(list, own []Content) bool {
	count := 0
	for _, c := range list {
		if !firmware.User(c.Path) {
			continue
		}
		count++
		if !slices.ContainsFunc(own, func(o Content) bool {
			return strings.EqualFold(o.Path, c.Path) && (bytes.Equal(o.Data, c.Data) || strings.EqualFold(c.Path, "report.txt") && len(o.Data) == len(c.Data))
		}) {
			return false
		}
	}
	return count == len(own)
}

// users reads the user's files among those of a BOOT.
func users(boot io.ReaderAt, names []string) (list []Content, err error) {
	for _, name := range names {
		if !firmware.User(name) {
			continue
		}
		data, err := fatfile.ReadFile(boot, name)
		if err != nil {
			return nil, fault.Wrap(err, fault.Device, "repair BOOT on a laptop", "BOOT")
		}
		list = append(list, Content{name, data})
	}
	return list, nil
}

// files reads all files of a BOOT.
func files(boot io.ReaderAt) (list []Content, err error) {
	names, err := fatfile.Names(boot)
	if err != nil {
		return nil, err
	}
	total := 0
	for _, name := range names {
		data, err := fatfile.ReadFile(boot, name)
		if err != nil {
			return nil, err
		}
		if total += len(data); total > firmware.MaxSize {
			return nil, fmt.Errorf("its files have more than %d bytes", int64(firmware.MaxSize))
		}
		list = append(list, Content{name, data})
	}
	if len(list) == 0 {
		return nil, fs.ErrNotExist
	}
	return list, nil
}

// volume makes the BOOT of files for a place, from its first byte to the end of its last file.
func volume(list []Content, id uint32, p firmware.Place) ([]byte, error) {
	var all []fat.File
	for _, c := range list {
		all = append(all, fat.File{Path: c.Path, Size: int64(len(c.Data)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.Data)), nil }})
	}
	v := firmware.Volume(all, id, int64(p), diskmap.BootSize)
	e, err := v.Mapped()
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "remove large files from BOOT", "the new BOOT")
	}
	m := make(memory, (e.Size+slot.Sector-1)/slot.Sector*slot.Sector)
	if err := v.Write(m); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "", "the new BOOT")
	}
	return m, nil
}

// memory is written at any place inside of it.
type memory []byte

func (m memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(m)) {
		return 0, io.ErrShortWrite
	}
	return copy(m[off:], p), nil
}

// serial is the number of the volume that boots; the new one has it too.
func serial(boot io.ReaderAt) (uint32, error) {
	b := make([]byte, slot.Sector)
	if _, err := boot.ReadAt(b, 0); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b[67:]), nil
}

// write brings a BOOT to the place that does not boot. Its first sector, without which it is none,
// is zeroed first and written last.
func write(ctx context.Context, d slot.Device, from firmware.Place, list []Content) error {
	id, err := serial(at(d, from))
	if err != nil {
		return fault.Wrap(err, fault.Device, "", "BOOT")
	}
	data, err := volume(list, id, from.Other())
	if err != nil {
		return err
	}
	err = slot.WriteBytes(ctx, d, slot.Area{Start: int64(from.Other()), Size: diskmap.BootSize}, data)
	return fault.Wrap(err, fault.Device, "replace the card", "the new BOOT")
}

// swap makes the other BOOT the one that boots.
func swap(d slot.Device, from firmware.Place) error {
	sector, err := table(d)
	if err != nil {
		return err
	}
	if now, err := firmware.Booted(sector); err != nil || now != from {
		return fault.Wrap(err, fault.Device, "run it again", "the partition table has changed meanwhile")
	}
	swapped, err := firmware.Swap(sector)
	if err != nil {
		return err
	}
	if _, err = d.WriteAt(swapped, 0); err == nil {
		err = d.Flush()
	}
	if err == nil {
		if sector, err = table(d); err == nil && !bytes.Equal(sector, swapped) {
			err = slot.ErrReadBack
		}
	}
	return fault.Wrap(err, fault.Device, "replace the card: it may not boot any more", "writing the partition table")
}
