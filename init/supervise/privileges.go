package supervise

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"imgbuild/init/base/guard"
)

// withoutNewPrivileges runs fork on a thread whose children can gain no rights: execve ignores
// set-uid bits and file capabilities there (PR_SET_NO_NEW_PRIVS, prctl(2)). Go's SysProcAttr has no
// field for it. A thread cannot take the flag off again, so it is one that ends with the goroutine.
func withoutNewPrivileges(fork func() error) (err error) {
	done := make(chan struct{})
	guard.Go(func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			// The main thread does not end with a goroutine. While this one holds it, another
			// goroutine runs elsewhere.
			defer runtime.UnlockOSThread()
			err = withoutNewPrivileges(fork)
			return
		}
		if err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err == nil {
			err = fork()
		}
	})
	<-done
	return err
}
