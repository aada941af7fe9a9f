package flash

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"imgbuild/builder/bmap"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mbr"
	"imgbuild/init/contract/userfile"
)

// Source is an image that can be written to cards. Close it in the end.
type Source struct {
	File  io.ReaderAt
	Map   *bmap.Map // what is written
	Whole bool      // there is no block map: everything is written

	close func() error
	boot  []byte // BOOT as it is written; nil as in the image
}

// Close gives up the file.
func (s *Source) Close() error { return s.close() }

// maxMap bounds a block map, in bytes.
const maxMap = 16 << 20

// OpenImage opens an image of imgbuild's with the block map next to it, name.bmap.
func OpenImage(name string) (*Source, error) {
	f, err := userfile.Open("", name)
	if err != nil {
		return nil, err
	}
	s, err := newSource(f, name)
	if err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func newSource(f *os.File, name string) (*Source, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := &Source{File: f, close: f.Close}
	sector := make([]byte, mbr.SectorSize)
	if _, err := f.ReadAt(sector, 0); err != nil {
		return nil, fault.New(fault.Input, "give a .img or .img.zst that imgbuild has built", "%s is not an image", name)
	}
	t, err := mbr.Parse(sector)
	if err != nil || t.Partitions[0].Start != diskmap.Boot/mbr.SectorSize || t.Partitions[3].Start != diskmap.Data/mbr.SectorSize {
		return nil, fault.New(fault.Input, "give a .img or .img.zst that imgbuild has built", "%s is not an image of imgbuild's", name)
	}
	if end := int64(t.Partitions[3].End()) * mbr.SectorSize; end > info.Size() || info.Size()%mbr.SectorSize != 0 {
		return nil, fault.New(fault.Input, "build or copy it again", "%s was cut short: it has %d bytes, its partitions end at %d", name, info.Size(), end)
	}
	data, err := readMap(name + ".bmap")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Whole = true
		s.Map = &bmap.Map{Size: info.Size(), Ranges: []bmap.Range{{Start: 0, End: info.Size()}}}
	case err != nil:
		return nil, err
	default:
		if s.Map, err = bmap.Parse(data); err != nil {
			return nil, fault.Wrap(err, fault.Input, "build the image again, or remove the block map: then all of the image is written", "%s.bmap", name)
		}
		if s.Map.Size != info.Size() {
			return nil, fault.New(fault.Input, "build the image again, or remove the block map", "%s.bmap is for an image of %d bytes, not %d", name, s.Map.Size, info.Size())
		}
	}
	return s, nil
}

func readMap(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxMap))
}

// Configure puts a configuration in the place of the image's own, on what is written: the image
// stays as it is. It must fit into the space that the file has there.
func (s *Source) Configure(config []byte) error {
	boot := make([]byte, diskmap.BootSize)
	if _, err := s.File.ReadAt(boot, diskmap.Boot); err != nil {
		return fault.Wrap(err, fault.Input, "", "reading BOOT of the image")
	}
	volume := memory(boot)
	if _, size, err := fatfile.Locate(volume, "config.yaml"); err != nil {
		return fault.Wrap(err, fault.Input, "build the image again", "BOOT of the image")
	} else if int64(len(config)) > size {
		return fault.New(fault.Input, "build the image with it: config=FILE of imgbuild build", "the configuration has %d bytes, and this image has space for %d", len(config), size)
	}
	if err := fatfile.Overwrite(volume, "config.yaml", config, ' '); err != nil {
		return fault.Wrap(err, fault.Input, "build the image again", "writing the configuration into BOOT")
	}
	s.boot = boot
	return nil
}

// memory is a volume in memory.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(m).ReadAt(p, off) }
func (m memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(m)) {
		return 0, io.ErrShortWrite
	}
	return copy(m[off:], p), nil
}

// read reads what is to be written, which inside BOOT may differ from the image.
func (s *Source) read(p []byte, off int64) error {
	if n, err := s.File.ReadAt(p, off); n < len(p) {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return fault.Wrap(err, fault.Input, "build or copy it again", "reading the image at %d", off)
	}
	s.patch(p, off)
	return nil
}

// patch replaces the part of p, which is the image's from off on, that is changed on the card.
func (s *Source) patch(p []byte, off int64) {
	if s.boot == nil {
		return
	}
	from, to := max(off, diskmap.Boot), min(off+int64(len(p)), diskmap.Boot+diskmap.BootSize)
	if from < to {
		copy(p[from-off:to-off], s.boot[from-diskmap.Boot:to-diskmap.Boot])
	}
}

// table is the partition table of a card of this size: partition 4 reaches to its end, and the
// signature is one that no other card has, or two cards of one image could not be distinguished.
func (s *Source) table(first []byte, size int64) error {
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	signature := max(binary.LittleEndian.Uint32(random[:]), 1)
	grown, err := mbr.Grow(first, 4, uint64(size)/mbr.SectorSize, diskmap.Erase/mbr.SectorSize, signature)
	if err != nil {
		return fmt.Errorf("the partition table of the image: %w", err)
	}
	copy(first, grown)
	binary.LittleEndian.PutUint32(first[mbr.CodeSize:], signature)
	return nil
}
