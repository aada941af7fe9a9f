// Package fatfile finds, reads and overwrites files that exist on a FAT volume (12, 16 or 32 bit),
// without mounting it and without ever changing a FAT or a directory: an interrupted write can
// damage nothing but the file's own content. The node keeps the boot report and blanks secrets in
// this way.
//
// A laptop may have written the card since it was flashed: files may be in pieces, clusters have
// any size, names be long. And cards break: whatever a volume claims about itself is checked, no
// chain is followed twice around, and memory stays bounded. Sources: Microsoft FAT32 File System
// Specification 1.03, and Linux where that is more lenient.
//
// All reads and writes are whole 512-byte sectors from and to buffers that are aligned to 4 KiB, as
// O_DIRECT needs it.
package fatfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// ErrDamaged means that a volume contradicts itself. Errors about what is not there are
// fs.ErrNotExist.
var ErrDamaged = errors.New("the FAT volume is damaged")

const (
	maxRead    = 16 << 20 // ReadFile refuses larger files
	maxExtents = 1 << 16  // and all functions a file in more pieces
	chunk      = 64 << 10 // bytes per read or write
)

// Extent is a piece of the volume, in bytes from its start.
type Extent struct{ Offset, Size int64 }

// ReadWriterAt is a volume that can be written: a partition, opened with or without O_DIRECT.
type ReadWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// Locate returns the pieces of a file in order, neighbours joined, and its size. The last piece
// ends with the file, not with its cluster. The path has slashes and no leading one; as FAT has it,
// case does not count, and the short name of a long one will do.
func Locate(r io.ReaderAt, path string) ([]Extent, int64, error) {
	v, err := open(r)
	if err != nil {
		return nil, 0, err
	}
	return v.locate(path)
}

func (v *volume) locate(path string) ([]Extent, int64, error) {
	e, err := v.find(path)
	if err != nil {
		return nil, 0, err
	}
	list, err := v.extents(e)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	return list, e.size, nil
}

// ReadFile returns the content of a file of up to 16 MiB.
func ReadFile(r io.ReaderAt, path string) ([]byte, error) {
	list, size, err := Locate(r, path)
	if err != nil {
		return nil, err
	}
	if size > maxRead {
		return nil, fmt.Errorf("%s has %d bytes, more than %d are not read", path, size, maxRead)
	}
	data := make([]byte, 0, size)
	buf := alignedBuffer(chunk)
	for _, e := range list {
		for at := e.Offset; at < e.Offset+e.Size; at += chunk {
			want := min(chunk, e.Offset+e.Size-at)
			b := buf[:sectors(want)]
			if err := readFull(r, b, at); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			data = append(data, b[:want]...)
		}
	}
	return data, nil
}

// Overwrite replaces the content of an existing file in place. Its size stays: shorter data is
// filled up with pad, longer data is an error, and then nothing is written. Parts that do not
// change are not written, nor are bytes after the file's end. The caller flushes. A failed write
// leaves old and new content mixed. On a volume whose directories are damaged, or share clusters
// with the file, nothing is written.
func Overwrite(rw ReadWriterAt, path string, data []byte, pad byte) error {
	v, err := open(rw)
	if err != nil {
		return err
	}
	list, size, err := v.locate(path)
	if err != nil {
		return err
	}
	if err := v.apart(list); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if int64(len(data)) > size {
		return fmt.Errorf("%s: %d bytes do not fit into the %d that the file has", path, len(data), size)
	}
	buf, old := alignedBuffer(chunk), alignedBuffer(chunk)
	for _, e := range list {
		for at := e.Offset; at < e.Offset+e.Size; at += chunk {
			want := min(chunk, e.Offset+e.Size-at)
			was, b := old[:sectors(want)], buf[:sectors(want)]
			if err := readFull(rw, was, at); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			copy(b, was)
			n := copy(b[:want], data)
			data = data[n:]
			for i := n; i < int(want); i++ {
				b[i] = pad
			}
			if bytes.Equal(b, was) {
				continue
			}
			if _, err := rw.WriteAt(b, at); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return nil
}

func notExist(path string) error {
	return &fs.PathError{Op: "find on FAT", Path: path, Err: fs.ErrNotExist}
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}
