// Package datafs is what a person can do with a data partition that the node does not use: look
// what is there, repair it, give it up. Nothing here is ever done by the node itself.
package datafs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"imgbuild/init/base/fsck"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mbr"
	"imgbuild/init/disk"
	"imgbuild/init/start/layout"
	"imgbuild/init/start/preinit"
	"imgbuild/init/supervise"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Find returns the disk that the node runs from.
func Find() (*disk.Disk, error) {
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	want := preinit.ParseCmdline(string(text))["shelf.disk"]
	if want == "" {
		return nil, fault.New(fault.Input, "run it on a node", "the kernel's command line does not name the node's disk")
	}
	d, _, err := disk.Find("/sys", "/dev", want)
	if err != nil {
		return nil, err
	}
	if d == nil {
		// The first boot gave the disk its own signature, after the boot script had named it; and
		// only root can read it.
		d, err = running()
	}
	if err == nil && d == nil {
		err = fault.New(fault.Device, "use sudo; if that is it already, the disk has failed", "the node's disk %s cannot be read", want)
	}
	return d, err
}

// running finds the disk by what is mounted on /boot.
func running() (*disk.Disk, error) {
	var st unix.Stat_t
	if err := unix.Stat("/boot", &st); err != nil {
		return nil, err
	}
	link, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return nil, err
	}
	parts := strings.Split(link, "/")
	if len(parts) < 2 {
		return nil, nil
	}
	d, err := disk.Open("/sys", "/dev", parts[len(parts)-2])
	if errors.Is(err, os.ErrPermission) {
		return nil, nil
	}
	return d, err
}

// State is what can be known of the data partition without writing to it.
type State struct {
	Device  string    // its node, or where it would be
	Bytes   int64     // 0: there is no partition 4
	Mounted string    // where; empty if it is not in use
	Bad     error     // why it could not be used, as far as the partition itself shows it
	FS      disk.Ext4 // zero if there is none
}

// Look reads the state.
func Look(d *disk.Disk) State {
	s := State{Device: d.Partition(disk.Data), Bytes: int64(d.Table.Partitions[disk.Data-1].Sectors) * mbr.SectorSize}
	s.Bad = d.CheckData()
	var f *os.File
	var err error
	at := int64(0)
	if s.Device == "" {
		s.Device, s.Bytes, at = d.Path, 0, disk.DataStart*mbr.SectorSize
	} else {
		s.Mounted = mountedAt(s.Device)
	}
	if f, err = os.Open(s.Device); err == nil {
		s.FS, err = disk.ReadExt4(io.NewSectionReader(f, at, 1<<20))
		f.Close()
	}
	if s.Bad == nil {
		s.Bad = err
	}
	if s.Bad == nil && s.FS.Label != preinit.DataLabel {
		s.Bad = fmt.Errorf("it carries the label %q instead of %s", s.FS.Label, preinit.DataLabel)
	}
	return s
}

// mountedAt returns the first place where a device is mounted.
func mountedAt(device string) string {
	mounts, _ := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Source != device, m.Source == device })
	if len(mounts) == 0 {
		return ""
	}
	return mounts[0].Mountpoint
}

// idle refuses what must not be done to a partition in use.
func idle(d *disk.Disk) error {
	device := d.Partition(disk.Data)
	if device == "" {
		return nil
	}
	if at := mountedAt(device); at != "" {
		fix := "sudo umount " + at
		if at == "/" || strings.HasPrefix(at, "/k3os") || strings.HasPrefix(at, "/usr") {
			fix = "sudo shelf rescue on, sudo shelf reboot, and run it again there"
		}
		return fault.New(fault.Usage, fix, "the data partition %s is in use, mounted at %s", device, at)
	}
	f, err := os.OpenFile(device, os.O_RDWR|unix.O_EXCL, 0) // whatever holds it otherwise
	if err != nil {
		return fault.Wrap(err, fault.Device, "use sudo", "the data partition is not available")
	}
	return f.Close()
}

// Repair puts a lost entry of the partition table back, lets e2fsck change whatever it has to, and
// sets the label of the file system. e2fsck's output goes to out. When e2fsck gives up, the error
// reports it.
func Repair(ctx context.Context, d *disk.Disk, out io.Writer) error {
	if err := idle(d); err != nil {
		return err
	}
	if s := Look(d); s.Bytes == 0 && s.FS.BlockSize == 0 {
		return fault.New(fault.Device, "sudo shelf data format makes a new one, empty", "there is no partition 4 and no file system where it should be")
	}
	if err := d.RestoreData(); err != nil {
		return fault.Wrap(err, fault.Device, "", "partition 4 cannot be put back into the table")
	}
	device := d.Partition(disk.Data)
	res, err := fsck.Run(ctx, fsck.Repair, device, out)
	if err != nil {
		return err
	}
	if !res.Sound() {
		return fault.New(fault.Device, "copy what can be read (sudo mount -o ro,noload "+device+" /mnt), then sudo shelf data format, or replace the card",
			"e2fsck cannot repair %s (exit code %d)", device, res.Code)
	}
	if s := Look(d); s.FS.Label != preinit.DataLabel {
		if _, err := supervise.Run(ctx, supervise.Cmd("/usr/sbin/tune2fs", "-L", preinit.DataLabel, device)); err != nil {
			return fault.Wrap(err, fault.Device, "", "the file system could not be given its label")
		}
	}
	return nil
}

// Format makes an empty file system of the kind that an image brings, in place of whatever is
// there.
func Format(ctx context.Context, d *disk.Disk, out io.Writer) error {
	if err := idle(d); err != nil {
		return err
	}
	if err := d.RestoreData(); err != nil {
		return fault.Wrap(err, fault.Device, "", "partition 4 cannot be put back into the table")
	}
	args := []string{"/usr/sbin/mke2fs", "-F", "-t", "ext4", "-b", "4096", "-L", preinit.DataLabel, "-J", "size=64"}
	if d.Table.Partitions[disk.Data-1].Sectors < 1<<31 {
		args = append(args, "-E", "resize=536870912") // space for the descriptors of 2 TiB, so that it grows with a copy to a larger card
	}
	_, err := supervise.Run(ctx, supervise.Command{Spec: supervise.Spec{Args: append(args, d.Partition(disk.Data))}, Output: out})
	return fault.Wrap(err, fault.Device, "replace the card", "the data partition could not be formatted")
}

// SetRescue answers the question of rescue.txt for the next boot, and Rescue reads the answer.
func SetRescue(d *disk.Disk, on bool) error {
	f, err := os.OpenFile(d.Partition(disk.Boot), os.O_RDWR, 0)
	if err != nil {
		return fault.Wrap(err, fault.Device, "use sudo", "the boot partition cannot be written")
	}
	err = layout.SetRescue(f, on)
	return errors.Join(err, f.Sync(), f.Close())
}

// Rescue reports whether rescue.txt asks for the rescue system.
func Rescue(d *disk.Disk) (bool, error) {
	f, err := os.Open(d.Partition(disk.Boot))
	if err != nil {
		return false, fault.Wrap(err, fault.Device, "use sudo", "the boot partition cannot be read")
	}
	defer f.Close()
	return layout.RescueAsked(f)
}

// Limit ends a repair that does not come to an end: some hours, for a person can end it before.
const Limit = 12 * time.Hour
