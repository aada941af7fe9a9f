package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	reservedSectors = 32
	fatStep         = 4 // sectors by which a FAT grows
	backupSector    = 6
	infoSector      = 1
	maxClusters     = 0x0FFFFFF5 - 2
	endOfChain      = 0x0FFFFFFF
	media           = 0xF8
	rootCluster     = 2
)

// Write writes the volume at offset 0 of w, which must read as zeros: blocks of zeros are not
// written. Errors are those of Plan, of Open, of a reader that returns more or less than its size,
// and of w. The same volume gives the same bytes.
func (v *Volume) Write(w io.WriterAt) error {
	l, err := v.plan()
	if err != nil {
		return err
	}
	out := sparse{w}
	boot, info := l.bootSector(), l.infoSector()
	for _, at := range []int64{0, backupSector} {
		if err := out.write(boot, at*SectorSize); err != nil {
			return err
		}
		if err := out.write(info, (at+infoSector)*SectorSize); err != nil {
			return err
		}
	}
	table := l.table()
	for i := range int64(2) {
		if err := out.write(table, (reservedSectors+i*int64(l.fatSectors))*SectorSize); err != nil {
			return err
		}
	}
	for _, d := range l.dirs {
		if err := out.write(d.marshal(l.label), l.offset(d.first)); err != nil {
			return err
		}
	}
	buf := make([]byte, 1<<20)
	for _, n := range l.files {
		if err := out.file(n, l, buf); err != nil {
			return fmt.Errorf("FAT: %s: %w", n.file.Path, err)
		}
	}
	return nil
}

// bootSector is sector 0 and its copy (specification, sections 3.1 and 3.3).
func (l *layout) bootSector() []byte {
	b := make([]byte, SectorSize)
	le := binary.LittleEndian
	copy(b, "\xEB\x58\x90MSWIN4.1") // the name that the specification calls the safest
	le.PutUint16(b[11:], SectorSize)
	b[13] = byte(l.cluster / SectorSize)
	le.PutUint16(b[14:], reservedSectors)
	b[16] = 2 // FATs
	b[21] = media
	le.PutUint16(b[24:], 63)
	le.PutUint16(b[26:], 255)
	le.PutUint32(b[28:], l.v.Start)
	le.PutUint32(b[32:], uint32(l.v.Size/SectorSize))
	le.PutUint32(b[36:], l.fatSectors)
	le.PutUint32(b[44:], rootCluster)
	le.PutUint16(b[48:], infoSector)
	le.PutUint16(b[50:], backupSector)
	b[64] = 0x80 // drive
	b[66] = 0x29 // the next three fields are there
	le.PutUint32(b[67:], l.v.ID)
	copy(b[71:82], "NO NAME    ")
	if l.v.Label != "" {
		copy(b[71:82], l.label[:])
	}
	copy(b[82:90], "FAT32   ")
	copy(b[90:], "\xF4\xEB\xFD") // hlt; jmp: nothing to boot here
	b[510], b[511] = 0x55, 0xAA
	return b
}

// infoSector is FSInfo (section 5): free clusters and where to look for the next one.
func (l *layout) infoSector() []byte {
	b := make([]byte, SectorSize)
	le := binary.LittleEndian
	le.PutUint32(b, 0x41615252)
	le.PutUint32(b[484:], 0x61417272)
	le.PutUint32(b[488:], l.clusters-l.used)
	le.PutUint32(b[492:], l.last)
	le.PutUint32(b[508:], 0xAA550000)
	return b
}

// table is the FAT up to the last entry in use.
func (l *layout) table() []byte {
	b := make([]byte, 4*(int64(l.last)+1))
	le := binary.LittleEndian
	le.PutUint32(b, 0x0FFFFF00|media)
	le.PutUint32(b[4:], endOfChain) // cleanly unmounted, no errors
	chain := func(n *node) {
		for c := n.first; c < n.first+n.count; c++ {
			next := c + 1
			if next == n.first+n.count {
				next = endOfChain
			}
			le.PutUint32(b[4*int64(c):], next)
		}
	}
	for _, d := range l.dirs {
		chain(d.node)
	}
	for _, n := range l.files {
		chain(n)
	}
	return b
}

// sparse writes all but zeros.
type sparse struct{ w io.WriterAt }

// write writes b at offset off, leaving out aligned runs of 4 KiB of zeros.
func (s sparse) write(b []byte, off int64) error {
	for start := 0; start < len(b); {
		end := start
		for end < len(b) { // extend the run of blocks that are not zero
			next := min(end+Align-int((off+int64(end))%Align), len(b))
			if zero(b[end:next]) {
				break
			}
			end = next
		}
		if end > start {
			if _, err := s.w.WriteAt(b[start:end], off+int64(start)); err != nil {
				return err
			}
		}
		start = end
		if start < len(b) {
			start = min(start+Align-int((off+int64(start))%Align), len(b))
		}
	}
	return nil
}

func zero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// file copies one file's content to its place.
func (s sparse) file(n *node, l *layout, buf []byte) error {
	r, err := n.file.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	size, at := n.file.Size, int64(0)
	for at < size {
		want := min(int64(len(buf)), size-at)
		got, err := io.ReadFull(r, buf[:want])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if int64(got) < want {
			return fmt.Errorf("content ends after %d of %d bytes", at+int64(got), size)
		}
		if err := s.write(buf[:want], l.offset(n.first)+at); err != nil {
			return err
		}
		at += want
	}
	switch got, err := io.ReadFull(r, buf[:1]); {
	case got > 0:
		return fmt.Errorf("content goes on after its %d bytes", size)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}
