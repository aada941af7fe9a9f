package ext4

import (
	"encoding/binary"
	"io"
	"sort"
	"strings"
)

// DirEntry is a name in a directory.
type DirEntry struct {
	Name  string
	Inode uint32
}

const maxDir = 256 << 20 // bytes of a directory; the kernel itself gives up at a few million names

// ReadDir returns the names of a directory without . and .., sorted. Directories with a hash tree
// are read like others: its inner blocks look like empty entries. A name that cannot be one (a
// slash or a NUL in it, twice the same) is *Damage.
func (f *Reader) ReadDir(i *Inode) ([]DirEntry, error) {
	if i.Kind != Dir || i.Size > maxDir || i.Size%f.block != 0 {
		return nil, damaged("directory %d has %d bytes", i.Number, i.Size)
	}
	var list []DirEntry
	b := make([]byte, f.block)
	r := f.Content(i)
	for n := int64(0); n < i.Size/f.block; n++ {
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		if err := f.verifyDir(i, b, n); err != nil {
			return nil, err
		}
		var err error
		if list, err = dirBlock(i, b, list); err != nil {
			return nil, err
		}
	}
	sort.Slice(list, func(a, b int) bool { return list[a].Name < list[b].Name })
	for k := 1; k < len(list); k++ {
		if list[k].Name == list[k-1].Name {
			return nil, damaged("directory %d has %q twice", i.Number, list[k].Name)
		}
	}
	return list, nil
}

// dirBlock adds the names of one block.
func dirBlock(i *Inode, b []byte, list []DirEntry) ([]DirEntry, error) {
	le := binary.LittleEndian
	for at := 0; at < len(b); {
		if at+entryHeader > len(b) {
			return nil, damaged("an entry of directory %d", i.Number)
		}
		e := b[at:]
		inode, length, name := le.Uint32(e), int(le.Uint16(e[4:])), int(e[6])
		if len(b) == 65536 && (length == 65535 || length == 0) { // what 16 bits cannot express
			length = 65536
		}
		if length < entryHeader || length%4 != 0 || at+length > len(b) || entryHeader+name > length {
			return nil, damaged("an entry of directory %d", i.Number)
		}
		at += length
		if inode == 0 {
			continue
		}
		s := string(e[entryHeader : entryHeader+name])
		if s == "." || s == ".." {
			continue
		}
		if s == "" || strings.ContainsAny(s, "/\x00") {
			return nil, damaged("directory %d has the name %q", i.Number, s)
		}
		list = append(list, DirEntry{s, inode})
	}
	return list, nil
}

// verifyDir checks the checksum of block n of a directory: in a tail that looks like an entry, or,
// in the inner blocks of a hash tree, after its last slot.
func (f *Reader) verifyDir(i *Inode, b []byte, n int64) error {
	if f.roCompt&roMetadataCsum == 0 {
		return nil
	}
	le := binary.LittleEndian
	end := len(b) - dirTail
	if tail := b[end:]; le.Uint32(tail) == 0 && le.Uint16(tail[4:]) == dirTail && tail[6] == 0 && tail[7] == tailType {
		if checksum(i.seed, b[:end]) != le.Uint32(tail[8:]) {
			return damaged("the checksum of block %d of directory %d is wrong", n, i.Number)
		}
		return nil
	}
	slots := 0 // where count and limit of a hash tree's block are
	switch {
	case n == 0 && i.flags&flagIndex != 0:
		slots = 0x20
	case i.flags&flagIndex != 0 && le.Uint32(b) == 0 && int(le.Uint16(b[4:])) == len(b):
		slots = 8
	default:
		return damaged("block %d of directory %d has no checksum", n, i.Number)
	}
	limit, count := int(le.Uint16(b[slots:])), int(le.Uint16(b[slots+2:]))
	tail := slots + 8*limit
	if count > limit || tail+8 > len(b) {
		return damaged("the hash tree of directory %d", i.Number)
	}
	sum := checksum(i.seed, b[:slots+8*count])
	sum = checksum(sum, b[tail:tail+4])
	if checksum(sum, []byte{0, 0, 0, 0}) != le.Uint32(b[tail+4:]) {
		return damaged("the checksum of block %d of directory %d is wrong", n, i.Number)
	}
	return nil
}
