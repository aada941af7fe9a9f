package swap

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"imgbuild/init/contract/fault"

	"golang.org/x/sys/unix"
)

const (
	disk        = "zram0"
	device      = "/dev/" + disk
	priority    = 100    // above that of any other area
	preferFlag  = 0x8000 // SWAP_FLAG_PREFER: the low bits are a priority
	pageCluster = "/proc/sys/vm/page-cluster"
)

// Zram is the node's swap in memory. Its methods are called by one goroutine.
type Zram struct {
	Load func(module string, params ...string) error
	made bool // the area in use is ours, and not one that a command of the user made
}

// Set makes the swap so many bytes large, 0 for none, on a machine on which so many bytes of memory
// are available. Nothing is done if it is so already.
func (z *Zram) Set(want, available int64) (err error) {
	s := state{want: want, ours: z.made, device: number(filepath.Join("/sys/block", disk, "disksize")), available: available}
	for _, a := range Areas("/") {
		if a.Device == device {
			s.active, s.used = true, a.Used
		}
	}
	switch decide(s) {
	case foreign:
		return fault.New(fault.Input, "remove memory.zram, or the command that uses "+device, "memory.zram: %s is in use for something else", device)
	case later:
		return fault.New(fault.Unhealthy, "run sudo shelf reboot",
			"memory.zram: %d MiB are swapped out and do not fit into the free memory; the swap changes at the next boot", s.used>>20)
	case stop:
		err = z.off()
	case resize:
		if err = z.off(); err == nil {
			err = z.on(want)
		}
	case start:
		err = z.on(want)
	}
	return fault.Wrap(err, fault.Internal, "look at the kernel's messages with dmesg", "memory.zram: there is no swap in memory")
}

func number(path string) int64 {
	data, _ := os.ReadFile(path)
	n, _ := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return n
}

// on sets the size of the device and uses it.
func (z *Zram) on(size int64) error {
	if err := z.Load("zram"); err != nil {
		return err
	}
	dir := filepath.Join("/sys/block", disk)
	if number(filepath.Join(dir, "disksize")) != 0 { // ours, and switched off by hand
		if err := reset(); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "disksize"), []byte(strconv.FormatInt(size, 10)), 0); err != nil {
		return err
	}
	if err := use(size); err != nil {
		return errors.Join(err, reset())
	}
	z.made = true
	return nil
}

// use makes the device a swap area and has the kernel swap to it.
func use(size int64) error {
	head, err := header(size, os.Getpagesize())
	if err != nil {
		return err
	}
	f, err := os.OpenFile(device, os.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if _, err = f.Write(head); err == nil {
		err = f.Sync()
	}
	if end := f.Close(); err == nil {
		err = end
	}
	if err != nil {
		return err
	}
	// Reading ahead saves seeks on a disk; here each page costs its decompression.
	_ = os.WriteFile(pageCluster, []byte("0"), 0)
	return call("swapon", unix.SYS_SWAPON, preferFlag|priority)
}

// off takes the device out of use and frees its memory.
func (z *Zram) off() error {
	if err := call("swapoff", unix.SYS_SWAPOFF, 0); err != nil {
		return err
	}
	z.made = false
	return reset()
}

func reset() error {
	return os.WriteFile(filepath.Join("/sys/block", disk, "reset"), []byte("1"), 0)
}

func call(name string, number, flags uintptr) error {
	path, err := unix.BytePtrFromString(device)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(number, uintptr(unsafe.Pointer(path)), flags, 0); errno != 0 {
		return &os.PathError{Op: name, Path: device, Err: errno}
	}
	return nil
}
