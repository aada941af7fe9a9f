package snapshots

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Where snapshots are, below a disk's mount point, in a directory for each share: the snapshots
// themselves, and a subvolume with a plain directory for each, on which it is shown.
const (
	ownDir  = ".shelfos/snap"
	viewDir = ".shelfos/view"
	// Shown is their directory in a share.
	Shown = ".snapshots"
)

// Share is a share whose snapshots are looked after.
type Share struct {
	Name  string
	Disk  string // the mount point of its disk
	Dir   string // absolute
	Rules []config.SnapshotRule

	ReadOnly bool // its disk can only be read: what is there is shown
}

// places are the share's directories for snapshots and for the view of them. A path in a
// configuration has no %.
func (s Share) places() (own, view string) {
	name := strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(s.Dir, s.Disk), "/"), "/", "%2F")
	return filepath.Join(s.Disk, ownDir, name), filepath.Join(s.Disk, viewDir, name)
}

// Have returns the snapshots of a share.
func (s Share) Have() ([]time.Time, error) {
	own, _ := s.places()
	entries, err := os.ReadDir(own)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var list []time.Time
	for _, e := range entries {
		if t, ok := Time(e.Name()); ok {
			list = append(list, t)
		}
	}
	return list, err
}

// firstInode is the number of a subvolume's root.
const firstInode = 256

// Subvolume reports whether a directory on btrfs can be snapshot.
func Subvolume(dir string) bool {
	var st unix.Stat_t
	return unix.Stat(dir, &st) == nil && st.Ino == firstInode
}

// Update makes the snapshot that is due, drops those that no rule keeps, and shows the others to
// clients. flush has the NFS server let go of what it knows of mounts.
func (s Share) Update(ctx context.Context, now time.Time, flush func() error) error {
	if !Subvolume(s.Dir) {
		return fault.New(fault.Input, "run `sudo shelf storage convert NAME`",
			"there are no snapshots of the share %s: %s is not a btrfs subvolume", s.Name, s.Dir)
	}
	have, err := s.Have()
	if err != nil {
		return err
	}
	own, view := s.places()
	if s.ReadOnly {
		if len(have) == 0 {
			return nil
		}
		return errors.Join(s.bind(view, filepath.Join(s.Dir, Shown), 0), s.show(have))
	}
	if err := s.prepare(ctx, own, view); err != nil {
		return err
	}
	if newest := latest(Past(have, now)); Due(s.Rules, have, now) && (newest.IsZero() || changed(s.Dir, filepath.Join(own, Name(newest)))) {
		if _, err := supervise.Run(ctx, supervise.Cmd("btrfs", "-q", "subvolume", "snapshot", "-r", s.Dir, filepath.Join(own, Name(now)))); err != nil {
			return fault.Wrap(err, fault.Device, "see `shelf storage` for free space", "a snapshot of the share %s", s.Name)
		}
		have = append(have, now.UTC().Truncate(time.Second))
	}
	drop := Drop(s.Rules, have, now)
	var errs []error
	if len(drop) > 0 {
		errs = append(errs, flush())
	}
	for _, t := range drop {
		have = slices.DeleteFunc(have, t.Equal)
		errs = append(errs, s.drop(ctx, Name(t)))
	}
	errs = append(errs, s.show(have))
	return errors.Join(errs...)
}

func latest(have []time.Time) time.Time {
	if len(have) == 0 {
		return time.Time{}
	}
	return slices.MaxFunc(have, time.Time.Compare)
}

// prepare makes the directories. The only one in the share itself is Shown, once: what would be
// written there with each snapshot would look like a change of the share.
func (s Share) prepare(ctx context.Context, own, view string) error {
	if err := mount.Do(mount.Dir{Path: own, Mode: 0o755}, mount.Dir{Path: filepath.Dir(view), Mode: 0o755}); err != nil {
		return err
	}
	if _, err := os.Stat(view); errors.Is(err, os.ErrNotExist) {
		if _, err := supervise.Run(ctx, supervise.Cmd("btrfs", "-q", "subvolume", "create", view)); err != nil {
			return err
		}
	}
	shown := filepath.Join(s.Dir, Shown)
	switch st, err := os.Lstat(shown); {
	case errors.Is(err, os.ErrNotExist):
		if err := os.Mkdir(shown, 0o755); err != nil {
			return err
		}
	case err != nil:
		return err
	case !st.IsDir():
		return fault.New(fault.Input, "rename it", "%s is not a directory", shown)
	}
	return s.bind(view, shown, 0)
}

// bind mounts a directory on another, unless something is mounted there.
func (s Share) bind(from, to string, flags uintptr) error {
	if on, err := mountinfo.Mounted(to); on || err != nil {
		return err
	}
	err := mount.Do(mount.Mount{Source: from, Path: to, Flags: unix.MS_BIND | unix.MS_NOSUID | unix.MS_NODEV | flags})
	if err != nil {
		return err
	}
	// What is mounted below it must not appear in the directory that is shown as well.
	return os.NewSyscallError("mount", unix.Mount("", to, "", unix.MS_PRIVATE, ""))
}

// show makes the snapshots visible in the share.
func (s Share) show(have []time.Time) error {
	own, view := s.places()
	var errs []error
	for _, t := range have {
		name := Name(t)
		if err := os.Mkdir(filepath.Join(view, name), 0o755); err != nil && !errors.Is(err, os.ErrExist) && !s.ReadOnly {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, s.bind(filepath.Join(own, name), filepath.Join(s.Dir, Shown, name), unix.MS_RDONLY))
	}
	entries, err := os.ReadDir(view)
	errs = append(errs, err)
	for _, e := range entries { // what was dropped while it could not be removed
		if t, ok := Time(e.Name()); ok && !slices.ContainsFunc(have, t.Equal) {
			_ = os.Remove(filepath.Join(view, e.Name()))
		}
	}
	return errors.Join(errs...)
}

// drop deletes one snapshot. A client that looks at it loses it.
func (s Share) drop(ctx context.Context, name string) error {
	own, view := s.places()
	shown := filepath.Join(s.Dir, Shown, name)
	err := unix.Unmount(shown, unix.UMOUNT_NOFOLLOW)
	if err == unix.EBUSY {
		err = unix.Unmount(shown, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	if err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return &os.PathError{Op: "unmount", Path: shown, Err: err}
	}
	if _, err := supervise.Run(ctx, supervise.Cmd("btrfs", "-q", "subvolume", "delete", filepath.Join(own, name))); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(view, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// changed reports whether a subvolume was written since a snapshot of it was made. One that cannot
// be asked has changed.
func changed(dir, snapshot string) bool {
	// What was written lately has no generation before it is committed. Without anything to commit
	// this writes nothing.
	if err := syncFS(dir); err != nil {
		return true
	}
	now, err := generation(dir)
	then, err2 := generation(snapshot)
	return err != nil || err2 != nil || now > then
}

func syncFS(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Syncfs(fd)
}

// generation is the number of the last transaction that changed a subvolume: the field generation
// of BTRFS_IOC_GET_SUBVOL_INFO (include/uapi/linux/btrfs.h).
func generation(dir string) (uint64, error) {
	const size, at = 504, 280
	const request = 2<<30 | size<<16 | 0x94<<8 | 60
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var info [size]byte
	if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&info[0]))); no != 0 {
		return 0, fmt.Errorf("the subvolume %s: %w", dir, no)
	}
	return binary.NativeEndian.Uint64(info[at:]), nil
}
