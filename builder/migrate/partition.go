package migrate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"imgbuild/init/contract/mbr"
)

// partition is a part of a disk, in bytes.
type partition struct {
	name        string
	start, size int64
}

const (
	protective  = 0xEE
	extended    = 0x05
	extendedLBA = 0x0F
	maxLogical  = 60
	maxEntries  = 1024
)

// partitions lists the partitions of a disk of size bytes and 512-byte sectors: of its GPT, else of
// its MBR with the logical ones. A disk that begins with an ext superblock is one partition. Those
// that are not on the disk are left out.
func partitions(r io.ReaderAt, size int64) ([]partition, error) {
	whole := partition{"the whole of it", 0, size}
	magic := make([]byte, 2)
	if _, err := r.ReadAt(magic, 1024+0x38); err == nil && magic[0] == 0x53 && magic[1] == 0xEF {
		return []partition{whole}, nil
	}
	sector := make([]byte, mbr.SectorSize)
	if _, err := r.ReadAt(sector, 0); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is too small to be a card")
		}
		return nil, err
	}
	table, err := mbr.Parse(sector)
	if errors.Is(err, mbr.ErrNoTable) {
		return []partition{whole}, nil
	}
	if err != nil {
		return nil, err
	}
	var list []partition
	add := func(name string, start, sectors uint64) {
		if start < uint64(size)/512 && sectors > 0 {
			// A card may have been copied to a smaller one; what is missing then is reported when
			// it is read.
			list = append(list, partition{name, int64(start) * 512, int64(min(sectors, uint64(size)/512-start)) * 512})
		}
	}
	for i, p := range table.Partitions {
		name := fmt.Sprintf("partition %d", i+1)
		switch p.Type {
		case 0:
		case protective:
			return gpt(r, size, add, &list)
		case extended, extendedLBA:
			if err := logical(r, uint64(p.Start), add); err != nil {
				return nil, err
			}
		default:
			add(name, uint64(p.Start), uint64(p.Sectors))
		}
	}
	return list, nil
}

// logical walks the chain of an extended partition: each link has one partition and, relative to
// the first, the next link.
func logical(r io.ReaderAt, first uint64, add func(string, uint64, uint64)) error {
	sector := make([]byte, 512)
	at := first
	for n := range maxLogical {
		if _, err := r.ReadAt(sector, int64(at)*512); err != nil || sector[510] != 0x55 || sector[511] != 0xAA {
			return nil // the chain ends in nothing: what came before counts
		}
		le := binary.LittleEndian
		own, next := sector[446:462], sector[462:478]
		if own[4] != 0 {
			add(fmt.Sprintf("partition %d", n+5), at+uint64(le.Uint32(own[8:])), uint64(le.Uint32(own[12:])))
		}
		if next[4] == 0 {
			return nil
		}
		at = first + uint64(le.Uint32(next[8:]))
	}
	return nil
}

// gpt reads the GUID partition table after the MBR, or the copy at the disk's end; see the UEFI
// specification, chapter 5.3.
func gpt(r io.ReaderAt, size int64, add func(string, uint64, uint64), list *[]partition) ([]partition, error) {
	var last error
	for _, at := range []int64{512, size/512*512 - 512} {
		h := make([]byte, 512)
		if _, err := r.ReadAt(h, at); err != nil {
			return nil, err
		}
		le := binary.LittleEndian
		length, count, each := le.Uint32(h[12:]), le.Uint32(h[80:]), le.Uint32(h[84:])
		start := le.Uint64(h[72:])
		switch {
		case string(h[:8]) != "EFI PART" || length < 92 || length > 512:
			last = errors.New("the GPT has no header")
			continue
		case count > maxEntries || each < 128 || each > 4096 || start >= uint64(size)/512:
			last = errors.New("the GPT's header cannot be")
			continue
		}
		want := le.Uint32(h[16:])
		clear(h[16:20])
		entries := make([]byte, count*each)
		if _, err := r.ReadAt(entries, int64(start)*512); err != nil || crc32.ChecksumIEEE(h[:length]) != want || crc32.ChecksumIEEE(entries) != le.Uint32(h[88:]) {
			last = errors.New("the GPT's checksums are wrong")
			continue
		}
		for i := range count {
			e := entries[i*each:]
			from, to := le.Uint64(e[32:]), le.Uint64(e[40:])
			if [16]byte(e[:16]) != [16]byte{} && to >= from && to < 1<<54 {
				add(fmt.Sprintf("partition %d", i+1), from, to-from+1)
			}
		}
		return *list, nil
	}
	return nil, last
}
