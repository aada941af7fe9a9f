package ext4

import (
	"encoding/binary"
)

// The journal (JBD2): big endian; see the kernel's Documentation/filesystems/ext4/journal.rst and
// fs/jbd2/recovery.c.
const (
	journalMagic   = 0xC03B3998
	descriptorType = 1
	commitType     = 2
	superV2Type    = 4
	revokeType     = 5

	revokeFeature = 0x1
	wideFeature   = 0x2 // block numbers of 64 bits
	asyncFeature  = 0x4
	csum2Feature  = 0x8
	csum3Feature  = 0x10
	fastFeature   = 0x20

	tagEscaped = 1
	tagSame    = 2
	tagLast    = 8
)

// logBlock is where the journal has the newest content of a block.
type logBlock struct {
	at      uint64 // block of the file system
	escaped bool
}

// journalLog is an open journal.
type journalLog struct {
	f           *Reader
	i           *Inode
	first, end  uint32 // blocks of the log itself
	sequence    uint32 // of the first transaction that is to be replayed
	start       uint32 // where it begins
	seed        uint32
	wide        bool
	csum2       bool
	csum3       bool
	tagSize     int
	where       run // the run of the journal read last, and the block at which it begins
	whereBefore uint64
}

// replay reads the journal and fills the overlay, as the kernel does at the next mount: all
// transactions that are whole, without the blocks that a later one has revoked.
func (f *Reader) replay() error {
	if f.journal == 0 {
		return &Unsupported{[]string{"a journal on another device"}}
	}
	i, err := f.Inode(f.journal)
	if err != nil {
		return err
	}
	j, err := f.openJournal(i)
	if err != nil || j.start == 0 { // nothing in it
		return err
	}
	last, revoked, err := j.scan()
	if err != nil {
		return err
	}
	overlay := map[uint64]logBlock{}
	pos := j.start
	for s := j.sequence; s != last; s++ {
		if pos, err = j.transaction(pos, s, func(t tag, at uint32, data []byte) error {
			if r, ok := revoked[t.block]; ok && int32(r-s) >= 0 {
				return nil
			}
			if t.block >= f.blocks {
				return damaged("the journal has block %d, which is beyond the end", t.block)
			}
			if !j.dataSum(t, s, data) {
				return damaged("the journal's copy of block %d has a wrong checksum", t.block)
			}
			real, err := j.block(at)
			if err != nil {
				return err
			}
			overlay[t.block] = logBlock{real, t.escaped}
			return nil
		}, nil); err != nil {
			return err
		}
	}
	f.overlay, f.Replayed = overlay, int(last-j.sequence)
	return nil
}

func (f *Reader) openJournal(i *Inode) (*journalLog, error) {
	be := binary.BigEndian
	j := &journalLog{f: f, i: i}
	b, err := j.read(0)
	if err != nil {
		return nil, err
	}
	kind := be.Uint32(b[4:])
	if be.Uint32(b) != journalMagic || kind != superV2Type && kind != superV2Type-1 {
		return nil, damaged("the journal has no superblock")
	}
	j.end, j.first, j.sequence, j.start = be.Uint32(b[16:]), be.Uint32(b[20:]), be.Uint32(b[24:]), be.Uint32(b[28:])
	var incompat uint32
	if kind == superV2Type {
		incompat = be.Uint32(b[40:])
	}
	if unknown := incompat &^ (revokeFeature | wideFeature | asyncFeature | csum2Feature | csum3Feature); unknown != 0 {
		name := "an unknown kind of journal"
		if unknown&fastFeature != 0 {
			name = "fast_commit"
		}
		return nil, &Unsupported{[]string{name}}
	}
	j.wide, j.csum2, j.csum3 = incompat&wideFeature != 0, incompat&csum2Feature != 0, incompat&csum3Feature != 0
	j.tagSize = 8
	if j.wide {
		j.tagSize += 4
	}
	if j.csum2 {
		j.tagSize += 2
	}
	if j.csum3 {
		j.tagSize = 16
	}
	if j.csum2 || j.csum3 {
		want := be.Uint32(b[0xFC:])
		be.PutUint32(b[0xFC:], 0)
		if checksum(^uint32(0), b[:1024]) != want {
			return nil, damaged("the checksum of the journal's superblock is wrong")
		}
	}
	j.seed = checksum(^uint32(0), b[48:64])
	if int64(be.Uint32(b[12:])) != f.block || j.first == 0 || j.first >= j.end || int64(j.end) > i.Size/f.block || j.start != 0 && (j.start < j.first || j.start >= j.end) {
		return nil, damaged("the journal's superblock")
	}
	return j, nil
}

// block returns the place of block n of the journal. The journal is never in itself.
func (j *journalLog) block(n uint32) (uint64, error) {
	if off := uint64(n) - j.whereBefore; uint64(n) >= j.whereBefore && off < j.where.count {
		return j.where.start + off, nil
	}
	r, err := j.f.find(j.i, uint64(n))
	if err != nil {
		return 0, err
	}
	if r.start == 0 {
		return 0, damaged("the journal has a hole")
	}
	j.where, j.whereBefore = r, uint64(n)
	return r.start, nil
}

func (j *journalLog) read(n uint32) ([]byte, error) {
	at, err := j.block(n)
	if err != nil {
		return nil, err
	}
	b := make([]byte, j.f.block)
	return b, readAt(j.f.r, b, int64(at)*j.f.block)
}

// after returns the block of the log that follows n.
func (j *journalLog) after(n, steps uint32) uint32 {
	n += steps
	for n >= j.end {
		n -= j.end - j.first
	}
	return n
}

// scan finds the sequence number after the last whole transaction, and which blocks are revoked by
// which one.
func (j *journalLog) scan() (last uint32, revoked map[uint64]uint32, err error) {
	revoked = map[uint64]uint32{}
	pos, used := j.start, uint32(0)
	for s := j.sequence; ; s++ {
		mine := map[uint64]uint32{}
		next, err := j.transaction(pos, s, nil, func(block uint64) { mine[block] = s })
		if err != nil {
			return 0, nil, err
		}
		// A transaction that is not whole was not promised to anybody. One that would make the log
		// longer than its place is none.
		length := (next + j.end - j.first - pos) % (j.end - j.first)
		if next == 0 || length == 0 || used+length > j.end-j.first {
			return s, revoked, nil
		}
		used += length
		pos = next
		for block, s := range mine {
			revoked[block] = s
		}
	}
}

// tag is the place of one block of a transaction.
type tag struct {
	block   uint64
	sum     uint32
	escaped bool
}

// transaction walks one transaction from block pos on and returns the block after it, 0 if it is
// not whole. each gets the blocks with their places in the journal, revoke the revoked ones; either
// may be nil.
func (j *journalLog) transaction(pos, sequence uint32, each func(tag, uint32, []byte) error, revoke func(uint64)) (uint32, error) {
	be := binary.BigEndian
	for steps := uint32(0); steps < j.end-j.first; steps++ {
		b, err := j.read(pos)
		if err != nil {
			return 0, err
		}
		if be.Uint32(b) != journalMagic || be.Uint32(b[8:]) != sequence {
			return 0, nil
		}
		pos = j.after(pos, 1)
		switch be.Uint32(b[4:]) {
		case descriptorType:
			if !j.tailSum(b) {
				return 0, nil
			}
			tags := j.tags(b)
			for k, t := range tags {
				if each == nil {
					break
				}
				at := j.after(pos, uint32(k))
				data, err := j.read(at)
				if err != nil {
					return 0, err
				}
				if err := each(t, at, data); err != nil {
					return 0, err
				}
			}
			steps += uint32(len(tags))
			pos = j.after(pos, uint32(len(tags)))
		case revokeType:
			if !j.tailSum(b) {
				return 0, nil
			}
			j.revocations(b, revoke)
		case commitType:
			if (j.csum2 || j.csum3) && !j.commitSum(b) {
				return 0, nil
			}
			return pos, nil
		default:
			return 0, nil
		}
	}
	return 0, nil
}

// tags takes a descriptor block apart.
func (j *journalLog) tags(b []byte) (list []tag) {
	be := binary.BigEndian
	end := len(b)
	if j.csum2 || j.csum3 {
		end -= 4
	}
	for at := 12; at+j.tagSize <= end; {
		e := b[at:]
		t := tag{block: uint64(be.Uint32(e))}
		var flags uint32
		if j.csum3 {
			flags, t.sum = be.Uint32(e[4:]), be.Uint32(e[12:])
			if j.wide {
				t.block |= uint64(be.Uint32(e[8:])) << 32
			}
		} else {
			t.sum, flags = uint32(be.Uint16(e[4:])), uint32(be.Uint16(e[6:]))
			if j.wide {
				t.block |= uint64(be.Uint32(e[8:])) << 32
			}
		}
		t.escaped = flags&tagEscaped != 0
		list = append(list, t)
		at += j.tagSize
		if flags&tagSame == 0 {
			at += 16 // the UUID of the file system
		}
		if flags&tagLast != 0 {
			break
		}
	}
	return list
}

func (j *journalLog) revocations(b []byte, revoke func(uint64)) {
	be := binary.BigEndian
	end, size := min(int(be.Uint32(b[12:])), len(b)), 4
	if j.wide {
		size = 8
	}
	for at := 16; at+size <= end && revoke != nil; at += size {
		if j.wide {
			revoke(be.Uint64(b[at:]))
		} else {
			revoke(uint64(be.Uint32(b[at:])))
		}
	}
}

// tailSum verifies a descriptor or revoke block, whose checksum is its last four bytes.
func (j *journalLog) tailSum(b []byte) bool {
	if !j.csum2 && !j.csum3 {
		return true
	}
	end := len(b) - 4
	return checksum(checksum(j.seed, b[:end]), make([]byte, 4)) == binary.BigEndian.Uint32(b[end:])
}

// commitSum verifies a commit block, whose checksum is at byte 16.
func (j *journalLog) commitSum(b []byte) bool {
	sum := checksum(checksum(j.seed, b[:16]), make([]byte, 4))
	return checksum(sum, b[20:]) == binary.BigEndian.Uint32(b[16:])
}

// dataSum verifies a block as it is in the journal.
func (j *journalLog) dataSum(t tag, sequence uint32, data []byte) bool {
	if !j.csum2 && !j.csum3 {
		return true
	}
	sum := checksum(checksum(j.seed, binary.BigEndian.AppendUint32(nil, sequence)), data)
	if j.csum3 {
		return sum == t.sum
	}
	return sum&0xFFFF == t.sum
}
