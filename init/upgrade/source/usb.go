package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/disk"
)

// USBOptions are the settings of the search on sticks.
type USBOptions struct {
	Sys, Dev string // "/sys", "/dev"
	Boot     string // the disk that the node runs from, such as mmcblk0; it is passed over
	Dir      string // mount point; it need not exist
	// Mount mounts the file system of a device read-only.
	Mount func(device, dir string) (done func() error, err error)
	// Accept opens a bundle; the error is why this node does not take it.
	Accept func(ctx context.Context, b bundle.Source) (*bundle.Manifest, error)
}

// USB is a bundle on a stick, which stays mounted until Close.
type USB struct {
	*File
	Device, Name string // where it is
	done         func() error
}

// Close closes the file and unmounts the stick.
func (u *USB) Close() error { return errors.Join(u.File.Close(), u.done()) }

// find is a bundle that this node may take.
type find struct {
	device, name string
	date         int64 // of its lock
	written      time.Time
}

// newer compares by the date of the lock, then by when the file was written.
func (f *find) newer(than *find) bool {
	if than == nil || f.date != than.date {
		return than == nil || f.date > than.date
	}
	return f.written.After(than.written)
}

// OpenUSB finds the newest bundle that this node may take, among the files NAME.upgrade in the top
// directory of every file system that is plugged in. The disk that the node runs from is passed
// over.
func OpenUSB(ctx context.Context, o USBOptions) (*USB, error) {
	var best *find
	var refused []error
	devices := sticks(o)
	for _, device := range devices {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, why := look(ctx, o, device)
		refused = append(refused, why...)
		if found != nil && found.newer(best) {
			best = found
		}
	}
	switch {
	case best != nil:
	case len(refused) > 0:
		return nil, fault.Wrap(errors.Join(refused...), fault.Input, "", "no bundle that is plugged in can be taken")
	case len(devices) == 0:
		return nil, fault.New(fault.Device, "plug in a stick, and run it again", "there is no stick or disk other than the one that this node runs from")
	default:
		return nil, fault.New(fault.Input, "copy it to the top directory of a stick with FAT, exFAT or ext4", "there is no *%s file on %s", bundle.Suffix, strings.Join(devices, ", "))
	}
	done, err := o.Mount(filepath.Join(o.Dev, best.device), o.Dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "plug it in again, and run it again", "mounting %s", best.device)
	}
	f, err := OpenFile(filepath.Join(o.Dir, best.name))
	if err != nil {
		return nil, errors.Join(err, done())
	}
	return &USB{f, best.device, best.name, done}, nil
}

// sticks returns the devices that may hold a file system: partitions, and disks without any.
func sticks(o USBOptions) (names []string) {
	class := filepath.Join(o.Sys, "class/block")
	entries, _ := os.ReadDir(class) // no directory, no disks
	for _, e := range entries {
		n := e.Name()
		if k := disk.KindOf(n); k == disk.Virtual || k == disk.BootArea || n == o.Boot {
			continue
		}
		dir, err := filepath.EvalSymlinks(filepath.Join(class, n)) // .../sda/sda1
		if err != nil || filepath.Base(filepath.Dir(dir)) == o.Boot {
			continue
		}
		if parts, _ := filepath.Glob(filepath.Join(dir, n+"*", "partition")); len(parts) == 0 {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// look returns the newest bundle of one file system that the node may take, and why it takes none
// of the others. A device without a file system has none.
func look(ctx context.Context, o USBOptions, device string) (best *find, refused []error) {
	done, err := o.Mount(filepath.Join(o.Dev, device), o.Dir)
	if err != nil {
		return nil, nil
	}
	defer func() {
		if err := done(); err != nil {
			refused = append(refused, fault.Wrap(err, fault.Device, "", "unmounting %s", device))
		}
	}()
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, []error{fault.Wrap(err, fault.Device, "try another stick", "reading %s", device)}
	}
	for _, e := range entries {
		if !strings.HasSuffix(strings.ToLower(e.Name()), bundle.Suffix) || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		found, err := judge(ctx, o, e.Name())
		if err != nil {
			refused = append(refused, fault.Wrap(err, fault.Input, "", "%s on %s", e.Name(), device))
			continue
		}
		if found.device = device; found.newer(best) {
			best = found
		}
	}
	return best, refused
}

// judge opens one bundle of the stick that is mounted.
func judge(ctx context.Context, o USBOptions, name string) (*find, error) {
	f, err := OpenFile(filepath.Join(o.Dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.f.Stat()
	if err != nil {
		return nil, err
	}
	m, err := o.Accept(ctx, f)
	if err != nil {
		return nil, err
	}
	return &find{name: name, date: m.Date, written: st.ModTime()}, nil
}
