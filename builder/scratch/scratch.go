// Package scratch makes temporary files and directories that do not outlive their owner: each is
// held under flock(2), so that the next start can distinguish what a killed process left behind
// from what a running one uses, and sweeps it.
package scratch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Mark begins the name of everything that this package makes; Sweep touches nothing else.
const Mark = ".imgbuild-"

// Dir is a temporary directory.
type Dir struct {
	Path string
	held *os.File
}

// NewDir makes an empty directory in parent with mode 0700. purpose becomes part of its name.
func NewDir(parent, purpose string) (*Dir, error) {
	for {
		path, err := os.MkdirTemp(parent, Mark+purpose+"-")
		if err != nil {
			return nil, err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // swept before it was held
		}
		if err != nil {
			return nil, errors.Join(err, os.Remove(path))
		}
		if hold(f) {
			return &Dir{path, f}, nil
		}
		f.Close()
	}
}

// Remove removes the directory with all that is in it.
func (d *Dir) Remove() error {
	err := os.RemoveAll(d.Path)
	return errors.Join(err, d.held.Close())
}

// NewFile makes an empty file in parent with mode 0600, open for reading and writing. It is held
// until it is closed: then it must have been renamed or removed.
func NewFile(parent, purpose string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(parent, Mark+purpose+"-")
		if err != nil {
			return nil, err
		}
		if hold(f) {
			return f, nil
		}
		f.Close()
	}
}

// hold takes the lock of a file or directory that was just made, and reports whether it still has
// its name: a sweeper may have been faster. A file system without locks (some network ones) is one
// on which nothing is ever swept.
func hold(f *os.File) bool {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return true
		}
		break
	}
	there, err := os.Lstat(f.Name())
	if err != nil {
		return false
	}
	mine, err := f.Stat()
	return err == nil && os.SameFile(there, mine)
}

// Sweep removes from parent what owners that are gone left behind. A file that cannot be removed
// stays: the next start tries again.
func Sweep(parent string) {
	list, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), Mark) && (e.IsDir() || e.Type().IsRegular()) {
			sweep(filepath.Join(parent, e.Name()))
		}
	}
}

func sweep(path string) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		os.RemoveAll(path)
	}
}
