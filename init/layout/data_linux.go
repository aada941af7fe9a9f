package layout

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"

	"imgbuild/init/disk"
	"imgbuild/init/fault"
	"imgbuild/init/preinit"
	"imgbuild/init/report"
	"imgbuild/init/service"

	"github.com/u-root/u-root/pkg/mount"
	"golang.org/x/sys/unix"
)

// dataMount is where the whole data partition is mounted until switch_root.
const dataMount = "/data"

// mountData checks, grows and mounts the data partition. An error means that it cannot be used at all.
func mountData(t report.Teller, s *preinit.State) error {
	if s.DataErr != nil {
		return s.DataErr
	}
	grown, err := s.Disk.GrowData()
	if err != nil {
		// The node runs as well with the small partition; the next boot tries again.
		t.Problem(fault.Wrap(fault.Device, err, "the data partition could not be enlarged", "look whether the card is write-protected"))
	} else if grown {
		t.Say("data partition enlarged to %d MiB, disk is now %s", s.Disk.Table.Partitions[disk.Data-1].Sectors>>11, s.Disk.Table.PARTUUID(disk.Data))
	}
	device := s.Disk.Partition(disk.Data)
	t.Log("the data partition has its size")
	if !s.Data.Clean {
		if err := check(t, device); err != nil {
			return err
		}
	}
	t.Log("the data partition is checked")
	if err := os.MkdirAll(dataMount, 0o755); err != nil {
		return err
	}
	if _, err := mount.Mount(device, dataMount, "ext4", "errors=remount-ro", unix.MS_NOATIME); err != nil {
		return fault.Wrap(fault.Device, err, "the data partition cannot be mounted", "write the image to the card again; what lies on the data partition is lost with that")
	}
	if err := growExt4(device, s.Data.BlockSize); err != nil {
		t.Problem(fault.Wrap(fault.Device, err, "the file system of the data partition could not be enlarged", "reboot; if it comes again write the image anew"))
	}
	return nil
}

// check lets e2fsck, which comes from the squashfs, look at the data partition. First it may only do what is safe
// without a person; if that is not enough it repairs what it can, because nobody sits in front of the node.
func check(t report.Teller, device string) error {
	code, out, err := e2fsck("-p", device)
	if err != nil {
		t.Problem(fault.Wrap(fault.Internal, err, "the data partition was not checked", ""))
		return nil
	}
	if code < 4 { // 1: repaired; 2: repaired, and a reboot is wanted if it is mounted, which it is not
		if code > 0 {
			t.Say("e2fsck repaired the data partition: %s", last(out))
		}
		return nil
	}
	code, out, err = e2fsck("-fy", device)
	if err != nil {
		return err
	}
	if code >= 4 {
		return fault.New(fault.Device, "replace the card; what can be read of the old one may be saved on a laptop", "the data partition is damaged and e2fsck cannot repair it (exit code %d): %s", code, last(out))
	}
	t.Problem(fault.New(fault.Device, "look into /lost+found and at your data; if it happens again replace the card", "the data partition was damaged and has been repaired: %s", last(out)))
	return nil
}

// e2fsck runs it and gives its exit code (see e2fsck(8)) and output. A large disk may take its time; a watchdog does not
// bark meanwhile, since the step has a limit of its own.
func e2fsck(mode, device string) (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), checkLimit)
	defer cancel()
	res, err := service.Run(ctx, service.Cmd("/usr/sbin/e2fsck", mode, device))
	if code, ok := service.Status(err); ok {
		return code, string(res.Output), nil
	}
	return 0, string(res.Output), err
}

// checkLimit ends a check that does not come to an end.
const checkLimit = 30 * time.Minute

func last(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// growExt4 makes the mounted file system as large as its partition, online; see EXT4_IOC_RESIZE_FS in the kernel's
// Documentation/filesystems/ext4/. It may be asked at every boot, and after a growth that was cut short.
func growExt4(device string, blockSize int64) error {
	size, err := deviceSize(device)
	if err != nil {
		return err
	}
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	now, err := disk.ReadExt4(f)
	f.Close()
	if err != nil {
		return err
	}
	blocks := uint64(size / blockSize)
	// A remainder smaller than 4 MiB is not worth a block group.
	if now.Blocks+uint64(4<<20/blockSize) >= blocks {
		return nil
	}
	dir, err := os.Open(dataMount)
	if err != nil {
		return err
	}
	defer dir.Close()
	const resizeFS = 0x40086610 // _IOW('f', 16, __u64)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), resizeFS, uintptr(unsafe.Pointer(&blocks))); e != 0 {
		return fmt.Errorf("from %d to %d blocks: %w", now.Blocks, blocks, e)
	}
	return nil
}

// mountNothing puts a file system in memory where the data would be, so that a node that lost its data still comes up.
func mountNothing() error {
	if err := os.MkdirAll(dataMount, 0o755); err != nil {
		return err
	}
	_, err := mount.Mount("tmpfs", dataMount, "tmpfs", "mode=0755,size=50%", unix.MS_NODEV)
	return err
}
