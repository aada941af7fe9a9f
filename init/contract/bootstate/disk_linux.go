package bootstate

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// Disk is a Device on a block device. It bypasses the page cache (O_DIRECT): what it reads is what
// U-Boot will read, and nothing else can hold a stale sector. A file on a file system without
// O_DIRECT is opened without it.
type Disk struct {
	f      *os.File
	mu     sync.Mutex
	sector []byte // Size bytes, aligned as O_DIRECT demands
}

// OpenDisk opens the whole disk, such as /dev/mmcblk0; write asks for more than reading. Errors
// name the path.
func OpenDisk(path string, write bool) (*Disk, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	f, err := os.OpenFile(path, flag|syscall.O_DIRECT, 0)
	if errors.Is(err, syscall.EINVAL) {
		f, err = os.OpenFile(path, flag, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("boot record: %w", err)
	}
	const align = 4096
	buf := make([]byte, align+Size)
	skip := (align - int(uintptr(unsafe.Pointer(&buf[0]))%align)) % align
	return &Disk{f: f, sector: buf[skip : skip+Size]}, nil
}

// ReadAt reads one sector.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if err := whole(p, off); err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.f.ReadAt(d.sector, off)
	return copy(p, d.sector[:n]), err
}

// WriteAt writes one sector.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	if err := whole(p, off); err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(d.sector, p)
	return d.f.WriteAt(d.sector, off)
}

func whole(p []byte, off int64) error {
	if len(p) != Size || off%Size != 0 {
		return fmt.Errorf("boot record: %d bytes at %d are not one sector", len(p), off)
	}
	return nil
}

// Flush makes the device write out its own cache.
func (d *Disk) Flush() error { return d.f.Sync() }

// Close closes the device.
func (d *Disk) Close() error { return d.f.Close() }
