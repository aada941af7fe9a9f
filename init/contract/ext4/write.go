package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// writeNodes writes directories, long links and blocks of extents.
func (fs *filesystem) writeNodes(out sparse) error {
	for _, n := range append([]*node{fs.journal}, fs.nodes...) {
		for _, x := range n.extents {
			if n.Kind == File {
				break
			}
			at := int64(x.logical) * BlockSize
			if err := out.write(n.data[at:at+int64(x.count)*BlockSize], x.start*BlockSize); err != nil {
				return err
			}
		}
		for i, block := range n.leaves {
			if err := out.write(fs.leaf(n, i), block*BlockSize); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeJournal writes the journal's superblock (JBD2, big endian), of an empty journal. The kernel
// adds features at the first mount.
func (fs *filesystem) writeJournal(out sparse) error {
	b := make([]byte, 1024)
	be := binary.BigEndian
	be.PutUint32(b, 0xC03B3998)
	be.PutUint32(b[4:], 4) // superblock, version 2
	be.PutUint32(b[12:], BlockSize)
	be.PutUint32(b[16:], uint32(fs.o.Journal/BlockSize))
	be.PutUint32(b[20:], 1) // first block of the log
	be.PutUint32(b[24:], 1) // first transaction
	copy(b[48:64], fs.o.UUID[:])
	be.PutUint32(b[64:], 1) // users
	return out.write(b, fs.journal.extents[0].start*BlockSize)
}

// writeInodes writes the used part of the inode tables.
func (fs *filesystem) writeInodes(out sparse) error {
	nodes := append([]*node{fs.journal, fs.resize}, fs.nodes...)
	for i := range fs.groups {
		used := fs.inodesUsed(i)
		if used == 0 {
			break
		}
		b := make([]byte, (used+inodesPerBlock-1)/inodesPerBlock*BlockSize)
		if i == 0 {
			for inode := uint32(1); inode < firstInode; inode++ { // reserved and empty, but sealed
				fs.sealInode(b[(inode-1)*inodeSize:inode*inodeSize], inode)
			}
		}
		for _, n := range nodes {
			if at := int64(n.inode) - 1 - int64(i)*inodesPerGroup; at >= 0 && at < inodesPerGroup {
				copy(b[at*inodeSize:], fs.marshal(n))
			}
		}
		if err := out.write(b, fs.inodeTable(i)*BlockSize); err != nil {
			return err
		}
	}
	return nil
}

// writeGroups writes bitmaps, descriptors and superblocks, the primary one last.
func (fs *filesystem) writeGroups(out sparse) error {
	dirs := make([]uint32, fs.groups)
	for _, n := range fs.nodes {
		if n.Kind == Dir {
			dirs[(n.inode-1)/inodesPerGroup]++
		}
	}
	table := make([]byte, fs.descriptors*BlockSize)
	free := int64(0)
	for i := range fs.groups {
		copy(table[i*descriptorSize:], fs.descriptor(i, dirs[i]))
		free += int64(fs.length(i) - fs.used[i])
		if !fs.blocksUninit(i) {
			if err := out.write(fs.blockMap(i), fs.blockBitmap(i)*BlockSize); err != nil {
				return err
			}
		}
		if fs.inodesUsed(i) > 0 {
			if err := out.write(fs.inodeMap(i), fs.inodeBitmap(i)*BlockSize); err != nil {
				return err
			}
		}
	}
	for _, i := range append(fs.copies(), 0) {
		start := int64(i) * blocksPerGroup * BlockSize
		if err := out.write(table, start+BlockSize); err != nil {
			return err
		}
		if i == 0 {
			start = 1024
		}
		if err := out.write(fs.superblock(i, free), start); err != nil {
			return err
		}
	}
	return nil
}

// mapped returns the blocks that mean something: of the fixed parts those in use, and everything
// allocated.
func (fs *filesystem) mapped() (list []Extent) {
	add := func(block, count int64) {
		e := Extent{block * BlockSize, count * BlockSize}
		if n := len(list); n > 0 && list[n-1].Offset+list[n-1].Size == e.Offset {
			list[n-1].Size += e.Size
		} else if count > 0 {
			list = append(list, e)
		}
	}
	for i := range fs.groups {
		start := int64(i) * blocksPerGroup
		if i == 0 {
			add(0, int64(fs.super(0)))
		} else if hasSuper(i) {
			add(start, int64(1+fs.descriptors)) // the reserved blocks of a copy are never read
		}
		if base, count := fs.flex(i); base == i {
			add(fs.blockBitmap(i), int64(2*count))
			for k := i; k < i+count; k++ {
				add(fs.inodeTable(k), int64((fs.inodesUsed(k)+inodesPerBlock-1)/inodesPerBlock))
			}
		}
		add(start+int64(fs.meta(i)), int64(fs.used[i]-fs.meta(i)))
	}
	return list
}

// sparse writes all but zeros.
type sparse struct{ w io.WriterAt }

// write writes b at offset off, leaving out blocks of zeros. off is a multiple of the block size,
// or b is short.
func (s sparse) write(b []byte, off int64) error {
	for start := 0; start < len(b); {
		end := start
		for end < len(b) && !zero(b[end:min(end+BlockSize, len(b))]) {
			end = min(end+BlockSize, len(b))
		}
		if end > start {
			if _, err := s.w.WriteAt(b[start:end], off+int64(start)); err != nil {
				return err
			}
		}
		start = end + BlockSize
	}
	return nil
}

func zero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// file copies the content of n to its extents.
func (s sparse) file(n *node, buf []byte) error {
	r, err := n.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	left := n.Size
	for _, x := range n.extents {
		off, end := x.start*BlockSize, (x.start+int64(x.count))*BlockSize
		for off < end && left > 0 {
			want := min(int64(len(buf)), end-off, left)
			got, err := io.ReadFull(r, buf[:want])
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return err
			}
			if int64(got) < want {
				return fmt.Errorf("content ends after %d of %d bytes", n.Size-left+int64(got), n.Size)
			}
			if err := s.write(buf[:want], off); err != nil {
				return err
			}
			off, left = off+want, left-want
		}
	}
	switch got, err := io.ReadFull(r, buf[:1]); {
	case got > 0:
		return fmt.Errorf("content goes on after its %d bytes", n.Size)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}
