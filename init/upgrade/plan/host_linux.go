package plan

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// NodeShelf starts commands of the shelf of the node whose root is at host: its paths are the
// node's, and so is the version.
func NodeShelf(host string) func(ctx context.Context, words ...string) (Process, error) {
	return func(ctx context.Context, words ...string) (Process, error) {
		cmd := exec.CommandContext(ctx, "/usr/bin/shelf", words...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: host}
		cmd.Dir, cmd.Env, cmd.Stderr = "/", []string{"PATH=/usr/sbin:/usr/bin", "HOME=/root"}, os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 10 * time.Second
		in, err := cmd.StdinPipe()
		if err != nil {
			return Process{}, err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return Process{}, err
		}
		return Process{In: in, Out: out, Wait: cmd.Wait}, cmd.Start()
	}
}
