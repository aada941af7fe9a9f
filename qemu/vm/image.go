package vm

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"

	"imgbuild/builder/ubootscript"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/contract/mbr"
	"imgbuild/init/contract/userfile"
)

// Image is a disk image opened for reading: its partition table and the files of its FAT volumes.
type Image struct {
	f     *os.File
	Table mbr.Table
	size  int64
}

// Partition numbers of the disk table, as in the MBR.
const (
	Boot  = 1
	SlotA = 2
	SlotB = 3
	Data  = 4
)

// OpenImage reads the partition table of a disk image.
func OpenImage(path string) (*Image, error) {
	f, err := userfile.Open("", path)
	if err != nil {
		return nil, err
	}
	im := &Image{f: f}
	sector := make([]byte, 512)
	if _, err = f.ReadAt(sector, 0); err == nil {
		im.Table, err = mbr.Parse(sector)
	}
	if err == nil {
		im.size, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is not a disk image: %w", path, err)
	}
	return im, nil
}

// Close closes the image's file.
func (im *Image) Close() error { return im.f.Close() }

// Partition returns partition n (1 to 4) as a reader.
func (im *Image) Partition(n int) *io.SectionReader {
	p := im.Table.Partitions[n-1]
	return io.NewSectionReader(im.f, int64(p.Start)*512, int64(p.Sectors)*512)
}

// ReadFile reads a file of the FAT volume on partition n.
func (im *Image) ReadFile(n int, name string) ([]byte, error) {
	data, err := fatfile.ReadFile(im.Partition(n), name)
	if err != nil {
		return nil, fmt.Errorf("partition %d of %s: %w", n, im.f.Name(), err)
	}
	return data, nil
}

// Manifest reads and checks the manifest of the slot on partition n.
func (im *Image) Manifest(n int) (*manifest.Manifest, error) {
	data, err := im.ReadFile(n, manifest.Name)
	if err != nil {
		return nil, err
	}
	sum, err := im.ReadFile(n, manifest.SumName)
	if err != nil {
		return nil, err
	}
	return manifest.Parse(data, sum)
}

// Kernel reads the kernel of a slot, unpacked.
func (im *Image) Kernel(n int) ([]byte, error) {
	data, err := im.ReadFile(n, manifest.KernelName)
	if err != nil || !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, err
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("kernel of partition %d: %w", n, err)
	}
	return io.ReadAll(z)
}

// CommandLine is the kernel command line that boot.scr gives a healthy node's slot a: see
// builder/bootscript. The board's own words are read from there.
func (im *Image) CommandLine(board, console string) string {
	words := []string{"console=tty0", "console=" + console}
	if data, err := im.ReadFile(Boot, "boot.scr"); err == nil {
		if script, _, err := ubootscript.Parse(data); err == nil {
			if m := ownWords.FindStringSubmatch(script); m != nil {
				words = append(words, strings.Fields(m[1])...)
			}
		}
	}
	return strings.Join(append(words, "panic=10", "shelf.disk="+im.Table.PartUUID(Boot), "shelf.slot=a",
		"shelf.board="+board, "shelf.trial=0", "shelf.left=3", "shelf.last="), " ")
}

// ownWords finds what a board adds to the command line.
var ownWords = regexp.MustCompile(`console=\$\{s_console\} (.*)panic=10`)

// Copy copies a disk image, holes and all, and enlarges the copy to size if that is larger.
func Copy(dst, src string, size int64) error {
	return create(dst, func(out *os.File) error { return copyInto(out, src, 0, -1, size) })
}

// CopyPart copies length bytes of a disk image from offset from on, holes and all, into a new file
// of size bytes.
func CopyPart(dst, src string, from, length, size int64) error {
	return create(dst, func(out *os.File) error { return copyInto(out, src, from, length, size) })
}

// create makes a new file.
func create(name string, fill func(*os.File) error) error {
	out, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(fill(out), out.Close())
}

// copyInto is CopyPart into an open file; a negative length means all of src, which size does
// not cut off.
func copyInto(out *os.File, src string, from, length, size int64) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	if length < 0 {
		info, err := in.Stat()
		if err != nil {
			return err
		}
		length = info.Size()
		size = max(size, length)
	}
	if err := copyExtents(out, in, from, from+length); err != nil {
		return err
	}
	return out.Truncate(size)
}

const seekData, seekHole = 3, 4 // lseek(2)

func copyExtents(out, in *os.File, from, end int64) error {
	for at := from; at < end; {
		data, err := in.Seek(at, seekData)
		if errors.Is(err, syscall.ENXIO) || err == nil && data >= end {
			return nil // nothing but a hole is left
		}
		if err != nil {
			return err
		}
		if at, err = in.Seek(data, seekHole); err != nil {
			return err
		}
		at = min(at, end)
		if _, err := in.Seek(data, io.SeekStart); err != nil {
			return err
		}
		if _, err := out.Seek(data-from, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(out, in, at-data); err != nil {
			return err
		}
	}
	return nil
}

// Arch is the architecture of slot A: Debian's name.
func (im *Image) Arch() (string, error) {
	m, err := im.Manifest(SlotA)
	if err != nil {
		return "", err
	}
	return m.Arch, nil
}

// Board is what the builder wrote into BOOT/config.d/00-image.yaml; "" if nothing.
func (im *Image) Board() string {
	data, err := im.ReadFile(Boot, "config.d/00-image.yaml")
	if err != nil {
		return ""
	}
	m := boardLine.FindSubmatch(data)
	if m == nil {
		return ""
	}
	return string(m[1])
}

var boardLine = regexp.MustCompile(`\bboard:\s*"?([a-z0-9-]+)`)
