// Package atomicfile is the one writer of files that appear under their name whole or not at all, a
// power cut included: a temporary file, fsync, rename, fsync of the directory. Until then they have
// no name (O_TMPFILE of open(2)), so that a process that is killed leaves nothing behind,
// neither space nor secrets. Where the file system has no such files, a hidden one under a lock
// is used, which the next Create in the same directory removes if its writer is gone.
package atomicfile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// prefix begins the names of temporary files.
const prefix = ".imgbuild-new-"

// File is a file that is being written. It is open for reading and writing.
type File struct {
	*os.File
	dir  string
	name string // of the temporary file; empty: there is none
	done bool
}

// Create begins a file in dir with exactly this mode, whatever the umask is. Close it in the end.
func Create(dir string, mode os.FileMode) (*File, error) {
	Sweep(dir)
	return create(dir, mode, false)
}

func create(dir string, mode os.FileMode, named bool) (*File, error) {
	fd, err := -1, error(unix.EOPNOTSUPP)
	if !named {
		fd, err = unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	}
	if err == nil {
		return ready(&File{File: os.NewFile(uintptr(fd), filepath.Join(dir, "new file")), dir: dir}, mode)
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return nil, &os.PathError{Op: "create in", Path: dir, Err: err}
	}
	f, err := os.CreateTemp(dir, prefix+"*")
	if err != nil {
		return nil, err
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // fails on file systems without locks: Sweep then takes nothing away
	return ready(&File{File: f, dir: dir, name: f.Name()}, mode)
}

func ready(f *File, mode os.FileMode) (*File, error) {
	if err := f.Chmod(mode); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Path is a name by which this process and its children with the same descriptor can open the file
// again.
func (f *File) Path() string {
	if f.name != "" {
		return f.name
	}
	return fmt.Sprintf("/proc/self/fd/%d", f.Fd())
}

// Commit makes the content durable and renames the file to its name, in the place of what may be
// there: at every moment, a power cut included, the old content or the new one is there whole. The
// file stays open. name must be on the file system of dir.
func (f *File) Commit(name string) error {
	return f.durably(name, f.Publish)
}

// CommitNew is Commit for a name that must not be taken; else the error is fs.ErrExist.
func (f *File) CommitNew(name string) error {
	return f.durably(name, func(name string) error {
		var err error
		if f.name == "" {
			err = f.link(name)
		} else {
			err = unix.Renameat2(unix.AT_FDCWD, f.name, unix.AT_FDCWD, name, unix.RENAME_NOREPLACE)
		}
		if err != nil {
			return &os.PathError{Op: "create", Path: name, Err: err}
		}
		f.done = true
		return nil
	})
}

func (f *File) durably(name string, give func(string) error) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := give(name); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(name))
}

// Publish is Commit without the wait for the disk: for files that can be made again, and that are
// checked by their sum where they are used.
func (f *File) Publish(name string) error {
	if f.name != "" {
		err := os.Rename(f.name, name)
		f.done = err == nil
		return err
	}
	err := f.link(name)
	if errors.Is(err, unix.EEXIST) { // a link never replaces: it needs a name for a moment
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			return &os.PathError{Op: "lock", Path: name, Err: err}
		}
		temp := temporary(name)
		if err = f.link(temp); err == nil {
			if err = os.Rename(temp, name); err != nil {
				os.Remove(temp)
			}
		}
	}
	if err != nil {
		return &os.LinkError{Op: "name", Old: "a new file", New: name, Err: err}
	}
	f.done = true
	return nil
}

func (f *File) link(to string) error {
	err := unix.Linkat(unix.AT_FDCWD, f.Path(), unix.AT_FDCWD, to, unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, unix.ENOENT) { // /proc may be gone, at the end of a node; this needs root
		err = unix.Linkat(int(f.Fd()), "", unix.AT_FDCWD, to, unix.AT_EMPTY_PATH)
	}
	return err
}

// temporary is a name next to name that nobody else has.
func temporary(name string) string {
	return filepath.Join(filepath.Dir(name), fmt.Sprintf("%s%d", prefix, rand.Int64()))
}

// replace lets create make temp, and renames that to name durably.
func replace(name, temp string, create func(temp string) error) error {
	if err := create(temp); err != nil {
		return err
	}
	if err := os.Rename(temp, name); err != nil {
		os.Remove(temp)
		return err
	}
	return SyncDir(filepath.Dir(name))
}

// Close closes the file and gives it up unless it was committed.
func (f *File) Close() error {
	err := f.File.Close()
	if f.name != "" && !f.done {
		os.Remove(f.name)
	}
	return err
}

// Unfinished reports whether a path is of a file that is in, or of one that a power cut left.
func Unfinished(path string) bool { return strings.HasPrefix(filepath.Base(path), prefix) }

// Sweep removes what writers left in dir that were killed.
func Sweep(dir string) {
	names, _ := filepath.Glob(filepath.Join(escape(dir), prefix+"*"))
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.Remove(name)
		}
		f.Close()
	}
}

// escape makes a pattern for filepath.Glob that matches dir alone.
func escape(dir string) string {
	var out []byte
	for i := range len(dir) {
		switch dir[i] {
		case '*', '?', '[', '\\':
			out = append(out, '\\')
		}
		out = append(out, dir[i])
	}
	return string(out)
}
