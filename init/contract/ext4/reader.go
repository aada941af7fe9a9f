package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Reader reads an ext2, ext3 or ext4 file system that another program wrote, and never writes: its
// journal is applied to the blocks in memory, as mounting would have put it there. Checksums are
// verified where the file system has them. A damaged or hostile file system gives errors of type
// *Damage, never a panic or a loop without end.
//
// go-diskfs is not used for this: it returns what is next to a hole for the hole, and old bytes of
// the disk for extents that are allocated and not written, as databases make them, without an
// error; and it does not look into the journal.
type Reader struct {
	Label    string
	UUID     [16]byte
	Written  time.Time // when it was last written
	Errors   bool      // the kernel has noted errors in it
	Replayed int       // transactions that were taken from the journal

	r       io.ReaderAt
	size    int64
	block   int64
	blocks  uint64
	inodes  uint32
	perGrp  uint32 // inodes per group
	inodeSz int64
	compat  uint32
	incompt uint32
	roCompt uint32
	seed    uint32
	gdt     []byte
	descSz  int64
	journal uint32              // inode; 0 for none
	overlay map[uint64]logBlock // newest content of blocks, from the journal
}

// Damage is the error of a damaged file system.
type Damage struct{ What string }

func (d *Damage) Error() string { return "the file system is damaged: " + d.What }

func damaged(format string, args ...any) error { return &Damage{fmt.Sprintf(format, args...)} }

// Unsupported names features that this reader does not know.
type Unsupported struct{ Features []string }

func (u *Unsupported) Error() string {
	return "the file system has features that are not known here: " + strings.Join(u.Features, ", ")
}

// ErrNone means that there is no such file system.
var ErrNone = errors.New("no ext4 file system: its magic number is missing")

// Features that matter to a reader.
const (
	compatJournal  = 0x4
	incompRecover  = 0x4
	incompMetaBG   = 0x10
	incompat64     = 0x80
	incompCsumSeed = 0x2000
	roMetadataCsum = 0x400
	roGDTCsum      = 0x10
	known          = 0x2 | incompRecover | incompMetaBG | 0x40 | incompat64 | 0x100 | 0x200 | 0x400 | incompCsumSeed | 0x4000
)

var incompatNames = map[uint32]string{0x1: "compression", 0x8: "journal_dev", 0x1000: "dirdata", 0x8000: "inline_data", 0x10000: "encrypt", 0x20000: "casefold"}

const maxDescriptors = 64 << 20 // bytes; of 128 TiB

// NewReader opens the file system at the start of r, which has size bytes. Errors: ErrNone,
// *Damage, *Unsupported, those of r.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	f := &Reader{r: r, size: size}
	sb := make([]byte, 1024)
	if size < 2048 {
		return nil, ErrNone
	}
	if err := readAt(r, sb, 1024); err != nil {
		return nil, err
	}
	if err := f.super(sb); err != nil {
		return nil, err
	}
	if f.incompt&incompRecover == 0 {
		return f, f.descriptors()
	}
	// The journal's blocks may be newer than all that was read until now.
	if err := f.replay(); err != nil {
		return nil, fmt.Errorf("replaying the journal: %w", err)
	}
	b, err := f.readBlock(uint64(1024 / f.block))
	if err != nil {
		return nil, err
	}
	copy(sb, b[1024%f.block:])
	if err := f.super(sb); err != nil {
		return nil, err
	}
	return f, f.descriptors()
}

func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return damaged("it ends before byte %d, the card or the image is cut off", off+int64(len(b)))
	}
	return err
}

// super reads a superblock; see Documentation/filesystems/ext4/super.rst of the kernel.
func (f *Reader) super(sb []byte) error {
	le := binary.LittleEndian
	if le.Uint16(sb[0x38:]) != 0xEF53 {
		return ErrNone
	}
	f.compat, f.incompt, f.roCompt = le.Uint32(sb[0x5C:]), le.Uint32(sb[0x60:]), le.Uint32(sb[0x64:])
	if le.Uint32(sb[0x4C:]) == 0 { // revision 0 has no features and small inodes
		f.compat, f.incompt, f.roCompt = 0, 0, 0
	}
	if unknown := f.incompt &^ known; unknown != 0 {
		var names []string
		for bit := uint32(1); bit != 0; bit <<= 1 {
			if name := incompatNames[bit]; unknown&bit != 0 && name != "" {
				names = append(names, name)
			} else if unknown&bit != 0 {
				names = append(names, fmt.Sprintf("incompat %#x", bit))
			}
		}
		return &Unsupported{names}
	}
	if f.roCompt&roMetadataCsum != 0 && checksum(^uint32(0), sb[:0x3FC]) != le.Uint32(sb[0x3FC:]) {
		return damaged("the superblock's checksum is wrong")
	}
	f.Label = strings.TrimRight(string(sb[0x78:0x88]), "\x00")
	copy(f.UUID[:], sb[0x68:])
	f.Written = time.Unix(int64(le.Uint32(sb[0x30:]))|int64(sb[0x274])<<32, 0)
	f.Errors = le.Uint16(sb[0x3A:])&2 != 0
	shift := le.Uint32(sb[0x18:])
	if shift > 6 {
		return damaged("block size 2^%d", shift+10)
	}
	f.block = 1024 << shift
	f.blocks = uint64(le.Uint32(sb[0x04:]))
	f.descSz = 32
	if f.incompt&incompat64 != 0 {
		f.blocks |= uint64(le.Uint32(sb[0x150:])) << 32
		f.descSz = int64(le.Uint16(sb[0xFE:]))
		if f.descSz < 64 || f.descSz > 1024 || f.descSz&(f.descSz-1) != 0 {
			return damaged("group descriptors of %d bytes", f.descSz)
		}
	}
	f.inodes, f.perGrp = le.Uint32(sb[0x00:]), le.Uint32(sb[0x28:])
	f.inodeSz = 128
	if le.Uint32(sb[0x4C:]) > 0 {
		f.inodeSz = int64(le.Uint16(sb[0x58:]))
	}
	f.seed = checksum(^uint32(0), f.UUID[:])
	if f.incompt&incompCsumSeed != 0 {
		f.seed = le.Uint32(sb[0x270:])
	}
	f.journal = 0
	if f.compat&compatJournal != 0 {
		f.journal = le.Uint32(sb[0xE0:])
	}
	perGroup, first := uint64(le.Uint32(sb[0x20:])), uint64(le.Uint32(sb[0x14:]))
	switch {
	case f.inodeSz < 128 || f.inodeSz > f.block || f.inodeSz&(f.inodeSz-1) != 0:
		return damaged("inodes of %d bytes", f.inodeSz)
	case perGroup == 0 || perGroup > uint64(f.block)*8 || f.perGrp == 0 || f.perGrp > uint32(f.block)*8:
		return damaged("groups of %d blocks and %d inodes", perGroup, f.perGrp)
	case first > 1 || f.blocks <= first || f.blocks > 1<<48 || f.blocks > uint64(f.size/f.block):
		return damaged("it claims %d blocks of %d bytes, and there is space for %d: the card or the image is cut off", f.blocks, f.block, f.size/f.block)
	}
	groups := (f.blocks - first + perGroup - 1) / perGroup
	if groups*uint64(f.descSz) > maxDescriptors || uint64(f.inodes) > groups*uint64(f.perGrp) {
		return damaged("%d inodes in %d groups", f.inodes, groups)
	}
	f.gdt = make([]byte, groups*uint64(f.descSz))
	return f.locate(sb, first, perGroup)
}

// locate reads the descriptor blocks: with meta_bg those from the first meta group on do so in the
// groups that they describe.
func (f *Reader) locate(sb []byte, first, perGroup uint64) error {
	perBlock := uint64(f.block / f.descSz)
	firstMeta := uint64(1) << 62
	if f.incompt&incompMetaBG != 0 {
		firstMeta = uint64(binary.LittleEndian.Uint32(sb[0x104:]))
	}
	for i := uint64(0); i*uint64(f.block) < uint64(len(f.gdt)); i++ {
		at := first + 1 + i
		if i >= firstMeta {
			group := i * perBlock
			at = first + group*perGroup
			if hasSuper(uint32(group)) || f.roCompt&1 == 0 {
				at++
			}
		}
		b, err := f.readBlock(at)
		if err != nil {
			return err
		}
		copy(f.gdt[i*uint64(f.block):], b)
	}
	return nil
}

// descriptors verifies the group descriptors.
func (f *Reader) descriptors() error {
	if f.roCompt&roMetadataCsum == 0 {
		return nil
	}
	le := binary.LittleEndian
	for i := int64(0); i*f.descSz < int64(len(f.gdt)); i++ {
		d := append([]byte(nil), f.gdt[i*f.descSz:(i+1)*f.descSz]...)
		want := le.Uint16(d[0x1E:])
		le.PutUint16(d[0x1E:], 0)
		if uint16(checksum(checksum(f.seed, le.AppendUint32(nil, uint32(i))), d)) != want {
			return damaged("the checksum of group descriptor %d is wrong", i)
		}
	}
	return nil
}

// readBlock reads a block, the journal's content of it first.
func (f *Reader) readBlock(n uint64) ([]byte, error) {
	b := make([]byte, f.block)
	return b, f.readPart(b, n, 0)
}

// readPart reads len(b) bytes from byte off of block n on; they do not reach into the next one.
func (f *Reader) readPart(b []byte, n uint64, off int64) error {
	if n >= f.blocks {
		return damaged("block %d is beyond its end", n)
	}
	newer, ok := f.overlay[n]
	if !ok {
		return readAt(f.r, b, int64(n)*f.block+off)
	}
	if err := readAt(f.r, b, int64(newer.at)*f.block+off); err != nil {
		return err
	}
	if newer.escaped { // its first four bytes were those that mark the journal's own blocks
		var magic [4]byte
		binary.BigEndian.PutUint32(magic[:], journalMagic)
		if off < 4 {
			copy(b, magic[off:])
		}
	}
	return nil
}
