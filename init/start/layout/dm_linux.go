package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"imgbuild/init/contract/manifest"

	"github.com/containerd/go-dmverity/pkg/dm"
	"golang.org/x/sys/unix"
)

const sector = 512

// verityBlock is the block size of data and tree.
const verityBlock = 4096

// control makes /dev/mapper/control, which udev would make elsewhere, and opens it. The misc
// device's minor number is dynamic and is in /proc/misc.
func control() (*dm.Control, error) {
	misc, err := os.ReadFile("/proc/misc")
	if err != nil {
		return nil, err
	}
	minor, err := mapperMinor(string(misc))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll("/dev/mapper", 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mknod("/dev/mapper/control", unix.S_IFCHR|0o600, int(unix.Mkdev(10, minor))); err != nil && err != unix.EEXIST {
		return nil, err
	}
	return dm.Open()
}

// mapperMinor finds the device mapper's minor number in the text of /proc/misc.
func mapperMinor(misc string) (uint32, error) {
	for line := range strings.Lines(misc) {
		if f := strings.Fields(line); len(f) == 2 && f[1] == "device-mapper" {
			minor, err := strconv.ParseUint(f[0], 10, 32)
			return uint32(minor), err
		}
	}
	return 0, errors.New("the kernel has no device mapper (is the module dm_mod in the initramfs?)")
}

// mapDevice makes a read-only device-mapper device of one target and returns its node. There is no
// udev to wait for: the kernel has made /dev/dm-N when the table is loaded.
func mapDevice(c *dm.Control, name string, t dm.Target) (string, error) {
	dev, err := c.CreateDevice(name)
	if err != nil {
		return "", err
	}
	if err := c.LoadTable(name, []dm.Target{t}); err != nil {
		return "", err
	}
	if err := c.SuspendDevice(name, false); err != nil {
		return "", err
	}
	node := fmt.Sprintf("/dev/dm-%d", unix.Minor(dev))
	_ = os.Symlink("../"+filepath.Base(node), "/dev/mapper/"+name) // for people; nothing here reads it
	return node, nil
}

// linear maps length bytes of a device from offset on.
func linear(device string, offset, length int64) dm.Target {
	return dm.Target{Length: uint64(length / sector), Type: "linear", Params: fmt.Sprintf("%s %d", device, offset/sector)}
}

// verityTarget checks the squashfs at the start of device against the tree after it. Without
// options a bad block reads as EIO and the kernel sends an event; see the kernel's
// Documentation/admin-guide/device-mapper/verity.rst.
func verityTarget(device string, r manifest.Root) dm.Target {
	salt := r.Salt
	if salt == "" {
		salt = "-"
	}
	return dm.Target{
		Length: uint64(r.Size / sector),
		Type:   "verity",
		Params: fmt.Sprintf("1 %s %s %d %d %d %d sha256 %s %s", device, device, verityBlock, verityBlock, r.Size/verityBlock, r.Size/verityBlock, r.Hash, salt),
	}
}

// mapSlot maps the slot for its two users, the vfat mount and the verity device below /usr: each
// opens its own mapping, since a partition itself can have one exclusive holder only.
func mapSlot(slot string, size int64, r manifest.Root) (vfat, usr string, err error) {
	c, err := control()
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	if vfat, err = mapDevice(c, "shelf-slot", linear(slot, 0, size)); err != nil {
		return "", "", err
	}
	root, err := mapDevice(c, "shelf-root", linear(slot, r.Offset, r.Size+r.TreeSize))
	if err != nil {
		return "", "", err
	}
	usr, err = mapDevice(c, "shelf-usr", verityTarget(root, r))
	return vfat, usr, err
}

// deviceSize is the size of a block device in bytes.
func deviceSize(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Seek(0, 2)
}
