package squashfs

import "math/bits"

const (
	superblockSize = 96
	magic          = 0x73717368 // "hsqs"

	flagDuplicates = 1 << 6 // duplicates were looked for
	flagExportable = 1 << 7 // has an export table, so that NFS can serve it
	flagNoXattrs   = 1 << 9
)

// superblock is struct squashfs_super_block. Positions are bytes from the start of the image, -1
// for "none".
type superblock struct {
	inodes, modTime, blockSize, fragments uint32
	ids                                   uint16
	root                                  uint64 // reference of the root's inode
	size                                  int64  // of the image, without padding
	idTable, xattrTable, inodeTable       int64
	dirTable, fragmentTable, exportTable  int64
}

func (s *superblock) marshal() []byte {
	flags := uint16(flagDuplicates | flagExportable)
	if s.xattrTable < 0 {
		flags |= flagNoXattrs
	}
	b := make([]byte, 0, superblockSize)
	b = le.AppendUint32(b, magic)
	b = le.AppendUint32(b, s.inodes)
	b = le.AppendUint32(b, s.modTime)
	b = le.AppendUint32(b, s.blockSize)
	b = le.AppendUint32(b, s.fragments)
	b = le.AppendUint16(b, compressionZstd)
	b = le.AppendUint16(b, uint16(bits.TrailingZeros32(s.blockSize)))
	b = le.AppendUint16(b, flags)
	b = le.AppendUint16(b, s.ids)
	b = le.AppendUint16(b, 4) // version 4.0
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, s.root)
	for _, position := range []int64{s.size, s.idTable, s.xattrTable, s.inodeTable, s.dirTable, s.fragmentTable, s.exportTable} {
		b = le.AppendUint64(b, uint64(position))
	}
	return b
}
