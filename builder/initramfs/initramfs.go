// Package initramfs writes the small file system that the kernel unpacks before /init: a cpio
// archive (newc) in one zstd frame. The kernel takes one frame for each archive; its window of 1
// MiB is what the kernel allocates, on boards with 512 MB.
//
// Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. Device nodes are
// left out: the archive built into every kernel holds /dev/console, and devtmpfs brings the rest.
package initramfs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/cavaliergopher/cpio"
	"github.com/klauspost/compress/zstd"

	"imgbuild/init/contract/zstdblock"
)

// File types in Entry.Mode, as in stat(2).
const (
	TypeMask = 0o170000
	Regular  = 0o100000
	Dir      = 0o040000
	Symlink  = 0o120000
)

// Entry is one file, directory or link. Owners are root and times zero.
type Entry struct {
	Path   string // init, lib/modules/VER/x.ko; slash separated, no leading slash
	Mode   uint32 // with its type: Regular|0o755
	Target string // of a link
	Data   []byte // of a file, unless Open is set
	Size   int64  // of a file with Open
	Open   func() (io.ReadCloser, error)
}

// Write writes the archive. Entries are sorted, so that the order they come in does not matter, and
// the directories above them must be entries too; errors name the path.
func Write(w io.Writer, entries []Entry) error {
	sorted, err := order(entries)
	if err != nil {
		return err
	}
	// The encoder is our own, so the library's decoder reads along: no initramfs leaves here that
	// does not unpack.
	back, front := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		err := unpack(back)
		back.CloseWithError(err)
		checked <- err
	}()
	z := zstdblock.NewWriter(io.MultiWriter(w, front))
	err = archive(z, sorted)
	if err == nil {
		err = z.Close()
	}
	front.CloseWithError(err) // nil ends the frame
	if e := <-checked; err == nil && e != nil {
		err = fmt.Errorf("the frame does not unpack: %w", e)
	}
	if err != nil && !strings.HasPrefix(err.Error(), "initramfs: ") {
		err = fmt.Errorf("initramfs: %w", err)
	}
	return err
}

// Sum is the sha256 of the archive before it is compressed.
func Sum(entries []Entry) (sum [32]byte, err error) {
	sorted, err := order(entries)
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	err = archive(h, sorted)
	h.Sum(sum[:0])
	return sum, err
}

// order is the order of the archive, whatever the entries come in.
func order(entries []Entry) ([]Entry, error) {
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return sorted, check(sorted)
}

// unpack reads a frame to its end and checks it against its checksum.
func unpack(r io.Reader) error {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = io.Copy(io.Discard, d)
	return err
}

func archive(w io.Writer, entries []Entry) error {
	a := cpio.NewWriter(w)
	for i, e := range entries {
		if err := add(a, e, int64(i)+1); err != nil {
			return fmt.Errorf("initramfs: %s: %w", e.Path, err)
		}
	}
	if err := a.Close(); err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return nil
}

// add writes one entry. Every one has its own inode number: the kernel takes files with the same
// one for hard links.
func add(a *cpio.Writer, e Entry, inode int64) error {
	h := &cpio.Header{Name: e.Path, Mode: cpio.FileMode(e.Mode), Links: 1, Inode: inode, ModTime: time.Unix(0, 0)}
	var data io.Reader
	switch e.Mode & TypeMask {
	case Dir:
		h.Links = 2
	case Symlink:
		data, h.Size = strings.NewReader(e.Target), int64(len(e.Target))
	case Regular:
		data, h.Size = bytes.NewReader(e.Data), int64(len(e.Data))
		if e.Open != nil {
			f, err := e.Open()
			if err != nil {
				return err
			}
			defer f.Close()
			data, h.Size = f, e.Size
		}
	}
	if err := a.WriteHeader(h); err != nil {
		return err
	}
	if data == nil {
		return nil
	}
	n, err := io.Copy(a, data)
	if err == nil && n != h.Size {
		err = fmt.Errorf("%d bytes instead of %d", n, h.Size)
	}
	return err
}

// check refuses what the kernel would unpack wrongly or not at all.
func check(entries []Entry) error {
	dirs := map[string]bool{".": true}
	for i, e := range entries {
		bad := func(what string) error { return fmt.Errorf("initramfs: %q: %s", e.Path, what) }
		switch {
		case e.Path == "" || e.Path == "." || path.IsAbs(e.Path) || path.Clean(e.Path) != e.Path || strings.HasPrefix(e.Path, "../") || e.Path == "..":
			return bad("not a clean relative path")
		case strings.ContainsRune(e.Path, 0) || len(e.Path) > 1024 || e.Path == "TRAILER!!!":
			return bad("not a name that an archive can hold")
		case i > 0 && entries[i-1].Path == e.Path:
			return bad("there twice")
		case !dirs[path.Dir(e.Path)]:
			return bad("the directory above it is missing")
		case e.Mode&^(TypeMask|0o7777) != 0:
			return bad(fmt.Sprintf("mode %#o", e.Mode))
		}
		switch e.Mode & TypeMask {
		case Dir:
			dirs[e.Path] = true
		case Symlink:
			if e.Target == "" || strings.ContainsRune(e.Target, 0) || len(e.Target) > 4095 {
				return bad("a link without a proper target")
			}
		case Regular:
			if size := max(e.Size, int64(len(e.Data))); e.Size < 0 || size > 1<<32-1 {
				return bad(fmt.Sprintf("a size of %d bytes does not fit", e.Size))
			}
		default:
			return bad(fmt.Sprintf("mode %#o is not a file, directory or link", e.Mode))
		}
	}
	return nil
}
