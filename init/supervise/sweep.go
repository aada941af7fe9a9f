package supervise

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sweep ends every process of the machine but PID 1, which must be the caller: SIGTERM to all, and
// SIGHUP, for a shell that somebody types into ignores the other; grace for them to end, then
// SIGKILL. It is for the very end, after Supervisor.Stop: what is left then are logins, and what
// units with KeepOthers left behind.
func Sweep(ctx context.Context, grace time.Duration) error {
	if os.Getpid() != 1 {
		return errors.New("only PID 1 may end all processes")
	}
	reap.watch()
	_ = syscall.Kill(-1, syscall.SIGTERM) // PID 1 itself and kernel threads are spared by the kernel
	_ = syscall.Kill(-1, syscall.SIGHUP)
	_ = syscall.Kill(-1, syscall.SIGCONT) // what is stopped could not end
	soft, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if awaitNobody(soft) {
		return nil
	}
	_ = syscall.Kill(-1, syscall.SIGKILL)
	hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
	defer cancel()
	if awaitNobody(hard) {
		return nil
	}
	return errors.New("some processes cannot be killed: they hang in the kernel, on a disk or a network file system")
}

// awaitNobody waits until this process has no children. As PID 1 it inherits every process whose
// parent ends, so that nobody is left then.
func awaitNobody(ctx context.Context) bool {
	for {
		reap.pass()
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if errors.Is(err, syscall.ECHILD) {
			return true
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}
