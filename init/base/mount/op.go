// Package mount holds the values that a file system layout is made of: directories, links, mounts
// and copies.
//
// A layout is a table of such values, done in order; each prints itself, so that a step that fails
// can name the line of the table it was. The style is u-root's libinit. Paths in a table are
// absolute; Under puts a table below another root, which is how the layout is built before
// switch_root and how it is tested without being root.
package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/u-root/u-root/pkg/mount"
	"golang.org/x/sys/unix"
)

// Op is one line of a table.
type Op interface {
	Do() error
	// Under returns the same line with its target below root.
	Under(root string) Op
	String() string
}

// Dir is a directory with exactly this mode and owner, parents 0755 root. One that exists is
// repaired.
type Dir struct {
	Path     string
	Mode     fs.FileMode // permission bits with setuid, setgid and sticky as os.FileMode has them
	UID, GID int
}

// Symlink is a link Path -> Target. Anything at Path that is not a directory with content is
// replaced.
type Symlink struct {
	Path, Target string
}

// Mount is one mount(2). Optional mounts may fail without a word, for kernels that lack the file
// system.
type Mount struct {
	Source, Path, Type string
	Flags              uintptr
	Data               string
	Optional           bool
}

// Private is a file or directory that may or may not exist; where it does, nobody but its owner may
// use it.
type Private struct {
	Path string
}

// Do does the lines of a table in order and stops at the first that fails, naming it.
func Do(ops ...Op) error {
	// Modes are exact: a umask that we inherited must not matter.
	defer unix.Umask(unix.Umask(0))
	for _, op := range ops {
		if err := op.Do(); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return nil
}

// Under puts a table below root.
func Under(root string, ops []Op) []Op {
	out := make([]Op, len(ops))
	for i, op := range ops {
		out[i] = op.Under(root)
	}
	return out
}

func below(root, path string) string { return filepath.Join(root, path) }

// Under implements Op.
func (d Dir) Under(root string) Op { d.Path = below(root, d.Path); return d }

// Do implements Op.
func (d Dir) Do() error {
	// Nearly always it is there and right, which one look shows.
	if st, err := os.Lstat(d.Path); err == nil && st.Mode() == fs.ModeDir|d.Mode {
		return own(d.Path, d.UID, d.GID)
	}
	if err := os.MkdirAll(d.Path, 0o755); err != nil {
		return err
	}
	if err := own(d.Path, d.UID, d.GID); err != nil {
		return err
	}
	return os.Chmod(d.Path, d.Mode) // after the owner, which clears setgid
}

func (d Dir) String() string { return fmt.Sprintf("dir %s %v %d:%d", d.Path, d.Mode, d.UID, d.GID) }

// Under implements Op. The target is not touched: links are read after switch_root.
func (l Symlink) Under(root string) Op { l.Path = below(root, l.Path); return l }

// Do implements Op.
func (l Symlink) Do() error {
	if have, err := os.Readlink(l.Path); err == nil && have == l.Target {
		return nil
	}
	if err := os.Remove(l.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.Path), 0o755); err != nil {
		return err
	}
	return os.Symlink(l.Target, l.Path)
}

func (l Symlink) String() string { return fmt.Sprintf("link %s -> %s", l.Path, l.Target) }

// Under implements Op. A source that is a path of the same tree is moved below root with its
// target.
func (m Mount) Under(root string) Op {
	m.Path = below(root, m.Path)
	if m.Flags&unix.MS_BIND != 0 && strings.HasPrefix(m.Source, "/") {
		m.Source = below(root, m.Source)
	}
	return m
}

// Do implements Op: it makes the mount point and mounts. A bind mount takes a second call for its
// other flags.
func (m Mount) Do() error {
	err := m.mount()
	if m.Optional {
		return nil
	}
	return err
}

func (m Mount) mount() error {
	if err := m.point(); err != nil {
		return err
	}
	_, err := mount.Mount(m.Source, m.Path, m.Type, m.Data, m.Flags)
	const more = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY | unix.MS_NOATIME
	if err == nil && m.Flags&unix.MS_BIND != 0 && m.Flags&more != 0 {
		err = unix.Mount("", m.Path, "", unix.MS_REMOUNT|unix.MS_BIND|m.Flags&more, "")
	}
	return err
}

// point makes the mount point: a directory, or a file below a bind mount of a file, which must
// exist.
func (m Mount) point() error {
	if m.Flags&unix.MS_BIND != 0 {
		if st, err := os.Stat(m.Source); err == nil && !st.IsDir() {
			return nil
		}
	}
	if st, err := os.Stat(m.Path); err == nil && st.IsDir() {
		return nil
	}
	return os.MkdirAll(m.Path, 0o755)
}

func (m Mount) String() string {
	kind := m.Type
	if kind == "" {
		kind = "bind"
	}
	return fmt.Sprintf("mount %s on %s type %s (flags %#x %s)", m.Source, m.Path, kind, m.Flags, m.Data)
}

// Under implements Op.
func (p Private) Under(root string) Op { p.Path = below(root, p.Path); return p }

// Do implements Op. A link is left alone: what it points to may be anybody's.
func (p Private) Do() error {
	st, err := os.Lstat(p.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !st.IsDir() && !st.Mode().IsRegular(), st.Mode().Perm()&0o077 == 0:
		return nil
	}
	return os.Chmod(p.Path, st.Mode()&^0o077)
}

func (p Private) String() string { return "private " + p.Path }

// own sets the owner unless it is right already, so that a user can apply a table to their own
// files.
func own(path string, uid, gid int) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if int(st.Uid) == uid && int(st.Gid) == gid {
		return nil
	}
	return os.Lchown(path, uid, gid)
}
