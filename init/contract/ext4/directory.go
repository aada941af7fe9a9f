package ext4

import "encoding/binary"

const (
	entryHeader = 8
	dirTail     = 12 // an entry without a name that carries the block's checksum
	tailType    = 0xDE
	lostBlocks  = 4 // of lost+found, taken in advance so that fsck has space on a full file system
)

// types of directory entries (filetype).
var types = map[Kind]byte{File: 1, Dir: 2, Symlink: 7}

// directory returns the blocks of directory n: a linear list in the order of its children.
func (fs *filesystem) directory(n *node) []byte {
	var b []byte
	last := 0 // the entry that reaches to the end of its block
	finish := func() {
		binary.LittleEndian.PutUint16(b[last+4:], uint16(len(b)-dirTail-last))
		tail := b[len(b)-dirTail:]
		tail[4], tail[7] = dirTail, tailType
		block := b[len(b)-BlockSize:]
		binary.LittleEndian.PutUint32(tail[8:], checksum(fs.inodeSeed(n.inode), block[:BlockSize-dirTail]))
	}
	free := 0
	add := func(inode uint32, name string, kind byte) {
		size := (entryHeader + len(name) + 3) / 4 * 4
		at := len(b) - dirTail - free
		if free < size {
			if len(b) > 0 {
				finish()
			}
			at, free = len(b), BlockSize-dirTail
			b = append(b, make([]byte, BlockSize)...)
		}
		e := b[at:]
		binary.LittleEndian.PutUint32(e, inode)
		binary.LittleEndian.PutUint16(e[4:], uint16(size))
		e[6], e[7] = byte(len(name)), kind
		copy(e[entryHeader:], name)
		last, free = at, free-size
	}
	add(n.inode, ".", types[Dir])
	add(n.parent.inode, "..", types[Dir])
	for _, c := range n.children {
		add(c.inode, c.name, types[c.Kind])
	}
	finish()
	for n.inode == firstInode && len(b) < lostBlocks*BlockSize {
		last = len(b)
		b = append(b, make([]byte, BlockSize)...)
		finish()
	}
	return b
}
