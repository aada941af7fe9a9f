package archive

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"imgbuild/init/contract/fault"
)

// Types of members; the last is a directory that is there only because something is in it.
const (
	typeFile    = tar.TypeReg
	typeDir     = tar.TypeDir
	typeSymlink = tar.TypeSymlink
	typeLink    = tar.TypeLink
	typeImplied = byte(0)
)

// Meta is what members have next to their content.
type Meta struct {
	Mode     uint16 // 07777
	UID, GID uint32
	Time     time.Time // of the last change; whole seconds are kept
}

// Writer writes an archive. After an error nothing more can be written.
type Writer struct {
	tw *tar.Writer
	members
	err error
}

// NewWriter begins an archive with h, whose Format is set. Nothing is buffered beyond a tar block;
// w is not closed by Close.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Format = Format
	if h.Contents == nil {
		h.Contents = []string{}
	}
	h.Created = h.Created.UTC().Truncate(time.Second)
	if err := h.check(); err != nil {
		return nil, err
	}
	a := &Writer{tw: tar.NewWriter(w), members: members{kind: map[string]byte{}, sum: sha256.New()}}
	return a, a.own(headName, marshal(h))
}

// own writes one of the archive's own members.
func (a *Writer) own(name string, data []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(data)), Format: tar.FormatPAX}
	if err := a.tw.WriteHeader(h); err != nil {
		return err
	}
	_, err := a.tw.Write(data)
	return err
}

// Dir adds a directory. Parents that are never added are made 0755, root's.
func (a *Writer) Dir(name string, m Meta) error { return a.add(name, typeDir, m, 0, "", nil) }

// Symlink adds a symbolic link to any target, which is kept as it is.
func (a *Writer) Symlink(name, target string, m Meta) error {
	m.Mode = 0o777
	return a.add(name, typeSymlink, m, 0, target, nil)
}

// Link adds one more name of a file that was added before.
func (a *Writer) Link(name, old string) error { return a.add(name, typeLink, Meta{}, 0, old, nil) }

// File adds a file of size bytes. r must return at least so many; what it returns beyond them is
// left, as with a log that grows while it is read.
func (a *Writer) File(name string, m Meta, size int64, r io.Reader) error {
	return a.add(name, typeFile, m, size, "", r)
}

func (a *Writer) add(name string, typ byte, m Meta, size int64, target string, r io.Reader) (err error) {
	if a.err != nil {
		return a.err
	}
	defer func() { a.err = err }()
	if m.Mode > 0o7777 || size < 0 || int(m.UID) < 0 || int(m.GID) < 0 { // an int of 32 bits cannot hold the highest owners
		return fault.New(fault.Internal, "", "archive: %s: mode %o, owner %d:%d, %d bytes", name, m.Mode, m.UID, m.GID, size)
	}
	if err := a.members.add(name, typ, target); err != nil {
		return fault.Wrap(err, fault.Input, "", "archive")
	}
	mtime := max(m.Time.Unix(), 0)
	h := &tar.Header{Typeflag: typ, Name: name, Linkname: target, Mode: int64(m.Mode), Uid: int(m.UID), Gid: int(m.GID), Size: size, ModTime: time.Unix(mtime, 0), Format: tar.FormatPAX}
	if typ == typeDir {
		h.Name += "/"
	}
	if err := a.tw.WriteHeader(h); err != nil {
		return err
	}
	a.note(name, typ, h.Mode, int64(m.UID), int64(m.GID), mtime, size, target)
	if size == 0 {
		return nil
	}
	n, err := io.Copy(io.MultiWriter(a.tw, a.sum), io.LimitReader(r, size))
	if err == nil && n < size {
		err = fmt.Errorf("%s ends after %d of %d bytes; did it change meanwhile?", name, n, size)
	}
	return err
}

// Close ends the archive. One that is not closed is not taken by Read.
func (a *Writer) Close() error {
	if a.err != nil {
		return a.err
	}
	a.err = fault.New(fault.Internal, "", "archive: closed already")
	if err := a.own(endName, marshal(a.end())); err != nil {
		return err
	}
	return a.tw.Close()
}

// Members counts what was added so far, and the bytes of its files.
func (a *Writer) Members() (count int, bytes int64) { return a.count, a.bytes }
