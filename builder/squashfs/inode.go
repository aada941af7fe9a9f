package squashfs

import "math"

// Inode types on disk; the extended ones are basic + extended.
const (
	typeDir     = 1
	typeFile    = 2
	typeSymlink = 3
	typeBlock   = 4
	typeChar    = 5
	typeFifo    = 6
	typeSocket  = 7
	extended    = 7
)

const noFragment = ^uint32(0)

func (k Kind) diskType() uint16 {
	return [...]uint16{Dir: typeDir, File: typeFile, Symlink: typeSymlink, Block: typeBlock, Char: typeChar, Fifo: typeFifo, Socket: typeSocket}[k]
}

// header appends the 16 bytes that all inodes begin with. Owners are indexes in the id table.
func (in *inode) header(b []byte, kind uint16, uid, gid uint16) []byte {
	b = le.AppendUint16(b, kind)
	b = le.AppendUint16(b, in.entry.Mode)
	b = le.AppendUint16(b, uid)
	b = le.AppendUint16(b, gid)
	b = le.AppendUint32(b, in.entry.MTime)
	return le.AppendUint32(b, in.number)
}

// marshal appends the inode of anything but a directory. The extended form is used only where the
// basic one lacks a field.
func (in *inode) marshal(b []byte, uid, gid uint16) []byte {
	e := in.entry
	if e.Kind == File {
		return in.marshalFile(b, uid, gid)
	}
	kind := e.Kind.diskType()
	if in.xattr != noXattr {
		kind += extended
	}
	b = in.header(b, kind, uid, gid)
	b = le.AppendUint32(b, in.links)
	switch e.Kind {
	case Symlink:
		b = le.AppendUint32(b, uint32(len(e.Target)))
		b = append(b, e.Target...)
	case Block, Char:
		b = le.AppendUint32(b, device(e.Major, e.Minor))
	}
	if in.xattr != noXattr {
		b = le.AppendUint32(b, in.xattr)
	}
	return b
}

func (in *inode) marshalFile(b []byte, uid, gid uint16) []byte {
	c, size := in.content, uint64(in.entry.Size)
	fragment := noFragment
	if c.fragment != nil {
		fragment = c.fragment.index
	}
	if in.links == 1 && in.xattr == noXattr && c.sparse == 0 && c.start <= math.MaxUint32 && size <= math.MaxUint32 {
		b = in.header(b, typeFile, uid, gid)
		b = le.AppendUint32(b, uint32(c.start))
		b = le.AppendUint32(b, fragment)
		b = le.AppendUint32(b, c.offset)
		b = le.AppendUint32(b, uint32(size))
	} else {
		b = in.header(b, typeFile+extended, uid, gid)
		b = le.AppendUint64(b, c.start)
		b = le.AppendUint64(b, size)
		b = le.AppendUint64(b, c.sparse)
		b = le.AppendUint32(b, in.links)
		b = le.AppendUint32(b, fragment)
		b = le.AppendUint32(b, c.offset)
		b = le.AppendUint32(b, in.xattr)
	}
	for _, s := range c.sizes {
		b = le.AppendUint32(b, s)
	}
	return b
}

// marshalDir appends a directory's inode. l is its listing.
func (in *inode) marshalDir(b []byte, uid, gid uint16, l listing) []byte {
	// Readers count the two entries "." and "..", which are not stored, as 3 bytes.
	size := l.size + 3
	if in.xattr == noXattr && len(l.index) == 0 && size <= math.MaxUint16 {
		b = in.header(b, typeDir, uid, gid)
		b = le.AppendUint32(b, l.block)
		b = le.AppendUint32(b, in.links)
		b = le.AppendUint16(b, uint16(size))
		b = le.AppendUint16(b, l.offset)
		return le.AppendUint32(b, in.parent)
	}
	b = in.header(b, typeDir+extended, uid, gid)
	b = le.AppendUint32(b, in.links)
	b = le.AppendUint32(b, uint32(size))
	b = le.AppendUint32(b, l.block)
	b = le.AppendUint32(b, in.parent)
	b = le.AppendUint16(b, uint16(len(l.index)))
	b = le.AppendUint16(b, l.offset)
	b = le.AppendUint32(b, in.xattr)
	for _, x := range l.index {
		b = le.AppendUint32(b, x.position)
		b = le.AppendUint32(b, x.block)
		b = le.AppendUint32(b, uint32(len(x.name)-1))
		b = append(b, x.name...)
	}
	return b
}

// device packs a device number as the kernel's new_encode_dev does.
func device(major, minor uint32) uint32 { return minor&0xff | major<<8 | minor&^0xff<<12 }
