package ext4

import "encoding/binary"

// growth returns the resize inode: a file without extents that owns the reserved descriptor blocks
// after every copy of the descriptor table. The kernel takes them from it when the table grows.
func (fs *filesystem) growth() *node {
	const size = (pointersInBlock*pointersInBlock + pointersInBlock + 12) * BlockSize
	n := &node{inode: resizeInode, Entry: Entry{Kind: File, Mode: 0o600, Size: size}}
	n.blocks = 1 + int64(fs.reserved)*int64(1+len(fs.copies()))
	return n
}

// writeResize writes that file's map: the double indirect block points to the reserved blocks of
// group 0, each of them is in turn an indirect block that points to its copies in the other groups.
func (fs *filesystem) writeResize(out sparse) error {
	double, copies := make([]byte, BlockSize), fs.copies()
	le := binary.LittleEndian
	for i := range fs.reserved {
		table := fs.descriptors + i
		le.PutUint32(double[table%pointersInBlock*4:], 1+table)
		b := make([]byte, BlockSize)
		for k, group := range copies {
			le.PutUint32(b[4*k:], group*blocksPerGroup+1+table)
		}
		if err := out.write(b, int64(1+table)*BlockSize); err != nil {
			return err
		}
	}
	return out.write(double, int64(fs.double)*BlockSize)
}
