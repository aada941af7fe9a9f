package squashfs

import (
	"fmt"
	"io"
	"math"
)

// image is what follows the data: inode table, directory table, then fragments, exports, ids
// and xattrs.
type image struct {
	encoder   *encoder
	options   Options
	fragments []*fragment
	inodes    []*inode
	root      *node

	inodeTable metadata
	dirTable   metadata
	xattrs     xattrTable
	ids        []uint32
	idIndex    map[uint32]uint16
	buf        []byte
}

// writeMetadata writes everything from position at on, and the superblock. It returns the end of
// the image.
func (m *image) writeMetadata(w io.WriterAt, at int64) (end int64, err error) {
	m.idIndex = make(map[uint32]uint16)
	m.inodeTable.encoder = m.encoder
	m.dirTable.encoder = m.encoder
	m.xattrs = xattrTable{values: metadata{encoder: m.encoder}, ids: metadata{encoder: m.encoder}, index: make(map[string]uint32)}
	if err := m.writeDir(m.root); err != nil {
		return 0, err
	}
	m.inodeTable.flush()
	m.dirTable.flush()

	s := superblock{
		inodes: uint32(len(m.inodes)), modTime: m.options.ModTime, blockSize: uint32(m.options.BlockSize),
		fragments: uint32(len(m.fragments)), ids: uint16(len(m.ids)), root: m.root.inode.ref,
	}
	put := func(p []byte) error {
		_, err := w.WriteAt(p, at)
		at += int64(len(p))
		return err
	}
	s.inodeTable = at
	if err := put(m.inodeTable.out); err != nil {
		return 0, err
	}
	s.dirTable = at
	if err := put(m.dirTable.out); err != nil {
		return 0, err
	}
	for _, t := range []struct {
		list *int64
		fill func(*metadata)
	}{{&s.fragmentTable, m.fillFragments}, {&s.exportTable, m.fillExports}, {&s.idTable, m.fillIDs}} {
		table := metadata{encoder: m.encoder}
		t.fill(&table)
		data, list := table.table(at)
		*t.list = list
		if err := put(data); err != nil {
			return 0, err
		}
	}
	s.xattrTable = -1
	if len(m.xattrs.index) > 0 {
		var data []byte
		data, s.xattrTable = m.xattrs.bytes(at)
		if err := put(data); err != nil {
			return 0, err
		}
	}
	s.size = at
	_, err = w.WriteAt(s.marshal(), 0)
	return at, err
}

// writeDir writes the inodes under a directory in the order of their numbers, then its listing and
// its own inode.
func (m *image) writeDir(dir *node) error {
	for _, c := range dir.children {
		if c.inode.entry.Kind == Dir {
			if err := m.writeDir(c); err != nil {
				return err
			}
		}
	}
	for _, c := range dir.children {
		if !c.inode.written {
			uid, gid, err := m.owners(c.inode)
			if err != nil {
				return errEntry(c.inode.entry.Path, err)
			}
			m.place(c.inode, c.inode.marshal(m.buf[:0], uid, gid))
		}
	}
	l, err := writeListing(&m.dirTable, dir.children)
	if err != nil {
		return errEntry(dir.inode.entry.Path, err)
	}
	uid, gid, err := m.owners(dir.inode)
	if err != nil {
		return errEntry(dir.inode.entry.Path, err)
	}
	m.place(dir.inode, dir.inode.marshalDir(m.buf[:0], uid, gid, l))
	return nil
}

func (m *image) place(in *inode, data []byte) {
	in.ref, in.written = m.inodeTable.ref(), true
	m.inodeTable.write(data)
	m.buf = data
}

// owners returns the ids of an inode's owners and enters its attributes.
func (m *image) owners(in *inode) (uid, gid uint16, err error) {
	in.xattr = m.xattrs.add(in.entry.Xattrs)
	if uid, err = m.id(in.entry.UID); err == nil {
		gid, err = m.id(in.entry.GID)
	}
	return uid, gid, err
}

// id returns the index of a user or group in the id table.
func (m *image) id(id uint32) (uint16, error) {
	if i, ok := m.idIndex[id]; ok {
		return i, nil
	}
	if len(m.ids) == math.MaxUint16 {
		return 0, fmt.Errorf("more than %d different users and groups", math.MaxUint16)
	}
	i := uint16(len(m.ids))
	m.ids, m.idIndex[id] = append(m.ids, id), i
	return i, nil
}

func (m *image) fillFragments(t *metadata) {
	for _, f := range m.fragments {
		b := le.AppendUint64(nil, f.start)
		b = le.AppendUint32(b, f.size)
		t.write(le.AppendUint32(b, 0))
	}
}

func (m *image) fillExports(t *metadata) {
	for _, in := range m.inodes {
		t.write(le.AppendUint64(nil, in.ref))
	}
}

func (m *image) fillIDs(t *metadata) {
	for _, id := range m.ids {
		t.write(le.AppendUint32(nil, id))
	}
}
