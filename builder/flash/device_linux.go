package flash

import (
	"errors"
	"io"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// Card is a Target that is a disk, or a file in the place of one.
type Card struct {
	f      *os.File
	size   int64
	block  bool
	direct bool // the caches of this machine are passed by
}

// Open opens a disk for this process alone: the kernel refuses one that is mounted or in use
// otherwise. A regular file must exist and is overwritten.
func Open(name string) (*Card, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "check the path", "the target")
	}
	c := &Card{block: info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0}
	if !c.block && !info.Mode().IsRegular() {
		return nil, fault.New(fault.Usage, "give a disk such as /dev/sdb", "%s is neither a disk nor a file", name)
	}
	flags := os.O_RDWR | unix.O_CLOEXEC
	if c.block {
		flags |= unix.O_EXCL
	}
	c.f, err = os.OpenFile(name, flags|unix.O_DIRECT, 0)
	c.direct = err == nil
	if errors.Is(err, unix.EINVAL) { // a file system without it
		c.f, err = os.OpenFile(name, flags, 0)
	}
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, fault.Wrap(err, fault.Device, "run it with sudo", "opening %s", name)
	case errors.Is(err, unix.EBUSY):
		return nil, fault.Wrap(err, fault.Device, "close what uses it; lsblk "+terminal.Quote(name)+" shows it", "%s is in use", name)
	case errors.Is(err, unix.ENOMEDIUM):
		return nil, fault.Wrap(err, fault.Device, "put a card into it", "%s has no medium", name)
	case errors.Is(err, unix.EROFS):
		return nil, fault.Wrap(err, fault.Device, "move the switch of the card or its adapter", "%s is write-protected", name)
	case err != nil:
		return nil, fault.Wrap(err, fault.Device, "", "opening %s", name)
	}
	if c.size, err = c.f.Seek(0, io.SeekEnd); err != nil {
		c.f.Close()
		return nil, fault.Wrap(err, fault.Device, "", "the size of %s", name)
	}
	return c, nil
}

// Size is in bytes.
func (c *Card) Size() int64 { return c.size }

// WriteAt writes through the caches where the disk can.
func (c *Card) WriteAt(p []byte, off int64) (int, error) { return c.f.WriteAt(p, off) }

// Sync waits until the disk has everything on its medium.
func (c *Card) Sync() error { return c.f.Sync() }

// Reread reads from the medium.
func (c *Card) Reread(p []byte, off int64) error {
	if !c.direct {
		if err := unix.Fadvise(int(c.f.Fd()), off, int64(len(p)), unix.FADV_DONTNEED); err != nil {
			return os.NewSyscallError("fadvise", err)
		}
	}
	n, err := c.f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	return orShort(err)
}

// Close ends the use of the disk. After a success the kernel reads its partition table again, so
// that a desktop shows the card.
func (c *Card) Close() error { return c.f.Close() }

// Announce asks the kernel to read the partition table. That it does not is not an error: pulling
// the card and putting it in again does the same.
func (c *Card) Announce() {
	for range 5 { // udev looks at a disk when its writer closes it
		if !c.block || unix.IoctlSetInt(int(c.f.Fd()), unix.BLKRRPART, 0) == nil {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// aligned is memory that O_DIRECT takes: it begins at a page.
func aligned(n int) []byte {
	const page = 4096
	b := make([]byte, n+page)
	skip := 0
	if at := int(uintptr(unsafe.Pointer(&b[0])) % page); at != 0 {
		skip = page - at
	}
	return b[skip : skip+n : skip+n]
}
