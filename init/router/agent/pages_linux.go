package agent

import (
	"errors"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// giveBack gives back the memory that only the start needed: free pages of the heap, and pages of
// this program's file that are read and not written. The kernel reads those again when they are
// needed; without it all that was mapped around the first calls stays, 13 MB of a program that is
// mostly something else than a router.
func giveBack() error {
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range fileMappings(string(maps), exe) {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m[0], m[1]-m[0], unix.MADV_DONTNEED); errno != 0 {
			errs = append(errs, errno)
		}
	}
	return errors.Join(errs...)
}

// fileMappings returns the first and the last address of a file's mappings that cannot be written,
// of a text like /proc/self/maps.
func fileMappings(maps, file string) (list [][2]uintptr) {
	for line := range strings.Lines(maps) {
		f := strings.Fields(line)
		if len(f) != 6 || f[5] != file || len(f[1]) != 4 || f[1][1] != '-' {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		a, err := strconv.ParseUint(from, 16, strconv.IntSize)
		b, err2 := strconv.ParseUint(to, 16, strconv.IntSize)
		if err == nil && err2 == nil && a < b {
			list = append(list, [2]uintptr{uintptr(a), uintptr(b)})
		}
	}
	return list
}
