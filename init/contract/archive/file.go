package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"

	"github.com/klauspost/compress/zstd"
)

// Create writes an archive to a file, 0600 because it holds secrets, whole or not at all: fill adds
// the members, and what is under name afterwards, a power cut included, is the old file or the
// whole new one. It is compressed if name ends in .zst.
func Create(name string, h Header, fill func(*Writer) error) (err error) {
	dir := filepath.Dir(name)
	f, err := atomicfile.Create(dir, 0o600)
	if err != nil {
		return fault.Wrap(err, fault.Device, "give a file in a directory that exists and that you may write to", "writing %s", name)
	}
	defer f.Close()
	var w io.Writer = f
	var z *zstd.Encoder
	if strings.HasSuffix(name, ".zst") {
		// One goroutine and a small window: nodes do this in little memory next to their work.
		if z, err = zstd.NewWriter(f, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true), zstd.WithEncoderLevel(zstd.SpeedFastest)); err != nil {
			return err
		}
		w = z
	}
	b := bufio.NewWriterSize(w, 256<<10)
	a, err := NewWriter(b, h)
	if err != nil {
		return err
	}
	if err = fill(a); err != nil {
		return err
	}
	err = a.Close()
	if err == nil {
		err = b.Flush()
	}
	if z != nil {
		err = errors.Join(err, z.Close())
	}
	if err == nil {
		err = f.Commit(name)
	}
	return fault.Wrap(err, fault.Device, "is the disk full?", "writing %s", name)
}

var zstdMagic = []byte{0x28, 0xB5, 0x2F, 0xFD}

// ReadFile is Read for a file, compressed or not, as its first bytes show.
func ReadFile(name string, head func(Header) error, each func(*tar.Header, io.Reader) error) error {
	f, err := os.Open(name)
	if err != nil {
		return fault.Wrap(err, fault.Input, "give a file that is there", "reading the archive")
	}
	defer f.Close()
	var r io.Reader = bufio.NewReaderSize(f, 256<<10)
	if first, _ := r.(*bufio.Reader).Peek(4); bytes.Equal(first, zstdMagic) {
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	}
	err = Read(r, head, each)
	var reported *fault.Error
	if errors.As(err, &reported) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return err
}
