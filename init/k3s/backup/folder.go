package backup

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"imgbuild/init/contract/fault"

	"golang.org/x/sys/unix"
)

// Folder is a directory on an sftp server, for backups of another kind than a k3s server's.
type Folder struct {
	p    *sftpPlace
	done func()
}

// OpenFolder logs in to the server of Backup.To and makes the directory if it is not there. A
// Backup.To with another scheme is an error.
func (j *Job) OpenFolder(ctx context.Context) (*Folder, error) {
	t, err := parseTarget(j.Config.Backup.To)
	if err != nil {
		return nil, err
	}
	if t.scheme != "sftp" {
		return nil, fault.New(fault.Input, "write it like sftp://backup@nas/shelf", "%s is not an sftp:// URL", Shown(j.Config.Backup.To))
	}
	p, done, err := j.login(ctx, t)
	if err != nil {
		return nil, err
	}
	f := &Folder{p, done}
	f.idle()
	return f, nil
}

// Close ends the connection.
func (f *Folder) Close() error { f.done(); return nil }

// busy gives one answer of the server its time; between them there is no limit.
func (f *Folder) busy() { _ = f.p.conn.SetDeadline(time.Now().Add(stallLimit)) }
func (f *Folder) idle() { _ = f.p.conn.SetDeadline(time.Time{}) }

// List returns the sizes of the files and directories below the folder's dir; none if it is not
// there.
func (f *Folder) List(dir string) (map[string]int64, error) {
	f.busy()
	defer f.idle()
	infos, err := f.p.ReadDir(path.Join(f.p.dir, dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	list := map[string]int64{}
	for _, i := range infos {
		list[i.Name()] = i.Size()
	}
	return list, fault.Wrap(err, fault.Network, "", "reading the directory %s", dir)
}

// Put writes a file, whole or not at all, and makes its directory.
func (f *Folder) Put(name string, r io.Reader) error {
	f.busy()
	defer f.idle()
	final := path.Join(f.p.dir, name)
	if err := f.p.MkdirAll(path.Dir(final)); err != nil {
		return unsent(err)
	}
	tmp := final + partSuffix
	file, err := f.p.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY)
	if err != nil {
		return unsent(err)
	}
	_ = file.Chmod(0o600) // not every server allows it
	buf := make([]byte, 128<<10)
	for err == nil {
		var n int
		f.idle()
		n, err = io.ReadFull(r, buf)
		f.busy()
		if n > 0 {
			if _, werr := file.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if _, can := f.p.HasExtension("fsync@openssh.com"); can && err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.p.rename(tmp, final)
	}
	if err != nil {
		f.busy()
		vfs, serr := f.p.StatVFS(f.p.dir)
		_ = f.p.Remove(tmp)
		if serr == nil && noSpace(vfs.Frsize*vfs.Bavail) {
			err = errors.Join(unix.ENOSPC, err)
		}
		return unsent(err)
	}
	return nil
}

// Open opens a file.
func (f *Folder) Open(name string) (io.ReadCloser, error) {
	f.busy()
	defer f.idle()
	file, err := f.p.Open(path.Join(f.p.dir, name))
	if err != nil {
		return nil, fault.Wrap(err, fault.Network, "", "reading %s", name)
	}
	return &folderFile{file, f}, nil
}

type folderFile struct {
	io.ReadCloser
	f *Folder
}

func (r *folderFile) Read(p []byte) (int, error) {
	r.f.busy()
	defer r.f.idle()
	return r.ReadCloser.Read(p)
}

// Remove removes a directory with its files. first is removed before the others.
func (f *Folder) Remove(dir, first string) error {
	files, err := f.List(dir)
	if err != nil {
		return err
	}
	f.busy()
	defer f.idle()
	dir = path.Join(f.p.dir, dir)
	if _, ok := files[first]; ok {
		if err := f.p.Remove(path.Join(dir, first)); err != nil {
			return err
		}
		delete(files, first)
	}
	for name := range files {
		f.busy()
		if err := f.p.Remove(path.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := f.p.RemoveDirectory(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
