package ext4

import "fmt"

const (
	blocksPerGroup  = 32768 // one bitmap block names so many
	inodesPerGroup  = 8192  // one inode for 16 KiB, as mke2fs has it from 512 MiB on; it stays when the file system grows
	inodeSize       = 256
	inodesPerBlock  = BlockSize / inodeSize
	tableBlocks     = inodesPerGroup / inodesPerBlock // inode table of a group
	descriptorSize  = 64
	perDescriptors  = BlockSize / descriptorSize
	groupsPerFlex   = 16 // bitmaps and inode tables of so many groups are together at the first one's start
	logFlex         = 4
	leastFree       = 50 // mke2fs drops a last group with less space than this
	pointersInBlock = BlockSize / 4
)

// geometry is the place of the fixed parts. Everything fixed in a group is at its start, without
// gaps: superblock, descriptors, reserved descriptors (in groups that have a copy), then the flex
// group's bitmaps and tables.
type geometry struct {
	blocks      int64
	groups      uint32
	descriptors uint32 // blocks of the group descriptor table
	reserved    uint32 // blocks reserved for its growth
}

func newGeometry(size, maxSize int64) (geometry, error) {
	g := geometry{blocks: size / BlockSize}
	for {
		g.groups = uint32((g.blocks + blocksPerGroup - 1) / blocksPerGroup)
		if g.groups == 0 { // not even one
			return g, fmt.Errorf("ext4: %d bytes are too small for a file system", size)
		}
		g.descriptors = (g.groups + perDescriptors - 1) / perDescriptors
		most := uint32((maxSize/BlockSize + blocksPerGroup - 1) / blocksPerGroup)
		g.reserved = max((most+perDescriptors-1)/perDescriptors-g.descriptors, 1)
		last := g.groups - 1
		need := g.super(last) + 2 + tableBlocks + leastFree
		if g.length(last) >= need {
			return g, nil
		}
		g.blocks = int64(last) * blocksPerGroup
	}
}

// length of group i in blocks.
func (g geometry) length(i uint32) uint32 {
	return uint32(min(g.blocks-int64(i)*blocksPerGroup, blocksPerGroup))
}

// hasSuper reports whether group i has a copy of the superblock: 0, 1 and the powers of 3, 5 and 7
// (sparse_super).
func hasSuper(i uint32) bool {
	for _, base := range []uint32{3, 5, 7} {
		n := i
		for n > 1 && n%base == 0 {
			n /= base
		}
		if n <= 1 {
			return true
		}
	}
	return false
}

// super returns the number of blocks that the copies of superblock and descriptors take in group i.
func (g geometry) super(i uint32) uint32 {
	if !hasSuper(i) {
		return 0
	}
	return 1 + g.descriptors + g.reserved
}

// flex returns the first group of i's flex group and how many groups that has.
func (g geometry) flex(i uint32) (base, count uint32) {
	base = i / groupsPerFlex * groupsPerFlex
	return base, min(groupsPerFlex, g.groups-base)
}

// meta returns the blocks of group i that are taken from the outset.
func (g geometry) meta(i uint32) uint32 {
	n := g.super(i)
	if base, count := g.flex(i); base == i {
		n += count * (2 + tableBlocks)
	}
	return n
}

func (g geometry) blockBitmap(i uint32) int64 {
	base, _ := g.flex(i)
	return int64(base)*blocksPerGroup + int64(g.super(base)+i-base)
}

func (g geometry) inodeBitmap(i uint32) int64 {
	_, count := g.flex(i)
	return g.blockBitmap(i) + int64(count)
}

func (g geometry) inodeTable(i uint32) int64 {
	base, count := g.flex(i)
	return int64(base)*blocksPerGroup + int64(g.super(base)+2*count+(i-base)*tableBlocks)
}

// copies returns the groups after 0 that hold a copy of the superblock, ascending.
func (g geometry) copies() (list []uint32) {
	for i := uint32(1); i < g.groups; i++ {
		if hasSuper(i) {
			list = append(list, i)
		}
	}
	return list
}
