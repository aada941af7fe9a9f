package command

import (
	"encoding/hex"
	"os"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"
)

// memory is what the Go runtime may hold, in bytes: what applying a delta needs.
const memory = 28 << 20

// ioprio_set(2): a class and a level in one number, for one thread.
const (
	ioprioWhoProcess = 1
	ioprioClassShift = 13
	ioprioIdle       = 3
)

// Frugal has this process use little memory, and processor and disk only when nobody else does.
// Threads that are made later have it from those that make them. Where the kernel refuses, the
// upgrade is only less polite.
func Frugal() {
	debug.SetMemoryLimit(memory)
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(tid), ioprioIdle<<ioprioClassShift)
			_ = unix.Setpriority(unix.PRIO_PROCESS, tid, 10)
		}
	}
}

func hexOf(sum [32]byte) string { return hex.EncodeToString(sum[:]) }
