package mount

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Copy is a copy of the tree From to Path with modes, owners and modification times. Links are copied as links; devices,
// sockets and pipes are left out. With Missing only what Path lacks is made: files that are there stay as they are,
// and so do the modes of directories.
//
// The whole of /etc is copied at every boot, so files are copied with as few system calls as it takes and one buffer.
type Copy struct {
	From, Path string
	Missing    bool
}

// Under implements Op: both ends move, since a copy is made within one tree.
func (c Copy) Under(root string) Op {
	c.From, c.Path = below(root, c.From), below(root, c.Path)
	return c
}

func (c Copy) String() string { return "copy " + c.From + " to " + c.Path }

// Do implements Op. A From that does not exist is nothing to copy.
func (c Copy) Do() error {
	if _, err := os.Lstat(c.From); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	buf := make([]byte, 256<<10)
	return filepath.WalkDir(c.From, func(from string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return c.one(from, c.Path+from[len(c.From):], buf)
	})
}

func (c Copy) one(from, to string, buf []byte) error {
	var st, have unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: from, Err: err}
	}
	there := unix.Lstat(to, &have) == nil
	if there && c.Missing {
		return nil
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if !there {
			if err := os.MkdirAll(to, 0o755); err != nil {
				return err
			}
		}
		if err := own(to, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
		return errAt("chmod", to, unix.Chmod(to, st.Mode&0o7777))
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
		if there {
			if err := os.Remove(to); err != nil {
				return err
			}
		}
		return file(from, to, &st, buf)
	}
	return nil
}

// file copies one file that is not there yet.
func file(from, to string, st *unix.Stat_t, buf []byte) (err error) {
	in, err := unix.Open(from, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return errAt("open", from, err)
	}
	defer unix.Close(in)
	out, err := unix.Open(to, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return errAt("create", to, err)
	}
	defer func() {
		if cerr := unix.Close(out); err == nil {
			err = errAt("close", to, cerr)
		}
	}()
	for left := st.Size; left > 0; {
		n, err := unix.Read(in, buf)
		if n <= 0 {
			if err != nil {
				return errAt("read", from, err)
			}
			break
		}
		for rest := buf[:n]; len(rest) > 0; {
			m, err := unix.Write(out, rest)
			if err != nil {
				return errAt("write", to, err)
			}
			rest = rest[m:]
		}
		left -= int64(n)
	}
	if int(st.Uid) != os.Getuid() || int(st.Gid) != os.Getgid() {
		if err := unix.Fchown(out, int(st.Uid), int(st.Gid)); err != nil {
			return errAt("chown", to, err)
		}
	}
	if err := unix.Fchmod(out, st.Mode&0o7777); err != nil {
		return errAt("chmod", to, err)
	}
	return errAt("times of", to, unix.UtimesNanoAt(unix.AT_FDCWD, to, []unix.Timespec{st.Atim, st.Mtim}, 0))
}

func errAt(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}
