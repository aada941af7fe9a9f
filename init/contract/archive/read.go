package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"path"

	"imgbuild/init/contract/fault"
)

// Read reads an uncompressed archive: head once, then each for every member in order, its name
// without a slash at its end. Content comes from the reader given to each, which need not be read.
// Either may be nil. Errors of the two end the reading and come back as they are; whatever is wrong
// with the archive itself is of kind Input. Only after Read has given nil is known that the archive
// is whole and unchanged, so keep what it gives under a temporary name until then.
func Read(r io.Reader, head func(Header) error, each func(*tar.Header, io.Reader) error) error {
	tr := tar.NewReader(r)
	h, err := readHeader(tr)
	if err != nil {
		return err
	}
	if head != nil {
		if err := head(h); err != nil {
			return err
		}
	}
	m := members{kind: map[string]byte{}, sum: sha256.New()}
	for {
		th, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return fault.New(fault.Input, again, "the archive is cut off after %d members", m.count)
		}
		if err != nil {
			return damaged(err)
		}
		if th.Name == endName {
			return m.readEnd(tr, th)
		}
		if err := m.member(tr, th, each); err != nil {
			return err
		}
	}
}

const again = "make it again, or copy it again"

func damaged(err error) error {
	return fault.Wrap(err, fault.Input, again, "the archive cannot be read")
}

func readHeader(tr *tar.Reader) (h Header, err error) {
	const fix = "give a file that `imgbuild migrate` or a node's backup wrote"
	th, err := tr.Next()
	if err != nil || th.Name != headName || th.Typeflag != tar.TypeReg || th.Size > maxHead {
		if err == nil || errors.Is(err, tar.ErrHeader) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return h, fault.New(fault.Input, fix, "this is not a node archive: it does not begin with %s", headName)
		}
		return h, damaged(err)
	}
	data, err := io.ReadAll(tr)
	if err != nil {
		return h, damaged(err)
	}
	if err := json.Unmarshal(data, &h); err != nil {
		return h, fault.Wrap(err, fault.Input, fix, "%s", headName)
	}
	return h, h.check()
}

func (m *members) member(tr *tar.Reader, th *tar.Header, each func(*tar.Header, io.Reader) error) error {
	bad := func(err error) error {
		return fault.Wrap(err, fault.Input, again, "the archive is refused")
	}
	typ := th.Typeflag
	if typ == typeDir && len(th.Name) > 1 && th.Name[len(th.Name)-1] == '/' {
		th.Name = th.Name[:len(th.Name)-1]
	}
	const most = 1<<32 - 1
	switch {
	case th.Uid < 0 || th.Gid < 0 || int64(th.Uid) > most || int64(th.Gid) > most:
		return bad(errors.New(path.Base(th.Name) + " has an owner that is none"))
	case th.Mode < 0 || th.Mode > 0o7777:
		return bad(errors.New(path.Base(th.Name) + " has a mode that is none"))
	case typ != typeFile && th.Size != 0:
		return bad(errors.New(path.Base(th.Name) + " is not a file and has content"))
	}
	for key := range th.PAXRecords {
		switch key { // what the writer's tar may put there
		case "path", "linkpath", "size", "uid", "gid", "mtime":
		default:
			return bad(errors.New(path.Base(th.Name) + " has the attribute " + key))
		}
	}
	if err := m.add(th.Name, typ, th.Linkname); err != nil {
		return bad(err)
	}
	m.note(th.Name, typ, th.Mode, int64(th.Uid), int64(th.Gid), th.ModTime.Unix(), th.Size, th.Linkname)
	content := io.TeeReader(tr, m.sum)
	if each != nil {
		if err := each(th, content); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, content); err != nil {
		return damaged(err)
	}
	return nil
}

// readEnd compares the archive's own count with what was read; anything after it is an
// error.
func (m *members) readEnd(tr *tar.Reader, th *tar.Header) error {
	var want end
	if th.Typeflag != tar.TypeReg || th.Size > maxHead {
		return fault.New(fault.Input, again, "the archive's end is damaged")
	}
	data, err := io.ReadAll(tr)
	if err != nil {
		return damaged(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		return damaged(err)
	}
	if want != m.end() {
		return fault.New(fault.Input, again, "the archive was changed after it was made: its sum is another")
	}
	if _, err := tr.Next(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Input, again, "the archive goes on after its end")
	}
	return nil
}
