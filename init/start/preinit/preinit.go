// Package preinit is the first step of the boot, while the initramfs is all there is: the watchdog,
// the kernel's file systems, a clock that does not run before the image was made, the modules for
// the disk, the disk itself, and the checks that decide whether the rest of the boot makes sense.
package preinit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/init/base/module"
	"imgbuild/init/base/mount"
	"imgbuild/init/base/report"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/disk"

	"golang.org/x/sys/unix"
)

// State is what preinit found.
type State struct {
	Cmdline    Cmdline
	Watchdog   *Watchdog // nil if there is none
	Modules    *Hotplug
	Disk       *disk.Disk
	Slot       string // a or b
	Manifest   *manifest.Manifest
	Data       disk.Ext4 // the data partition's superblock; zero if it has none
	DataErr    error     // why the data partition cannot be used
	Compatible []string
	Model      string
	Memory     int64 // bytes
}

// SlotDevice is the node of the running slot's partition.
func (s *State) SlotDevice() string {
	if s.Slot == "b" {
		return s.Disk.Partition(disk.SlotB)
	}
	return s.Disk.Partition(disk.SlotA)
}

// kernelFS is mounted before anything else is done.
var kernelFS = []mount.Op{
	mount.Mount{Source: "proc", Path: "/proc", Type: "proc", Flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	mount.Mount{Source: "sysfs", Path: "/sys", Type: "sysfs", Flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	// Debian's kernel does not mount devtmpfs by itself.
	mount.Mount{Source: "devtmpfs", Path: "/dev", Type: "devtmpfs", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "mode=0755"},
}

// fileSystems are needed whatever the hardware is. crc32c comes first: ext4 asks the kernel for it
// by an alias that the kernel cannot resolve without modprobe. Those that are built in, or not in
// the initramfs, are passed over.
var fileSystems = []string{"crc32c_generic", "dm_mod", "dm_verity", "squashfs", "ext4", "vfat", "nls_ascii", "nls_cp437"}

// Mount mounts the kernel's file systems and opens the consoles.
func Mount(t report.Reporter) error {
	err := mount.Do(kernelFS...)
	t.Console.Open("/sys", "/dev")
	return err
}

// Run does the step. It fills s as it goes, so that a caller can report with what there is when it
// fails.
func Run(t report.Reporter, s *State) error {
	text, _ := os.ReadFile("/proc/cmdline")
	s.Cmdline = ParseCmdline(string(text))
	for _, k := range kernelSettings {
		t.Problem(k.set(s.Cmdline, "/"))
	}
	s.Compatible, s.Model, s.Memory = Compatible("/proc"), Model("/proc"), Memory("/proc")
	s.Modules = NewHotplug(t, module.Words(s.Cmdline))
	if err := s.Modules.Use("/lib/modules/" + module.Release()); err != nil {
		return fault.Wrap(err, fault.Internal, "write the image to the card again", "the initramfs has no modules for this kernel")
	}
	if err := s.Modules.Listen(); err != nil {
		t.Problem(err)
	}
	s.Modules.Coldplug("drivers/watchdog", func() {
		s.watchdog(t, "/proc", "/dev")
		for _, name := range fileSystems {
			if s.Modules.Has(name) {
				t.Problem(s.Modules.Load(name))
			}
		}
	})
	if err := s.findDisk(t, "/sys", "/dev"); err != nil {
		return err
	}
	return s.check(t)
}

// watchdog opens the watchdog below dev, unless the machine below proc must not have it opened.
func (s *State) watchdog(t report.Reporter, proc, dev string) {
	_, err := os.Stat(filepath.Join(proc, "device-tree/system/linux,revision"))
	marks := err == nil
	ok, why := watchdogAllowed(s.Cmdline, s.Compatible, marks)
	if !ok {
		t.Say("watchdog left closed: %s", why)
		return
	}
	w, err := OpenWatchdog(dev)
	if err != nil {
		t.Say("no watchdog: a hang will need somebody to pull the plug (%v)", err)
		return
	}
	s.Watchdog = w
}

// The disk is waited for this long: a USB disk may spin up for 15 s.
const diskLimit = 40 * time.Second

// findDisk waits for the disk below sys and dev.
func (s *State) findDisk(t report.Reporter, sys, dev string) error {
	want := s.Cmdline["shelf.disk"]
	if want == "" {
		return fault.New(fault.Input, "boot through the card's own boot script, which names the disk", "the kernel's command line has no shelf.disk")
	}
	if s.Slot = s.Cmdline["shelf.slot"]; s.Slot != "a" && s.Slot != "b" {
		return fault.New(fault.Input, "boot through the card's own boot script, which names the slot", "shelf.slot=%q on the kernel's command line is not a or b", s.Slot)
	}
	start, reported := time.Now(), false
	for {
		d, names, err := disk.Find(sys, dev, want)
		if err != nil {
			return err
		}
		if len(names) > 1 {
			t.Problem(fault.New(fault.Input, "remove the other disk, or write its image again", "the disks %s carry the same signature; the node runs from %s", strings.Join(names, " and "), names[0]))
		}
		if d != nil && d.Partition(disk.Boot) != "" {
			s.Disk = d
			return nil
		}
		waited := time.Since(start)
		if waited > diskLimit {
			have, _ := filepath.Glob(filepath.Join(sys, "block/*"))
			for i := range have {
				have[i] = filepath.Base(have[i])
			}
			return fault.New(fault.Device, "check that the card or disk sits well and is one that the board can read; if it is new, write the image again",
				"the disk that the node was started from (%s) did not appear within %v; the disks that are there: %s", want, diskLimit, strings.Join(have, " "))
		}
		if !reported && waited > 3*time.Second {
			reported = true
			t.Say("waiting for the disk %s", want)
		}
		s.Modules.WaitBlock(200 * time.Millisecond)
	}
}

// check reads the descriptions of the slot and the data partition. An error that is returned ends
// the boot; others are reported and kept in s.
func (s *State) check(t report.Reporter) error {
	if err := s.Disk.Check(); err != nil {
		return err
	}
	slot := s.SlotDevice()
	if slot == "" {
		return fault.New(fault.Device, "write the image to the card again", "the disk %s has no partition for slot %s", s.Disk.Name, s.Slot)
	}
	m, err := readManifest(slot)
	if err != nil {
		return fault.Wrap(err, fault.Verify, "write the image to the card again; if the other slot is good the board starts it by itself", "slot %s cannot be used", s.Slot)
	}
	s.Manifest = m
	if err := checkBoard(m, s.Compatible, s.Model); err != nil {
		return err
	}
	t.Problem(EnoughMemory(m, s.Memory))
	if s.DataErr = s.Disk.CheckData(); s.DataErr == nil {
		s.Data, s.DataErr = readData(s.Disk.Partition(disk.Data))
	}
	if set, err := raiseClock(latest(time.Unix(m.Date, 0), s.Data.Written)); err != nil {
		t.Problem(fmt.Errorf("setting the clock: %w", err))
	} else if set {
		t.Say("clock raised to %s", time.Now().UTC().Format(time.RFC3339))
	}
	return nil
}

func readManifest(slot string) (*manifest.Manifest, error) {
	f, err := os.Open(slot)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := fatfile.ReadFile(f, manifest.Name)
	if err != nil {
		return nil, err
	}
	sum, err := fatfile.ReadFile(f, manifest.SumName)
	if err != nil {
		return nil, err
	}
	return manifest.Parse(data, sum)
}

// DataLabel is the label of the data partition.
const DataLabel = diskmap.DataLabel

func readData(path string) (disk.Ext4, error) {
	f, err := os.Open(path)
	if err != nil {
		return disk.Ext4{}, fault.Wrap(err, fault.Device, "", "the data partition cannot be opened")
	}
	defer f.Close()
	e, err := disk.ReadExt4(f)
	if err != nil {
		return disk.Ext4{}, fault.Wrap(err, fault.Device, "", "the data partition cannot be used")
	}
	if e.Label != DataLabel {
		return disk.Ext4{}, fault.New(fault.Device, "", "partition 4 carries the label %q instead of %s", e.Label, DataLabel)
	}
	return e, nil
}
