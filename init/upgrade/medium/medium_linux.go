// Package medium is a slot's partition as package slot writes it: written through the page cache,
// flushed with fsync, which sends the device a flush, and read back past the cache.
package medium

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"unsafe"

	"imgbuild/init/contract/fault"

	"golang.org/x/sys/unix"
)

// Partition is a slot's partition; offsets are from its start. Nothing outside of it can be
// written.
type Partition struct {
	f      *os.File
	direct *direct
	size   int64
}

// Open opens the partition at path. Errors have a kind.
func Open(path string) (*Partition, error) {
	// O_EXCL: the kernel refuses if a file system of the partition is mounted.
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "", "the slot that does not run")
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size == 0 {
		err = errors.New("it has no bytes")
	}
	var d *os.File
	if err == nil {
		d, err = os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	}
	if errors.Is(err, unix.EINVAL) { // a file of a file system without it
		d, err = os.Open(path)
	}
	if err != nil {
		f.Close()
		return nil, fault.Wrap(err, fault.Device, "", "the slot that does not run, %s", path)
	}
	return &Partition{f: f, direct: &direct{f: d, buf: aligned(bounce)}, size: size}, nil
}

// Size is how many bytes the partition has.
func (p *Partition) Size() int64 { return p.size }

// ReadAt reads through the page cache.
func (p *Partition) ReadAt(b []byte, off int64) (int, error) { return p.f.ReadAt(b, off) }

// WriteAt writes through the page cache, any number of bytes anywhere.
func (p *Partition) WriteAt(b []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(b)) > p.size {
		return 0, fmt.Errorf("%d bytes at %d are outside of the partition", len(b), off)
	}
	return p.f.WriteAt(b, off)
}

// Flush returns when all is on the medium.
func (p *Partition) Flush() error { return p.f.Sync() }

// Direct reads whole sectors from the medium.
func (p *Partition) Direct() io.ReaderAt { return p.direct }

// Close closes both descriptors.
func (p *Partition) Close() error { return errors.Join(p.f.Close(), p.direct.f.Close()) }

// Disk is a whole disk, parts of which are in use. Every access bypasses the page cache and is of
// whole sectors, so that a write of one sector is one on the medium.
type Disk struct{ *direct }

// OpenDisk opens the disk at path. Errors have a kind.
func OpenDisk(path string) (Disk, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) { // a file of a file system without it
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return Disk{}, fault.Wrap(err, fault.Device, "", "the disk")
	}
	return Disk{&direct{f: f, buf: aligned(bounce)}}, nil
}

// WriteAt writes whole sectors.
func (d Disk) WriteAt(b []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	done := 0
	for done < len(b) {
		n := copy(d.buf, b[done:])
		k, err := d.f.WriteAt(d.buf[:n], off+int64(done))
		if done += k; err != nil {
			return done, err
		}
	}
	return done, nil
}

// Flush returns when all is on the medium.
func (d Disk) Flush() error { return d.f.Sync() }

// Direct reads whole sectors from the medium.
func (d Disk) Direct() io.ReaderAt { return d.direct }

// Close closes the disk.
func (d Disk) Close() error { return d.f.Close() }

// bounce is how much is read from the medium in one request, align what O_DIRECT asks of memory.
const (
	bounce = 1 << 20
	align  = 4096
)

func aligned(n int) []byte {
	buf := make([]byte, n+align)
	skip := (align - int(uintptr(unsafe.Pointer(&buf[0]))%align)) % align
	return buf[skip : skip+n]
}

// direct reads with O_DIRECT into memory that is aligned for it.
type direct struct {
	mu  sync.Mutex
	f   *os.File
	buf []byte
}

func (d *direct) ReadAt(b []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	done := 0
	for done < len(b) {
		n := min(len(b)-done, len(d.buf))
		k, err := d.f.ReadAt(d.buf[:n], off+int64(done))
		done += copy(b[done:], d.buf[:k])
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
