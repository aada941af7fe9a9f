package snapshots

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"imgbuild/init/contract/fault"

	"golang.org/x/sys/unix"
)

// ParseAt reads the time that a person gives: a date, a date and a time in the node's zone, RFC
// 3339, the name of a snapshot, or how long ago, as 3h or 2d.
func ParseAt(text string, now time.Time) (time.Time, error) {
	if t, ok := Time(text); ok {
		return t, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil { // to the end of that day
		return t.AddDate(0, 0, 1).Add(-time.Second), nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fault.New(fault.Usage, "write 2026-11-30, \"2026-11-30 14:00\", 3h or 2d", "%q is no time", text)
}

// Version is what a snapshot has of a path.
type Version struct {
	Time time.Time
	Path string
}

// Versions returns what the snapshots hold of a path in a share, oldest first. The path itself need
// not exist any more.
func Versions(path string) ([]Version, error) {
	if !filepath.IsAbs(path) {
		return nil, fault.New(fault.Usage, "", "%s is not an absolute path", path)
	}
	for top := filepath.Dir(filepath.Clean(path)); top != "/"; top = filepath.Dir(top) {
		entries, err := os.ReadDir(filepath.Join(top, Shown))
		if err != nil {
			continue
		}
		rest, err := filepath.Rel(top, path)
		if err != nil {
			return nil, err
		}
		var list []Version
		for _, e := range entries {
			t, ok := Time(e.Name())
			in := filepath.Join(top, Shown, e.Name(), rest)
			if _, err := os.Lstat(in); ok && err == nil {
				list = append(list, Version{t, in})
			}
		}
		slices.SortFunc(list, func(a, b Version) int { return a.Time.Compare(b.Time) })
		return list, nil
	}
	return nil, fault.New(fault.Usage, "give a path below /srv, in a share with snapshots", "%s is in no share that has snapshots", path)
}

// Choose returns the newest version not younger than a moment; without one, the newest that differs
// from what is there now.
func Choose(path string, list []Version, at time.Time) (Version, error) {
	now, err := os.Lstat(path)
	for _, v := range slices.Backward(list) {
		if !at.IsZero() {
			if !v.Time.After(at) {
				return v, nil
			}
			continue
		}
		then, err2 := os.Lstat(v.Path)
		if err != nil || err2 == nil && (then.IsDir() || now.Mode().Type() != then.Mode().Type() || now.Size() != then.Size() || !now.ModTime().Equal(then.ModTime())) {
			return v, nil
		}
	}
	switch {
	case len(list) == 0:
		return Version{}, fault.New(fault.Input, "", "no snapshot has %s", path)
	case at.IsZero():
		return Version{}, fault.New(fault.Input, "", "%s is as it is in every snapshot", path)
	}
	return Version{}, fault.New(fault.Input, "the oldest one that has it is of "+list[0].Time.Local().Format(time.DateTime), "no snapshot of that time has %s", path)
}

// Restore puts a version back. What is there now is kept under another name, which is given;
// a copy that is cut short does not get the final name.
func Restore(v Version, path string, now time.Time) (aside string, err error) {
	part := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.restored-%d", filepath.Base(path), now.UnixNano()))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	if err := CopyTree(v.Path, part); err != nil {
		return "", errors.Join(err, os.RemoveAll(part))
	}
	if _, err := os.Lstat(path); err == nil {
		aside = path + ".before-" + now.UTC().Format("20060102-150405")
		if err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, aside, unix.RENAME_NOREPLACE); err != nil {
			return "", errors.Join(&os.LinkError{Op: "rename", Old: path, New: aside, Err: err}, os.RemoveAll(part))
		}
	}
	if err := unix.Renameat2(unix.AT_FDCWD, part, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE); err != nil {
		return aside, &os.LinkError{Op: "rename", Old: part, New: path, Err: err}
	}
	return aside, syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// CopyTree copies with owners, modes, times, hard links and extended attributes, ACLs among them.
// File contents are shared with the original where the file system can. to may be a directory that
// is there and empty.
func CopyTree(from, to string) error {
	type stamped struct {
		path string
		st   unix.Stat_t
	}
	var dirs []stamped
	type inode struct{ dev, ino uint64 }
	first := map[inode]string{} // the copy of a file that has several names
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + path[len(from):]
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return &os.PathError{Op: "lstat", Path: path, Err: err}
		}
		switch {
		case e.IsDir():
			if err := os.Mkdir(target, 0o700); err != nil && !(path == from && errors.Is(err, fs.ErrExist)) {
				return err
			}
			dirs = append(dirs, stamped{target, st})
		case e.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			if err := os.Symlink(link, target); err != nil {
				return err
			}
			if err := os.Lchown(target, int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
			return stamp(target, st)
		case st.Nlink > 1 && first[inode{uint64(st.Dev), st.Ino}] != "":
			return os.Link(first[inode{uint64(st.Dev), st.Ino}], target)
		case e.Type().IsRegular():
			if st.Nlink > 1 {
				first[inode{uint64(st.Dev), st.Ino}] = target
			}
			if err := copyFile(path, target); err != nil {
				return err
			}
		default:
			if err := unix.Mknod(target, st.Mode, int(st.Rdev)); err != nil {
				return &os.PathError{Op: "mknod", Path: target, Err: err}
			}
		}
		if err := copyMeta(path, target, st); err != nil {
			return err
		}
		return stamp(target, st)
	})
	for _, d := range slices.Backward(dirs) { // what was made in them has changed their times
		err = errors.Join(err, stamp(d.path, d.st))
	}
	return err
}

// CopyMeta copies the owner, mode, times and extended attributes of a directory to another one.
func CopyMeta(from, to string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: from, Err: err}
	}
	return errors.Join(copyMeta(from, to, st), stamp(to, st))
}

func copyMeta(from, to string, st unix.Stat_t) error {
	if err := os.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := attributes(from, to); err != nil {
		return err
	}
	if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: to, Err: err}
	}
	return nil
}

func stamp(path string, st unix.Stat_t) error {
	return os.NewSyscallError("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW))
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = unix.IoctlFileClone(int(out.Fd()), int(in.Fd())); err != nil {
		if _, err = io.Copy(out, in); err == nil {
			err = out.Sync()
		}
	}
	return errors.Join(err, out.Close())
}

// attributes copies extended attributes.
func attributes(from, to string) error {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(from, names)
	if err != nil {
		return ignoreUnsupported(&os.PathError{Op: "listxattr", Path: from, Err: err})
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if name == "" || strings.HasPrefix(name, "btrfs.") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(from, name, value)
		if err == nil {
			err = unix.Lsetxattr(to, name, value[:n], 0)
		}
		if err != nil {
			return ignoreUnsupported(&os.PathError{Op: "copying " + name + " of", Path: from, Err: err})
		}
	}
	return nil
}

func ignoreUnsupported(err error) error {
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}
