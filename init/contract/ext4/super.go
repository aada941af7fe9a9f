package ext4

import (
	"encoding/binary"
	"hash/crc32"
)

// Features, by the names of e2fsprogs.
const (
	compat   = 0x4 | 0x8 | 0x10 | 0x20               // has_journal ext_attr resize_inode dir_index
	incompat = 0x2 | 0x40 | 0x80 | 0x200             // filetype extent 64bit flex_bg
	roCompat = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x400 // sparse_super large_file huge_file dir_nlink extra_isize metadata_csum
)

// Flags of a group.
const (
	inodeUninit = 1
	blockUninit = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is crc32c as the kernel counts it: no inversion before or after.
func checksum(seed uint32, b []byte) uint32 { return ^crc32.Update(^seed, castagnoli, b) }

// superblock returns the 1024 bytes of the superblock as group i holds it.
func (fs *filesystem) superblock(i uint32, freeBlocks int64) []byte {
	b := make([]byte, 1024)
	le := binary.LittleEndian
	put32 := func(at int, v int64) { le.PutUint32(b[at:], uint32(v)) }
	put64 := func(low, high int, v int64) { put32(low, v); put32(high, v>>32) }
	// One percent is for root alone, so that a full share or home does not stop the node. When the
	// kernel grows the file system it takes whole percents of what there is, rounded down at each
	// step of 16 groups: exactly one would become none at the second step. The half percent more is
	// what the rounding may eat.
	rootOnly := fs.blocks * 3 / 200
	inodes := int64(fs.groups) * inodesPerGroup
	put32(0x00, inodes)
	put64(0x04, 0x150, fs.blocks)
	put64(0x08, 0x154, rootOnly)
	put64(0x0C, 0x158, freeBlocks)
	put32(0x10, inodes-int64(fs.last))
	put32(0x18, 2) // 1024 << 2
	put32(0x1C, 2)
	put32(0x20, blocksPerGroup)
	put32(0x24, blocksPerGroup)
	put32(0x28, inodesPerGroup)
	put32(0x30, int64(fs.o.Time))  // written
	le.PutUint16(b[0x36:], 0xFFFF) // mounts between checks: no limit
	le.PutUint16(b[0x38:], 0xEF53) // magic
	le.PutUint16(b[0x3A:], 1)      // clean
	le.PutUint16(b[0x3C:], 2)      // errors: remount read-only
	put32(0x40, int64(fs.o.Time))  // checked
	put32(0x4C, 1)                 // dynamic revision
	put32(0x54, firstInode)        // first one not reserved
	le.PutUint16(b[0x58:], inodeSize)
	le.PutUint16(b[0x5A:], uint16(i))
	put32(0x5C, compat)
	put32(0x60, incompat)
	put32(0x64, roCompat)
	copy(b[0x68:0x78], fs.o.UUID[:])
	copy(b[0x78:0x88], fs.o.Label)
	le.PutUint16(b[0xCE:], uint16(fs.reserved))
	put32(0xE0, journalInode)
	copy(b[0xEC:0xFC], fs.o.HashSeed[:])
	b[0xFC] = 1 // half_md4
	b[0xFD] = 1 // the next but six field is a copy of the journal's inode
	le.PutUint16(b[0xFE:], descriptorSize)
	put32(0x100, 0x4|0x8)          // mount options: user_xattr, acl
	put32(0x108, int64(fs.o.Time)) // made
	fs.journal.extentRoot(b[0x10C : 0x10C+60])
	put32(0x148, fs.o.Journal>>32)
	put32(0x14C, fs.o.Journal)
	le.PutUint16(b[0x15C:], extraSize)
	le.PutUint16(b[0x15E:], extraSize)
	put32(0x160, 1) // directory hash of signed characters, on every architecture
	b[0x174] = logFlex
	b[0x175] = 1 // crc32c
	put32(0x248, fs.overhead())
	put32(0x3FC, int64(checksum(^uint32(0), b[:0x3FC])))
	return b
}

// overhead is what df does not count: everything fixed, and the journal.
func (fs *filesystem) overhead() (blocks int64) {
	for i := range fs.groups {
		blocks += int64(fs.meta(i))
	}
	return blocks + fs.journal.blocks
}

// inodesUsed of group i; the inodes in use are the lowest ones.
func (fs *filesystem) inodesUsed(i uint32) uint32 {
	return uint32(min(max(int64(fs.last)-int64(i)*inodesPerGroup, 0), inodesPerGroup))
}

// blocksUninit reports whether the kernel may compute the block bitmap of group i: nothing but the
// group's own fixed parts in use. The first of a flex group holds tables of others, the last group
// has bits beyond its end.
func (fs *filesystem) blocksUninit(i uint32) bool {
	base, _ := fs.flex(i)
	return i != base && i != fs.groups-1 && fs.used[i] == fs.meta(i)
}

// blockMap and inodeMap give the bitmap blocks of group i. Bits beyond the end are set.
func (fs *filesystem) blockMap(i uint32) []byte { return bitmap(fs.used[i], fs.length(i)) }

func (fs *filesystem) inodeMap(i uint32) []byte { return bitmap(fs.inodesUsed(i), inodesPerGroup) }

// bitmap sets the first used bits and those from length on.
func bitmap(used, length uint32) []byte {
	b := make([]byte, BlockSize)
	fill := func(from, to uint32) {
		for ; from < to && from%8 != 0; from++ {
			b[from/8] |= 1 << (from % 8)
		}
		for ; from+8 <= to; from += 8 {
			b[from/8] = 0xFF
		}
		for ; from < to; from++ {
			b[from/8] |= 1 << (from % 8)
		}
	}
	fill(0, used)
	fill(length, BlockSize*8)
	return b
}

// descriptor returns the 64 bytes that describe group i. dirs is the number of directories among
// its inodes.
func (fs *filesystem) descriptor(i uint32, dirs uint32) []byte {
	b := make([]byte, descriptorSize)
	le := binary.LittleEndian
	split32 := func(low, high int, v int64) {
		le.PutUint32(b[low:], uint32(v))
		le.PutUint32(b[high:], uint32(v>>32))
	}
	split16 := func(low, high int, v uint32) {
		le.PutUint16(b[low:], uint16(v))
		le.PutUint16(b[high:], uint16(v>>16))
	}
	split32(0x00, 0x20, fs.blockBitmap(i))
	split32(0x04, 0x24, fs.inodeBitmap(i))
	split32(0x08, 0x28, fs.inodeTable(i))
	split16(0x0C, 0x2C, fs.length(i)-fs.used[i])
	free := inodesPerGroup - fs.inodesUsed(i)
	split16(0x0E, 0x2E, free)
	split16(0x10, 0x30, dirs)
	split16(0x1C, 0x32, free) // never used: not read by anyone; the kernel zeroes them in the background
	var flags uint16
	if fs.blocksUninit(i) {
		flags |= blockUninit
	} else {
		split16(0x18, 0x38, checksum(fs.seed, fs.blockMap(i)))
	}
	if free == inodesPerGroup {
		flags |= inodeUninit
	} else {
		split16(0x1A, 0x3A, checksum(fs.seed, fs.inodeMap(i)[:inodesPerGroup/8]))
	}
	le.PutUint16(b[0x12:], flags)
	sum := checksum(checksum(fs.seed, le.AppendUint32(nil, i)), b)
	le.PutUint16(b[0x1E:], uint16(sum))
	return b
}
