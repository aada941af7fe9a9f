package ext4

import "encoding/binary"

// Mode bits of the kinds.
const (
	modeFile    = 0x8000
	modeDir     = 0x4000
	modeSymlink = 0xA000
)

const (
	extentsFlag  = 0x80000
	extraSize    = 32 // bytes of the inode beyond the first 128 that are in use
	inInode      = 4  // extents that an inode holds
	inBlock      = (BlockSize - 12 - 4) / 12
	extentsMagic = 0xF30A
	doubleSlot   = 13 // i_block of the double indirect block
)

// extent maps count blocks of a file from block logical on to the disk.
type extent struct {
	logical uint32
	count   uint16 // at most 32768
	start   int64
}

// inodeSeed is where the checksums of an inode and of what belongs to it begin; every generation is
// 0.
func (fs *filesystem) inodeSeed(inode uint32) uint32 {
	b := binary.LittleEndian.AppendUint32(nil, inode)
	return checksum(fs.seed, append(b, 0, 0, 0, 0))
}

// marshal returns the inode of n, 256 bytes with its checksum.
func (fs *filesystem) marshal(n *node) []byte {
	b := make([]byte, inodeSize)
	le := binary.LittleEndian
	mode, size, flags := n.Mode|modeFile, n.Size, uint32(extentsFlag)
	switch n.Kind {
	case Dir:
		mode, size = n.Mode|modeDir, int64(len(n.data))
	case Symlink:
		mode, size = 0o777|modeSymlink, int64(len(n.Target))
	}
	switch {
	case n.inode == resizeInode:
		flags = 0
		le.PutUint32(b[0x28+4*doubleSlot:], fs.double)
	case n.Kind == Symlink && n.data == nil:
		flags = 0
		copy(b[0x28:], n.Target)
	default:
		n.extentRoot(b[0x28 : 0x28+60])
	}
	le.PutUint16(b, mode)
	le.PutUint16(b[0x02:], uint16(n.UID))
	le.PutUint32(b[0x04:], uint32(size))
	fs.stamp(b)
	if n.Time != 0 {
		le.PutUint32(b[0x10:], n.Time)
		le.PutUint32(b[0x88:], n.Time>>31)
	}
	le.PutUint16(b[0x18:], uint16(n.GID))
	le.PutUint16(b[0x1A:], uint16(n.links()))
	sectors := uint64(n.blocks) * (BlockSize / 512)
	le.PutUint32(b[0x1C:], uint32(sectors))
	le.PutUint32(b[0x20:], flags)
	le.PutUint32(b[0x6C:], uint32(size>>32))
	le.PutUint16(b[0x74:], uint16(sectors>>32))
	le.PutUint16(b[0x78:], uint16(n.UID>>16))
	le.PutUint16(b[0x7A:], uint16(n.GID>>16))
	fs.sealInode(b, n.inode)
	return b
}

// stamp writes the four times. Seconds are signed on disk; two bits of the extra field count how
// often they have wrapped.
func (fs *filesystem) stamp(b []byte) {
	le := binary.LittleEndian
	for _, at := range []int{0x08, 0x0C, 0x10, 0x90} { // read, changed, modified, created
		le.PutUint32(b[at:], fs.o.Time)
	}
	le.PutUint16(b[0x80:], extraSize)
	for _, at := range []int{0x84, 0x88, 0x8C, 0x94} {
		le.PutUint32(b[at:], fs.o.Time>>31)
	}
}

func (fs *filesystem) sealInode(b []byte, inode uint32) {
	sum := checksum(fs.inodeSeed(inode), b)
	binary.LittleEndian.PutUint16(b[0x7C:], uint16(sum))
	if binary.LittleEndian.Uint16(b[0x80:]) > 0 {
		binary.LittleEndian.PutUint16(b[0x82:], uint16(sum>>16))
	}
}

// extentRoot writes the extents that fit, or the blocks that hold them, into the inode.
func (n *node) extentRoot(b []byte) {
	if len(n.leaves) == 0 {
		putExtents(b, n.extents, inInode)
		return
	}
	le := binary.LittleEndian
	putHeader(b, len(n.leaves), inInode, 1)
	for i, block := range n.leaves {
		e := b[12+12*i:]
		le.PutUint32(e, n.extents[i*inBlock].logical)
		le.PutUint32(e[4:], uint32(block))
		le.PutUint16(e[8:], uint16(block>>32))
	}
}

// leaf returns the i-th block of extents with its checksum.
func (fs *filesystem) leaf(n *node, i int) []byte {
	b := make([]byte, BlockSize)
	putExtents(b, n.extents[i*inBlock:min((i+1)*inBlock, len(n.extents))], inBlock)
	end := 12 + 12*inBlock
	binary.LittleEndian.PutUint32(b[end:], checksum(fs.inodeSeed(n.inode), b[:end]))
	return b
}

func putHeader(b []byte, count, limit, depth int) {
	le := binary.LittleEndian
	le.PutUint16(b, extentsMagic)
	le.PutUint16(b[2:], uint16(count))
	le.PutUint16(b[4:], uint16(limit))
	le.PutUint16(b[6:], uint16(depth))
}

func putExtents(b []byte, list []extent, limit int) {
	le := binary.LittleEndian
	putHeader(b, len(list), limit, 0)
	for i, x := range list {
		e := b[12+12*i:]
		le.PutUint32(e, x.logical)
		le.PutUint16(e[4:], x.count)
		le.PutUint16(e[6:], uint16(x.start>>32))
		le.PutUint32(e[8:], uint32(x.start))
	}
}
