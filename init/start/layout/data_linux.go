package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
	"unsafe"

	"imgbuild/init/base/fsck"
	"imgbuild/init/base/guard"
	"imgbuild/init/base/report"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/disk"
	"imgbuild/init/start/preinit"

	"github.com/u-root/u-root/pkg/mount"
	"golang.org/x/sys/unix"
)

// dataMount is where the whole data partition is mounted until switch_root.
const dataMount = "/data"

// openData checks, grows and mounts the data partition and makes it the place of the new root. An
// error means that it is not in use. It is never formatted, and never repaired so far that what
// made the node this node would be gone: that is for a person to decide (package datafs).
func openData(t report.Reporter, s *preinit.State, l *Layout) error {
	return opening{t, dataMount, func() error { return mountData(t, s) }, func() error { return prepareRoot(t) }, releaseRoot}.run(l)
}

// opening is what opens the data partition.
type opening struct {
	reporter report.Reporter
	dir      string // where mount mounts it
	mount    func() error
	prepare  func() error // makes it the place of the new root
	release  func()       // undoes both
}

func (o opening) run(l *Layout) error {
	const fix = "log in over ssh, or on the console, and run sudo shelf data: it shows what can be done; nothing is written to the partition meanwhile"
	t := o.reporter
	err := o.mount()
	if err == nil {
		if done, err := reset(o.dir+"/k3os", func(string) {}); err != nil {
			t.Problem(fault.Wrap(err, fault.Device, "remove /k3os/config/reset if it is not wanted any more", "the data could not be reset"))
		} else if done {
			t.Say("the data are reset; configuration and identity are kept")
		}
		if err = o.prepare(); err != nil {
			o.release()
		} else {
			l.Sweep = sweep(o.dir + "/k3os") // it holds the partition open, which a repair would find in use
		}
	}
	if err == nil {
		return nil
	}
	return &fault.Error{Kind: fault.Device, What: "the data partition is not in use", Err: err, Fix: fix}
}

func mountData(t report.Reporter, s *preinit.State) error {
	if s.DataErr != nil {
		return s.DataErr
	}
	grown, err := s.Disk.GrowData()
	if err != nil {
		// The node runs as well with the small partition; the next boot tries again.
		t.Problem(fault.Wrap(err, fault.Device, "look whether the card is write-protected", "the data partition could not be enlarged"))
	} else if grown {
		t.Say("data partition enlarged to %d MiB, disk is now %s", s.Disk.Table.Partitions[disk.Data-1].Sectors>>11, s.Disk.Table.PartUUID(disk.Data))
	}
	t.Log("the data partition has its size")
	if err := os.MkdirAll(dataMount, 0o755); err != nil {
		return err
	}
	return onDisk(t, s.Disk.Partition(disk.Data), s.Data.BlockSize).use(s.Data.Clean)
}

// partition is the data partition, and what is done to it.
type partition struct {
	reporter report.Reporter
	dir      string // where it is mounted
	fsck     func(mode string) (fsck.Result, error)
	mount    func(options string, flags uintptr) error
	unmount  func()
	grow     func() error // once it is mounted
}

// onDisk is the partition of a device.
func onDisk(t report.Reporter, device string, blockSize int64) *partition {
	return &partition{
		reporter: t,
		dir:      dataMount,
		fsck:     func(mode string) (fsck.Result, error) { return e2fsck(t, mode, device) },
		mount: func(options string, flags uintptr) error {
			_, err := mount.Mount(device, dataMount, "ext4", options, flags)
			return err
		},
		unmount: func() { _ = unix.Unmount(dataMount, unix.MNT_DETACH) },
		grow:    func() error { return growExt4(device, blockSize) },
	}
}

// use checks and mounts it. clean reports that it was unmounted in order, by its own flag.
func (p *partition) use(clean bool) (err error) {
	repaired := false
	if !clean {
		if repaired, err = p.check("-p"); err != nil {
			return err
		}
	}
	p.reporter.Log("the data partition is checked")
	mountIt := func() error { return p.mount("errors=remount-ro", unix.MS_NOATIME) }
	err = mountIt()
	if err != nil && clean { // it calls itself clean and is not
		refused := err
		if repaired, err = p.check("-fp"); err == nil {
			err = mountIt()
		}
		if err == nil {
			p.reporter.Problem(fault.New(fault.Device, "look at your data; if it happens again replace the card",
				"the data partition was damaged (%v) though it was unmounted in order, and has been repaired", refused))
		}
	}
	if err != nil {
		return fault.Wrap(err, fault.Device, "", "it cannot be mounted")
	}
	if emptied(p.dir, repaired) {
		p.unmount()
		return fault.New(fault.Device, "", "a repair took away what made this node itself; what e2fsck found of it is in the directory lost+found there")
	}
	if err := p.grow(); err != nil {
		p.reporter.Problem(fault.Wrap(err, fault.Device, "reboot; if it comes again write the image again", "the file system of the data partition could not be enlarged"))
	}
	return nil
}

// check lets e2fsck, which comes from the squashfs, look at the data partition. First it may only
// do what is safe without a person. If that is not enough it repairs what it can, because no person
// is at the node, but only while the node can be recognised on the partition: of a file system that
// lost its root a repair makes an empty one, on which the node would begin a second life. Repaired
// reports that it went that far. safe is -p, or -fp for one that calls itself clean.
func (p *partition) check(safe string) (repaired bool, err error) {
	res, err := p.fsck(safe)
	switch {
	case err != nil:
		return false, fmt.Errorf("it could not be checked: %w", err)
	case res.Repaired():
		p.reporter.Say("e2fsck repaired the data partition: %s", res.Last)
		return false, nil
	case res.Sound():
		return false, nil
	case res.Failed(): // a repair would be made on what cannot be read
		return false, fmt.Errorf("e2fsck failed (exit code %d): %s", res.Code, res.Last)
	case !p.recognised():
		return false, fmt.Errorf("it is damaged so far that this node's settings are not found on it: %s", res.Last)
	}
	if res, err = p.fsck(fsck.Repair); err != nil {
		return false, fmt.Errorf("its repair did not come to an end: %w", err)
	}
	if !res.Sound() {
		return false, fmt.Errorf("it is damaged and e2fsck cannot repair it (exit code %d): %s", res.Code, res.Last)
	}
	p.reporter.Problem(fault.New(fault.Device, "look into /lost+found and at your data; if it happens again replace the card", "the data partition was damaged and has been repaired: %s", res.Last))
	return true, nil
}

// witnesses are what a node has from its first boot on, below the data partition's root.
var witnesses = []string{"k3os/data/var/lib/shelf/machine-id", "k3os/config/system.yaml", "k3os/data/var/lib/rancher/k3os/ssh"}

// known reports whether the data of a node are mounted at dir.
func known(dir string) bool {
	for _, w := range witnesses {
		if _, err := os.Stat(dir + "/" + w); err == nil {
			return true
		}
	}
	return false
}

// emptied reports whether a repair, now or at an earlier boot or by a person, took the node off the
// file system at dir: a second life must not begin next to what is left of the first. A file system
// that never had a node has nothing in lost+found.
func emptied(dir string, repaired bool) bool {
	if known(dir) {
		return false
	}
	found, err := os.ReadDir(dir + "/lost+found")
	return repaired || len(found) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// recognised looks without writing: not even the journal is replayed.
func (p *partition) recognised() bool {
	if err := p.mount("noload,errors=continue", unix.MS_RDONLY); err != nil {
		return false
	}
	defer p.unmount()
	return known(p.dir)
}

// rescue returns what asked for the rescue system, if anything did: a word of the kernel's command
// line, or a file on BOOT, whose device is boot.
func rescue(t report.Reporter, cmdline map[string]string, boot string) string {
	by := ""
	if v, asked := cmdline["shelf.rescue"]; asked && config.RescueAsked([]byte(v)) {
		by = "shelf.rescue on the kernel's command line"
	} else if f, err := os.Open(boot); err == nil {
		asked, err := RescueAsked(f)
		f.Close()
		if err != nil {
			t.Log("%v", err)
		}
		if asked {
			by = config.RescueFile + " on the boot partition"
		}
	}
	if by != "" {
		t.Say("rescue: %s asks for it; the data partition is left alone and nothing will be kept", by)
	}
	return by
}

// e2fsck checks a device. A large disk may take its time, and the watchdog does not fire meanwhile,
// since the step has a limit of its own.
func e2fsck(t report.Reporter, mode, device string) (fsck.Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), checkLimit)
	defer cancel()
	slow := time.AfterFunc(checkSlow, func() {
		defer guard.Catch()
		t.Say("e2fsck is looking at the data partition, which may take up to %v; leave the power on", checkLimit)
	})
	defer slow.Stop()
	res, err := fsck.Run(ctx, mode, device, nil)
	if ctx.Err() != nil {
		return fsck.Result{}, fmt.Errorf("e2fsck was not done with it after %v; sudo shelf data repair gives it hours", checkLimit)
	}
	return res, err
}

// checkLimit ends a check that does not come to an end, checkSlow is when a running check is
// reported.
const (
	checkLimit = 30 * time.Minute
	checkSlow  = 20 * time.Second
)

// growExt4 makes the mounted file system as large as its partition, online; see EXT4_IOC_RESIZE_FS
// in the kernel's Documentation/filesystems/ext4/. It may be asked at every boot, and after a
// growth that was cut short.
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
	blocks, more := larger(now.Blocks, size, blockSize)
	if !more {
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

// larger returns how many blocks a file system of now blocks has to have to fill size bytes. A
// remainder smaller than 4 MiB is not worth a block group.
func larger(now uint64, size, blockSize int64) (blocks uint64, more bool) {
	blocks = uint64(size / blockSize)
	return blocks, now+uint64(4<<20/blockSize) < blocks
}

// mountNothing puts a file system in memory where the data would be, so that a node that lost its
// data still comes up.
func mountNothing() error {
	if err := os.MkdirAll(dataMount, 0o755); err != nil {
		return err
	}
	_, err := mount.Mount("tmpfs", dataMount, "tmpfs", "mode=0755,size=50%", unix.MS_NODEV)
	return err
}
