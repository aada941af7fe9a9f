package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of one group; zero means no limit, or the kernel's default.
type Limits struct {
	MemoryMax  int64 // bytes; above it all of the group is killed
	MemoryHigh int64 // bytes; above it the group is slowed down and has to give memory back
	CPUWeight  int   // 1 to 10000, the kernel's default is 100: share of the processor when it is short
	CPUMax     int   // per cent of one core, 150 is one and a half
	PidsMax    int64 // processes and threads
}

// Check returns the limit that the kernel did not take.
func (l Limits) Check() error {
	switch {
	case l.MemoryMax < 0:
		return fmt.Errorf("memory limit %d is negative", l.MemoryMax)
	case l.MemoryHigh < 0:
		return fmt.Errorf("upper memory mark %d is negative", l.MemoryHigh)
	case l.CPUWeight < 0 || l.CPUWeight > 10000:
		return fmt.Errorf("cpu weight %d is not within 1 to 10000", l.CPUWeight)
	case l.CPUMax < 0:
		return fmt.Errorf("cpu limit %d %% is negative", l.CPUMax)
	case l.PidsMax < 0:
		return fmt.Errorf("process limit %d is negative", l.PidsMax)
	}
	return nil
}

// Group is one directory of the tree.
type Group struct {
	dir   string
	write func(path, s string) error
}

// Open returns the directory, as clone3's CLONE_INTO_CGROUP needs it.
func (g *Group) Open() (*os.File, error) { return os.Open(g.dir) }

// Exists reports whether somebody made the group.
func (g *Group) Exists() bool {
	_, err := os.Stat(g.dir)
	return err == nil
}

// limit sets every limit, so that one that was taken out of a unit goes away. A control file is
// missing when its controller is; that is an error only if a limit was asked for.
func (g *Group) limit(l Limits) error {
	if err := l.Check(); err != nil {
		return fmt.Errorf("cgroup %s: %w", filepath.Base(g.dir), err)
	}
	number := func(n int64) string {
		if n == 0 {
			return "max"
		}
		return strconv.FormatInt(n, 10)
	}
	weight := 100
	if l.CPUWeight != 0 {
		weight = l.CPUWeight
	}
	group, swap := "0", "max"
	if l.MemoryMax != 0 {
		group, swap = "1", "0" // swap is in memory too (zram)
	}
	quota := "max 100000"
	if l.CPUMax != 0 {
		quota = strconv.Itoa(max(l.CPUMax*1000, 1000)) + " 100000" // microseconds in each tenth of a second
	}
	for _, c := range []struct {
		file, value string
		asked       bool
	}{
		{"memory.max", number(l.MemoryMax), l.MemoryMax != 0},
		{"memory.high", number(l.MemoryHigh), l.MemoryHigh != 0},
		{"memory.swap.max", swap, false},
		{"memory.oom.group", group, false}, // half a service is worse than none
		{"cpu.weight", strconv.Itoa(weight), l.CPUWeight != 0},
		{"cpu.max", quota, l.CPUMax != 0},
		{"pids.max", number(l.PidsMax), l.PidsMax != 0},
	} {
		err := g.write(filepath.Join(g.dir, c.file), c.value)
		if err != nil && (c.asked || !errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("cgroup %s: %s=%s: %w", filepath.Base(g.dir), c.file, c.value, err)
		}
	}
	return nil
}

// Procs lists every process of the group and of the groups below it, in no particular order. A
// group that is not there has none.
func (g *Group) Procs() ([]int, error) {
	var all []int
	err := filepath.WalkDir(g.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed while we looked
		}
		if err != nil || !d.IsDir() {
			return err
		}
		pids, err := procs(path)
		all = append(all, pids...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Populated reports whether a living process is in the group or below it.
func (g *Group) Populated() bool {
	data, err := os.ReadFile(filepath.Join(g.dir, "cgroup.events"))
	return err == nil && strings.Contains(string(data), "populated 1")
}

// OOMKills counts the processes of the group that were killed because memory was short, there or on
// the whole machine.
func (g *Group) OOMKills() int64 {
	data, err := os.ReadFile(filepath.Join(g.dir, "memory.events"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}

// Signal sends sig to every process of the group and below it, and returns their number. A process
// that forks meanwhile may be missed. A process that ends meanwhile cannot be mistaken for another
// one that got its number: it is held before it is looked up once more.
func (g *Group) Signal(sig syscall.Signal) (sent int, err error) {
	pids, err := g.Procs()
	if err != nil {
		return 0, err
	}
	held := map[int]int{}
	for _, pid := range pids {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			held[pid] = fd
		}
	}
	if pids, err = g.Procs(); err == nil {
		for _, pid := range pids {
			if fd, ok := held[pid]; ok && unix.PidfdSendSignal(fd, sig, nil, 0) == nil {
				sent++
			}
		}
	}
	for _, fd := range held {
		unix.Close(fd)
	}
	return sent, err
}

// killRounds bounds how often Kill goes through a group whose processes fork as fast as they are
// killed.
const killRounds = 100

// Kill sends SIGKILL to everything in the group and below it, including what forks meanwhile. A
// kernel before 5.14 has no control file for that: one process after the other then, until none is
// found. A group that is not there is fine.
func (g *Group) Kill() error {
	err := g.write(filepath.Join(g.dir, "cgroup.kill"), "1")
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cgroup %s: killing: %w", filepath.Base(g.dir), err)
	}
	for range killRounds {
		if n, err := g.Signal(syscall.SIGKILL); err != nil || n == 0 {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("cgroup %s: new processes come faster than they can be killed", filepath.Base(g.dir))
}

// Remove removes the group and the groups below it, as far as they are empty.
func (g *Group) Remove() error {
	var dirs []string
	_ = filepath.WalkDir(g.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	var errs []error
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
