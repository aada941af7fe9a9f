package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Convert makes a plain directory on btrfs a subvolume with the same content, and returns where the
// directory is kept under another name. Nobody may write to it meanwhile. File contents are shared
// with it and take no more space. A conversion that is cut short leaves the directory as it was.
func Convert(ctx context.Context, dir string, now time.Time) (kept string, err error) {
	if err := convertible(dir); err != nil {
		return "", err
	}
	part := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".shelf-convert")
	if Subvolume(part) { // of one that was cut short
		if _, err := supervise.Run(ctx, supervise.Cmd("btrfs", "-q", "subvolume", "delete", part)); err != nil {
			return "", err
		}
	}
	if _, err := supervise.Run(ctx, supervise.Cmd("btrfs", "-q", "subvolume", "create", part)); err != nil {
		return "", fault.Wrap(err, fault.Device, "see `shelf storage` for free space", "the subvolume for %s", dir)
	}
	err = CopyTree(dir, part)
	if err == nil {
		err = syncFS(part)
	}
	kept = dir + ".before-" + now.UTC().Format("20060102-150405")
	if err == nil {
		err = os.Symlink(filepath.Base(part), kept) // fails when the name is taken
	}
	if err == nil {
		err = os.Remove(kept)
	}
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, part, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
	}
	if err != nil {
		_, back := supervise.Run(ctx, supervise.Cmd("btrfs", "-q", "subvolume", "delete", part))
		return "", fault.Wrap(errors.Join(err, back), fault.Device, "nothing was changed", "converting %s", dir)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, part, unix.AT_FDCWD, kept, unix.RENAME_NOREPLACE); err != nil {
		kept = part
	}
	return kept, syncDir(filepath.Dir(dir))
}

// convertible reports why a directory cannot be made a subvolume.
func convertible(dir string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fault.New(fault.Usage, "", "%s is not a directory", dir)
	}
	var fsys unix.Statfs_t
	if err := unix.Statfs(dir, &fsys); err != nil {
		return &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if uint32(fsys.Type) != unix.BTRFS_SUPER_MAGIC {
		return fault.New(fault.Usage, "", "%s is not on btrfs", dir)
	}
	if Subvolume(dir) {
		return fault.New(fault.Usage, "", "%s is a subvolume already", dir)
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return err
	}
	for _, m := range mounts {
		return fault.New(fault.Usage, "unmount it", "something is mounted at %s", m.Mountpoint)
	}
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && path != dir && Subvolume(path) {
			return fault.New(fault.Usage, "move it out of the share", "%s is a subvolume of its own", path)
		}
		return err
	})
}

// Holders returns the processes that have a file below dir open, or their working directory there,
// as names with numbers. proc is /proc.
func Holders(proc, dir string) []string {
	var names []string
	entries, _ := os.ReadDir(proc)
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") != "" {
			continue
		}
		at := filepath.Join(proc, e.Name())
		links := []string{filepath.Join(at, "cwd")}
		fds, _ := os.ReadDir(filepath.Join(at, "fd"))
		for _, f := range fds {
			links = append(links, filepath.Join(at, "fd", f.Name()))
		}
		for _, l := range links {
			if to, err := os.Readlink(l); err == nil && (to == dir || strings.HasPrefix(to, dir+"/")) {
				comm, _ := os.ReadFile(filepath.Join(at, "comm"))
				names = append(names, fmt.Sprintf("%s (%s)", strings.TrimSpace(string(comm)), e.Name()))
				break
			}
		}
	}
	return names
}
