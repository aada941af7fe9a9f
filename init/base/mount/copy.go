package mount

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Copy is a copy of the tree From to Path with modes and owners. Links are copied as links;
// devices, sockets and pipes are left out. With Missing only what Path lacks is made: files that
// are there stay as they are, and so do the modes of directories.
//
// The whole of /etc is copied at every boot, so files are copied with as few system calls as it
// takes and one buffer.
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
	defer unix.Umask(unix.Umask(0)) // modes are given when things are made
	buf := make([]byte, 256<<10)
	return filepath.WalkDir(c.From, func(from string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return c.one(from, c.Path+from[len(c.From):], d.Type(), buf)
	})
}

func (c Copy) one(from, to string, kind fs.FileMode, buf []byte) error {
	switch kind {
	case 0:
		err := file(from, to, buf)
		if !errors.Is(err, fs.ErrExist) || c.Missing {
			return ignoreExist(err)
		}
		if err := os.Remove(to); err != nil {
			return err
		}
		return file(from, to, buf)
	case fs.ModeDir:
		return c.dir(from, to)
	case fs.ModeSymlink:
		if _, err := os.Lstat(to); err == nil && c.Missing {
			return nil
		}
		var st unix.Stat_t
		if err := unix.Lstat(from, &st); err != nil {
			return errAt("lstat", from, err)
		}
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if err := (Symlink{Path: to, Target: target}).Do(); err != nil {
			return err
		}
		return own(to, int(st.Uid), int(st.Gid))
	}
	return nil
}

func ignoreExist(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (c Copy) dir(from, to string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return errAt("lstat", from, err)
	}
	mode := st.Mode & 0o7777
	err := unix.Mkdir(to, mode)
	switch {
	case err == unix.ENOENT: // the first one: Path's own parents
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
	case err == unix.EEXIST && c.Missing:
		return nil
	case err == nil && mine(&st) && mode&0o7000 == 0:
		return nil
	case err != nil && err != unix.EEXIST:
		return errAt("mkdir", to, err)
	}
	if err := own(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return errAt("chmod", to, unix.Chmod(to, mode))
}

func mine(st *unix.Stat_t) bool { return int(st.Uid) == os.Getuid() && int(st.Gid) == os.Getgid() }

// file copies one file; fs.ErrExist means that there is one already.
func file(from, to string, buf []byte) (err error) {
	in, err := unix.Open(from, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return errAt("open", from, err)
	}
	defer unix.Close(in)
	var st unix.Stat_t
	if err := unix.Fstat(in, &st); err != nil {
		return errAt("stat", from, err)
	}
	mode := st.Mode & 0o7777
	out, err := unix.Open(to, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, mode&0o777)
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
			return errAt("read", from, err)
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
	if !mine(&st) {
		if err := unix.Fchown(out, int(st.Uid), int(st.Gid)); err != nil {
			return errAt("chown", to, err)
		}
	}
	if mode&0o7000 != 0 { // after the owner, which clears them
		return errAt("chmod", to, unix.Fchmod(out, mode))
	}
	return nil
}

func errAt(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}
