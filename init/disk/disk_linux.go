// Package disk is the disk that the node runs from: finding it, its partition table, its size, and
// the one change that is ever made to sector 0.
package disk

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"unsafe"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mbr"

	"golang.org/x/sys/unix"
)

// Disk is a whole disk with a partition table.
type Disk struct {
	Name    string // as in /sys/block: mmcblk0, sda, vda
	Path    string // its node
	Sectors uint64 // of 512 bytes
	Table   mbr.Table
	sys     string // /sys/block/NAME
	dev     string
}

// Find looks for the disk that has a partition of this PARTUUID (8 hex digits, a dash, a number),
// below sys and dev. It returns nil without an error if the disk is not there (yet); more than one
// disk gives the first by name and all names.
func Find(sys, dev, partuuid string) (*Disk, []string, error) {
	want, n, err := mbr.ParsePartUUID(partuuid)
	if err != nil || n > 4 {
		return nil, nil, fault.New(fault.Input, "boot through the card's own boot script",
			"shelf.disk=%q on the kernel's command line is not a partition of an MBR disk such as 1a2b3c4d-01", partuuid)
	}
	entries, _ := os.ReadDir(filepath.Join(sys, "block"))
	var found []*Disk
	var names []string
	for _, e := range entries {
		if KindOf(e.Name()) != Plain {
			continue
		}
		d, err := Open(sys, dev, e.Name())
		if err != nil || d.Table.Signature != want {
			continue
		}
		found = append(found, d)
		names = append(names, d.Name)
	}
	if len(found) == 0 {
		return nil, nil, nil
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	return found[0], names, nil
}

// Open reads the table of one disk.
func Open(sys, dev, name string) (*Disk, error) {
	d := &Disk{Name: name, Path: filepath.Join(dev, name), sys: filepath.Join(sys, "block", name), dev: dev}
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sector := make([]byte, mbr.SectorSize)
	if _, err := f.ReadAt(sector, 0); err != nil {
		return nil, err
	}
	if d.Table, err = mbr.Decode(sector); err != nil {
		return nil, fmt.Errorf("%s: %w", d.Path, err)
	}
	d.Sectors, err = number(filepath.Join(d.sys, "size"))
	return d, err
}

// Partition returns the node of partition n, 1 to 4, or "" while the kernel has none.
func (d *Disk) Partition(n int) string {
	entries, _ := os.ReadDir(d.sys)
	for _, e := range entries {
		if got, err := number(filepath.Join(d.sys, e.Name(), "partition")); err == nil && got == uint64(n) {
			if path := filepath.Join(d.dev, e.Name()); exists(path) {
				return path
			}
		}
	}
	return ""
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// Check returns what makes the disk unfit to run from: sectors that are not of 512 bytes, or a disk
// that is smaller than its boot partition and slots.
func (d *Disk) Check() error {
	if n, err := number(filepath.Join(d.sys, "queue/logical_block_size")); err == nil && n != mbr.SectorSize {
		return fault.New(fault.Device, "use a disk with sectors of 512 bytes (nearly every card and USB disk has them)",
			"the disk %s has sectors of %d bytes", d.Name, n)
	}
	var end uint64
	for _, p := range d.Table.Partitions[:SlotB] {
		end = max(end, p.End())
	}
	return d.reaches(end)
}

// CheckData returns what keeps partition 4 from being used: it is not there, or the disk ends
// before it does.
func (d *Disk) CheckData() error {
	if d.Table.Partitions[Data-1].Sectors == 0 || d.Partition(Data) == "" {
		return fault.New(fault.Device, "", "the disk %s has no partition 4, which is the data partition", d.Name)
	}
	return d.reaches(d.Table.Partitions[Data-1].End())
}

// reaches returns an error when the disk ends before sector end.
func (d *Disk) reaches(end uint64) error {
	if end <= d.Sectors {
		return nil
	}
	return fault.New(fault.Device, fmt.Sprintf("use a card of at least %d MB, or write the image again if it was cut short", (end*mbr.SectorSize+999_999)/1_000_000),
		"the partitions end at %d MiB, but the disk %s has only %d MiB", end>>11, d.Name, d.Sectors>>11)
}

// GrowData makes partition 4 reach to the end of the disk, in the table and in the kernel, and
// reports whether it changed anything. It may be done at every boot. The write of sector 0 is the
// one exception from the rule that areas of 4 MiB have one writer: it happens once in the life of a
// card, before anything of value is on it.
func (d *Disk) GrowData() (bool, error) {
	f, err := os.OpenFile(d.Path, os.O_RDWR|unix.O_SYNC, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sector := make([]byte, mbr.SectorSize)
	if _, err := f.ReadAt(sector, 0); err != nil {
		return false, err
	}
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return false, err
	}
	signature := binary.LittleEndian.Uint32(random[:])
	if signature == 0 {
		signature = 1 // 0 means that there is none
	}
	grown, err := mbr.Grow(sector, Data, d.Sectors, align, signature)
	if err != nil {
		return false, err
	}
	if grown != nil {
		if _, err := f.WriteAt(grown, 0); err != nil {
			return false, fmt.Errorf("writing the partition table of %s: %w", d.Path, err)
		}
		if err := f.Sync(); err != nil {
			return false, fmt.Errorf("writing the partition table of %s: %w", d.Path, err)
		}
		if d.Table, err = mbr.Decode(grown); err != nil {
			return false, err
		}
	}
	p := d.Table.Partitions[Data-1]
	now, err := number(filepath.Join(d.sys, filepath.Base(d.Partition(Data)), "size"))
	if err == nil && now == uint64(p.Sectors) {
		return grown != nil, nil
	}
	return true, announce(f, resizePartition, Data, int64(p.Start)*mbr.SectorSize, int64(p.Sectors)*mbr.SectorSize)
}

// RestoreData puts a lost or too long partition 4 back into the table and informs the kernel; see
// Restore. Nothing is written if there is nothing wrong with it.
func (d *Disk) RestoreData() error {
	f, err := os.OpenFile(d.Path, os.O_RDWR|unix.O_SYNC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	sector := make([]byte, mbr.SectorSize)
	if _, err := f.ReadAt(sector, 0); err != nil {
		return err
	}
	whole, err := Restore(sector, d.Sectors)
	if err != nil || whole == nil {
		return err
	}
	if _, err = f.WriteAt(whole, 0); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("writing the partition table of %s: %w", d.Path, err)
	}
	if d.Table, err = mbr.Decode(whole); err != nil {
		return err
	}
	p, order := d.Table.Partitions[Data-1], int32(addPartition)
	if d.Partition(Data) != "" {
		order = resizePartition
	}
	return announce(f, order, Data, int64(p.Start)*mbr.SectorSize, int64(p.Sectors)*mbr.SectorSize)
}

// The kernel's structure for a partition; see linux/blkpg.h.
const (
	addPartition    = 1
	resizePartition = 3
)

// announce informs the kernel of a new partition, or the new length of one that may be in use.
func announce(f *os.File, order, n int32, start, length int64) error {
	const blkpg = 0x1269
	part := struct {
		start, length int64
		pno           int32
		devname       [64]byte
		volname       [64]byte
		_             [4]byte
	}{start: start, length: length, pno: n}
	arg := struct {
		op, flags, datalen int32
		data               unsafe.Pointer
	}{op: order, datalen: int32(unsafe.Sizeof(part)), data: unsafe.Pointer(&part)}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), blkpg, uintptr(unsafe.Pointer(&arg))); e != 0 {
		return fmt.Errorf("announcing partition %d to the kernel: %w", n, e)
	}
	return nil
}

func number(path string) (uint64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
}
