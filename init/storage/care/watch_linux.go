package care

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// Trouble is something about a disk that a person should know.
type Trouble struct {
	Text string
	Bad  bool // data is lost, or soon will be
}

// Troubles returns what is wrong with a disk that is in use.
func (s State) Troubles(name string) []Trouble {
	var list []Trouble
	add := func(bad bool, text string) {
		if text != "" {
			list = append(list, Trouble{"disk " + name + ": " + text, bad})
		}
	}
	if s.Scrub.Uncorrectable > 0 {
		add(true, fmt.Sprintf("the last scrub found %d damaged blocks of which no copy is left: `shelf dmesg` names the files; bring them back from a snapshot or backup, then scrub again", s.Scrub.Uncorrectable))
	}
	for _, e := range s.Errors {
		add(false, e.Trouble(name))
	}
	for _, d := range s.Smart {
		if len(d.Warnings) > 0 {
			add(!d.Passed, d.Line())
		}
	}
	add(false, s.Space.Trouble(name))
	return list
}

// measure adds the count of space and errors of a btrfs, as it is now.
func (k *Keeper) measure(d Disk, s *State) {
	if !d.Btrfs || d.UUID == "" {
		return
	}
	dir := os.DirFS(filepath.Join("/sys/fs/btrfs", d.UUID))
	if space, err := ReadSpace(dir); err == nil {
		s.Space = space
	}
	if list, err := ReadErrors(dir); err == nil {
		s.Errors = list
	}
}

// How often disks are asked about themselves, and blocks that hold nothing are reported to them.
const (
	smartEvery = 24 * time.Hour
	trimEvery  = 7 * 24 * time.Hour
)

// TrimDue reports whether the weekly trim is due.
func TrimDue(r Record, now time.Time, known bool) bool {
	if !known || r.Begun.IsZero() {
		return false
	}
	last := r.Trimmed
	if last.IsZero() {
		last = r.Begun
	}
	return now.Sub(last) >= trimEvery
}

// upkeep begins what needs no btrfs: trim every week, SMART every day. ctx ends it.
func (k *Keeper) upkeep(ctx context.Context, d Disk) {
	now, known := k.Clock()
	k.mu.Lock()
	s := k.states[d.Name]
	if s.upkeep {
		k.mu.Unlock()
		return
	}
	trim, smart := !d.ReadOnly && TrimDue(s.Record, now, known), s.asked.IsZero() || time.Since(s.asked) >= smartEvery
	s.upkeep = trim || smart
	if smart {
		s.asked = time.Now()
	}
	k.mu.Unlock()
	if !trim && !smart {
		return
	}
	guard.Go(func() {
		defer func() {
			k.mu.Lock()
			k.states[d.Name].upkeep = false
			k.mu.Unlock()
		}()
		if smart {
			list := k.smart(ctx, d)
			k.mu.Lock()
			k.states[d.Name].Smart = list
			k.mu.Unlock()
		}
		if !trim {
			return
		}
		n, err := trimFS(d)
		if err != nil {
			k.Say("disk %s: it is not trimmed: %v", d.Name, err)
		} else if n > 0 {
			k.Say("disk %s: trimmed, %.1f GB are free", d.Name, float64(n)/1e9)
		}
		if err := k.change(d, func(s *State) { s.Trimmed = now }); err != nil {
			k.Say("disk %s: %v", d.Name, err)
		}
	})
}

// smartLimit ends smartctl on a disk, or an adapter, that does not answer.
const smartLimit = time.Minute

// smart asks every disk about itself, except those that are asleep. What one answered before counts
// on while it sleeps.
func (k *Keeper) smart(ctx context.Context, d Disk) []Smart {
	before := k.State(d.Name).Smart
	var list []Smart
	for _, path := range d.Paths {
		ctx, cancel := context.WithTimeout(ctx, smartLimit)
		res, err := supervise.Run(ctx, supervise.Cmd("smartctl", "-j", "-i", "-H", "-A", "-n", "standby,0", path))
		cancel()
		s, err2 := ParseSmart(path, res.Output)
		if err2 != nil {
			k.Say("disk %s: %s: %v", d.Name, path, errors.Join(err, err2))
		}
		if i := slices.IndexFunc(before, func(o Smart) bool { return o.Device == path && o.Known }); s.Asleep && i >= 0 {
			s = before[i]
		}
		for _, w := range s.Warnings {
			if !slices.ContainsFunc(before, func(o Smart) bool { return o.Device == path && slices.Contains(o.Warnings, w) }) {
				k.Say("disk %s: %s: %s", d.Name, path, w)
			}
		}
		list = append(list, s)
	}
	return list
}

// trimmable reports whether a device takes reports about blocks that hold nothing. sys is /sys.
func trimmable(sys, path string) bool {
	dir, err := filepath.EvalSymlinks(filepath.Join(sys, "class/block", filepath.Base(path)))
	if err != nil {
		return false
	}
	for _, at := range []string{dir, filepath.Dir(dir)} { // a partition's queue is its disk's
		if text, err := os.ReadFile(filepath.Join(at, "queue/discard_max_bytes")); err == nil {
			return strings.TrimSpace(string(text)) != "0"
		}
	}
	return false
}

// trimFS has the file system report what is free to its devices, and returns how much that was, in
// bytes; 0 where no device takes it.
func trimFS(d Disk) (uint64, error) {
	if !slices.ContainsFunc(d.Paths, func(p string) bool { return trimmable("/sys", p) }) {
		return 0, nil
	}
	fd, err := unix.Open(d.At, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: d.At, Err: err}
	}
	defer unix.Close(fd)
	span := struct{ start, length, least uint64 }{0, ^uint64(0), 0}
	const fitrim = 3<<30 | 24<<16 | 'X'<<8 | 121 // include/uapi/linux/fs.h
	if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fitrim, uintptr(unsafe.Pointer(&span))); no != 0 {
		return 0, fault.Wrap(no, fault.Device, "", "FITRIM of %s", d.At)
	}
	return span.length, nil
}
