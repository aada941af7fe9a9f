package main

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Entry is one thing that happened to the disk, in the order in which it was over.
type Entry struct {
	Offset, Size int64 // of a write, bytes on the disk; of a flush 0
	At           int64 // where its data begin in the log's file
	Flush        bool  // everything before is on the medium, the entry's own data not yet
	FUA          bool  // the entry's own data are on the medium
}

// The form of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst,
// drivers/md/dm-log-writes.c), which QEMU's blklogwrites writes as well: sector 0 is the head, then
// entries, each one sector followed by its data.
const (
	logMagic   = 0x6a736677736872
	logVersion = 1

	flagFlush   = 1
	flagFUA     = 2
	flagDiscard = 4
	flagMark    = 8
)

// maxEntries bounds what a damaged head can ask for.
const maxEntries = 1 << 24

// ReadLog reads the entries of a log of size bytes. Errors: another form, an entry that ends after
// the log, a discard, whose effect on the disk is not defined.
func ReadLog(r io.ReaderAt, size int64) ([]Entry, error) {
	head := make([]byte, 32)
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("write log: %w", err)
	}
	le := binary.LittleEndian
	magic, version, count, unit := le.Uint64(head), le.Uint64(head[8:]), le.Uint64(head[16:]), int64(le.Uint32(head[24:]))
	if magic != logMagic || version != logVersion {
		return nil, fmt.Errorf("write log: magic %#x, version %d: this is not a log of writes", magic, version)
	}
	if unit < 512 || unit > 1<<16 || unit&(unit-1) != 0 || count > maxEntries {
		return nil, fmt.Errorf("write log: sectors of %d bytes, %d entries", unit, count)
	}
	var entries []Entry
	at := unit
	for i := range count {
		if _, err := r.ReadAt(head, at); err != nil {
			return nil, fmt.Errorf("write log: entry %d of %d: %w", i, count, err)
		}
		at += unit
		sector, sectors, flags, length := le.Uint64(head), le.Uint64(head[8:]), le.Uint64(head[16:]), le.Uint64(head[24:])
		switch {
		case flags&flagDiscard != 0:
			return nil, fmt.Errorf("write log: entry %d discards", i)
		case flags&flagMark != 0:
			at += (int64(length) + unit - 1) / unit * unit
			continue
		case sector > 1<<40 || sectors > 1<<30:
			return nil, fmt.Errorf("write log: entry %d is about sector %d and %d more", i, sector, sectors)
		}
		e := Entry{Offset: int64(sector) * unit, Size: int64(sectors) * unit, At: at, Flush: flags&flagFlush != 0, FUA: flags&flagFUA != 0}
		at += e.Size
		if at > size+unit {
			return nil, fmt.Errorf("write log: entry %d ends at %d of %d", i, at, size)
		}
		entries = append(entries, e)
	}
	return entries, nil
}
