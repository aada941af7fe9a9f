package serve

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/shares"
	"imgbuild/init/storage/snapshots"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// Attributes of a directory of a share: what the kernel goes by, and what we have set.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
	aclOurs    = "trusted.shelf.acl"
)

// directories makes the directories of shares that are missing, and leaves out of the plan those
// that cannot be served. A directory that was there before is served as it is.
func (s *Server) directories(ctx context.Context, p shares.Plan, m shares.Mounts) (shares.Plan, error) {
	var errs []error
	var good []shares.Share
	for _, sh := range p.Shares {
		dir, ok := m.Path(sh)
		if ok {
			make := directory
			if m[sh.Disk].ReadOnly {
				make = there
			}
			if err := make(ctx, m[sh.Disk].At, dir, p.ACL(sh)); err != nil {
				errs = append(errs, fault.Wrap(err, fault.Input, "correct storage.shares."+sh.Name+".path, or the directory on the disk", "the share %s is not served", sh.Name))
				continue
			}
		}
		good = append(good, sh)
	}
	p.Shares = good
	return p, errors.Join(errs...)
}

// directory makes one below the disk's mount point at, or brings the rights of one of ours up to
// date.
func directory(ctx context.Context, at, dir string, acl []byte) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	// A link could lead out of the disk.
	if real, err := filepath.EvalSymlinks(filepath.Dir(dir)); err != nil || real != filepath.Dir(dir) {
		return fault.New(fault.Input, "", "%s goes through a link", dir)
	}
	st, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := create(ctx, at, dir); err != nil {
			return err
		}
		return rights(dir, acl)
	case err != nil:
		return err
	case !st.IsDir():
		return fault.New(fault.Input, "", "%s is not a directory", dir)
	}
	was := make([]byte, 4096)
	n, err := unix.Lgetxattr(dir, aclOurs, was)
	if err != nil || string(was[:n]) == hex.EncodeToString(acl) {
		return nil // not ours, or as it should be
	}
	return rights(dir, acl)
}

// there is directory for a disk that can only be read.
func there(_ context.Context, _, dir string, _ []byte) error {
	switch st, err := os.Lstat(dir); {
	case err != nil:
		return err
	case !st.IsDir():
		return fault.New(fault.Input, "", "%s is not a directory", dir)
	}
	if real, err := filepath.EvalSymlinks(dir); err != nil || real != dir {
		return fault.New(fault.Input, "", "%s goes through a link", dir)
	}
	return nil
}

// btrfsMagic is BTRFS_SUPER_MAGIC.
const btrfsMagic = 0x9123683E

// create makes the directory, on btrfs as a subvolume.
func create(ctx context.Context, at, dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return err
	}
	if uint32(st.Type) == btrfsMagic {
		if _, err := supervise.Run(ctx, supervise.Cmd("btrfs", "-q", "subvolume", "create", dir)); err != nil {
			return err
		}
	} else if err := os.Mkdir(dir, 0o770); err != nil {
		return err
	}
	if err := os.Chown(dir, 0, 0); err != nil {
		return err
	}
	return os.Chmod(dir, 0o770)
}

// rights sets the ACL of a directory and all that is in it. Links are left alone. The mark of
// what was set comes last, so that a change that was cut short is done again.
func rights(dir string, acl []byte) error {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		if e.IsDir() && path == filepath.Join(dir, snapshots.Shown) {
			return fs.SkipDir
		}
		if !e.IsDir() && !e.Type().IsRegular() {
			return nil
		}
		if e.IsDir() {
			if err := unix.Lsetxattr(path, aclDefault, acl, 0); err != nil {
				return &os.PathError{Op: "setting the ACL of", Path: path, Err: err}
			}
			return unix.Lsetxattr(path, aclAccess, acl, 0)
		}
		return unix.Lsetxattr(path, aclAccess, ofFile(acl), 0)
	})
	if err != nil {
		return err
	}
	return unix.Lsetxattr(dir, aclOurs, []byte(hex.EncodeToString(acl)), 0)
}

// ofFile takes the right to execute out of an ACL.
func ofFile(acl []byte) []byte {
	out := append([]byte(nil), acl...)
	for at := 4; at+8 <= len(out); at += 8 {
		out[at+2] &^= 1
	}
	return out
}
