package datadisk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/init/base/fsck"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// moving is where data are on the disk until all of them are there. While it is there the disk
// counts as empty.
const moving = ".shelf-moving"

// before is appended to the names of the directories whose data were moved.
const before = ".before-move"

// carry copies k3s' data to the disk. It runs before k3s' first start in a boot, so nothing changes
// meanwhile. Content that k3s makes again is not copied: its unpacked programs, and containerd's
// images, which come again from their registries.
func (d *Disk) carry(ctx context.Context, dataDir string) error {
	d.say("moving k3s' data to the data disk")
	tmp := filepath.Join(MountPoint, moving)
	for _, name := range []string{"k3s", "kubelet"} { // of a move that was cut short
		if err := errors.Join(os.RemoveAll(filepath.Join(tmp, name)), os.RemoveAll(filepath.Join(MountPoint, name))); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{dataDir: "k3s", Kubelet: "kubelet"} {
		if err := copyTree(ctx, from, filepath.Join(tmp, to)); err != nil {
			return err
		}
	}
	if err := syncFS(MountPoint); err != nil {
		return err
	}
	for _, name := range []string{"k3s", "kubelet"} {
		if err := os.Rename(filepath.Join(tmp, name), filepath.Join(MountPoint, name)); err != nil {
			return err
		}
	}
	return atomicfile.SyncDir(MountPoint)
}

// leave puts the node's old copies aside, now that the disk's count; their owner removes them. It
// is done again after a power cut, and then leaves alone what was put aside before.
func (d *Disk) leave(dataDir string) error {
	if err := os.RemoveAll(filepath.Join(MountPoint, moving)); err != nil {
		return err
	}
	var aside []string
	for _, dir := range []string{dataDir, Kubelet} {
		moved, err := putAside(dir)
		if err != nil {
			return err
		}
		if moved {
			aside = append(aside, dir+before)
		}
	}
	if len(aside) > 0 {
		d.say("the node's own copies of k3s' data are %s now; remove them when all is well", strings.Join(aside, " and "))
	}
	return errors.Join(forget(MovePath), forget(RestoredPath))
}

// putAside renames a directory with something in it to its name for old copies, in place of an
// older copy.
func putAside(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := os.RemoveAll(dir + before); err != nil {
		return false, err
	}
	if err := os.Rename(dir, dir+before); err != nil {
		return false, err
	}
	return true, atomicfile.SyncDir(filepath.Dir(dir))
}

// forget removes a note; one that is not there is forgotten.
func forget(path string) error {
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

// copyTree copies a directory with all owners, modes, times and links; one that does not exist
// becomes an empty one.
func copyTree(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(from, e.Name())
		switch {
		case e.Name() == "data" && filepath.Base(to) == "k3s", e.Name() == "containerd" && strings.HasSuffix(to, "k3s/agent"):
			continue
		case e.Name() == "agent" && filepath.Base(to) == "k3s":
			if err := copyTree(ctx, path, filepath.Join(to, "agent")); err != nil {
				return err
			}
			continue
		}
		if _, err := supervise.Run(ctx, supervise.Cmd("cp", "-a", path, to+"/")); err != nil {
			return fmt.Errorf("copying %s: %w", path, err)
		}
	}
	return nil
}

func syncFS(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// checkLimit ends a check that does not come to an end.
const checkLimit = 60 * time.Minute

// fsck lets e2fsck repair what is safe without a person and, if that is not enough, all that it
// can, since nobody sits in front of the node. Its exit codes are those of e2fsck(8).
func (d *Disk) fsck(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	res, err := fsck.Run(ctx, fsck.Safe, path, nil)
	switch {
	case err != nil:
		return fault.Wrap(err, fault.Device, "", "checking the data disk %s", path)
	case res.Repaired():
		d.say("e2fsck repaired the data disk: %s", res.Last)
		return nil
	case res.Sound():
		return nil
	case res.Failed(): // a repair would be made on what cannot be read
		return fault.New(fault.Device, "look at its cable and power, or replace it", "checking the data disk %s: e2fsck failed (exit code %d): %s", path, res.Code, res.Last)
	}
	if res, err = fsck.Run(ctx, fsck.Repair, path, nil); err != nil {
		return fault.Wrap(err, fault.Device, "", "checking the data disk %s", path)
	}
	if !res.Sound() {
		return fault.New(fault.Device, "save what can be read on another computer and replace the disk", "the data disk %s is damaged and e2fsck cannot repair it (exit code %d): %s", path, res.Code, res.Last)
	}
	d.say("the data disk %s was damaged and has been repaired (look into its lost+found): %s", path, res.Last)
	return nil
}
