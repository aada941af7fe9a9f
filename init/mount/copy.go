package mount

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Copy is a copy of the tree From to Path with modes, owners and modification times. Links are copied as links; devices,
// sockets and pipes are left out. With Missing only what Path lacks is made: files that are there stay as they are,
// and so do the modes of directories.
type Copy struct {
	From, Path string
	Missing    bool
}

// Under implements Op: both ends move, since a copy is made within one tree.
func (c Copy) Under(root string) Op {
	c.From, c.Path = below(root, c.From), below(root, c.Path)
	return c
}

func (c Copy) String() string { return fmt.Sprintf("copy %s to %s", c.From, c.Path) }

// Do implements Op. A From that does not exist is nothing to copy.
func (c Copy) Do() error {
	err := filepath.WalkDir(c.From, func(from string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(c.From, from)
		if err != nil {
			return err
		}
		return c.one(from, filepath.Join(c.Path, rel))
	})
	if errors.Is(err, fs.ErrNotExist) {
		if _, lerr := os.Lstat(c.From); errors.Is(lerr, fs.ErrNotExist) {
			return nil
		}
	}
	return err
}

func (c Copy) one(from, to string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: from, Err: err}
	}
	if _, err := os.Lstat(to); err == nil && c.Missing {
		return nil
	}
	mode := uint32(st.Mode) & 0o7777
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
	case unix.S_IFLNK:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if err := (Symlink{Path: to, Target: target}).Do(); err != nil {
			return err
		}
		return own(to, int(st.Uid), int(st.Gid))
	case unix.S_IFREG:
		if err := content(from, to); err != nil {
			return err
		}
	default:
		return nil
	}
	if err := own(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(to, mode); err != nil {
		return &fs.PathError{Op: "chmod", Path: to, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil // a directory's time changes with its children anyway
	}
	return unix.UtimesNano(to, []unix.Timespec{st.Atim, st.Mtim})
}

func content(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
