package atomicfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Write writes a file whole or not at all and durably, with exactly this mode. It belongs to the
// user of the process.
func Write(name string, data []byte, mode os.FileMode) error {
	return write(name, data, mode, func(*File) error { return nil })
}

// WriteAs is Write for a file of another user.
func WriteAs(name string, data []byte, mode os.FileMode, uid, gid int) error {
	return write(name, data, mode, func(f *File) error { return f.own(uid, gid) })
}

func write(name string, data []byte, mode os.FileMode, own func(*File) error) error {
	f, err := Create(filepath.Dir(name), 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := own(f); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil { // a change of owner and a write take set-uid bits away
		return err
	}
	return f.Commit(name)
}

// own sets the owner unless it is right already: then nobody needs to be root.
func (f *File) own(uid, gid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: f.Path(), Err: err}
	}
	if int(st.Uid) == uid && int(st.Gid) == gid {
		return nil
	}
	return f.Chown(uid, gid)
}

// Update is Write, but leaves a file alone that is right already: it may be on a card, and others
// may watch it.
func Update(name string, data []byte, mode os.FileMode) error {
	if st, err := os.Lstat(name); err == nil && st.Mode() == mode && st.Size() == int64(len(data)) {
		if have, err := os.ReadFile(name); err == nil && bytes.Equal(have, data) {
			return nil
		}
	}
	return Write(name, data, mode)
}

// Symlink makes name a link to target, in the place of what may be there.
func Symlink(target, name string) error {
	temp := filepath.Join(filepath.Dir(name), prefix+filepath.Base(name))
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a power cut
		return err
	}
	return replace(name, temp, func(temp string) error { return os.Symlink(target, temp) })
}

// Link makes name another name of the file old, in the place of what may be there.
func Link(old, name string) error {
	f, err := os.Open(old)
	if err != nil {
		return err
	}
	defer f.Close()
	_ = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) // so that Sweep leaves the new name alone
	return replace(name, temporary(name), func(temp string) error { return os.Link(old, temp) })
}

// Rename renames a finished file, whose content is durable, in its file system.
func Rename(old, name string) error {
	if err := os.Rename(old, name); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(name))
}

// SyncDir makes the names in a directory durable. Some network file systems cannot do that for
// directories and do not need it.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}
