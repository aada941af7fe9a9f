// Package fsck runs e2fsck, which comes from the squashfs, and knows what its exit codes mean; see
// e2fsck(8).
package fsck

import (
	"context"
	"io"
	"strings"

	"imgbuild/init/supervise"
)

// The ways to check a file system.
const (
	Safe    = "-p"  // do only what needs no person
	SafeAll = "-fp" // the same, also on one that calls itself clean
	Repair  = "-fy" // change whatever is wrong
)

// Result is how a check ended.
type Result struct {
	Code int    // the exit code
	Last string // the last line of the output
}

// Sound: nothing is wrong any more: nothing was, or it is repaired.
func (r Result) Sound() bool { return r.Code < 4 }

// Repaired: the file system was changed and is sound now.
func (r Result) Repaired() bool { return r.Code > 0 && r.Sound() }

// Failed: the disk or e2fsck itself failed; nothing is known of the file system.
func (r Result) Failed() bool { return r.Code >= 8 }

// Run checks the ext4 file system on a device that is not mounted. out gets the output as it comes
// and may be nil. The error means that e2fsck did not run to its end.
func Run(ctx context.Context, mode, device string, out io.Writer) (Result, error) {
	return run(ctx, supervise.Command{Spec: supervise.Spec{Args: []string{"/usr/sbin/e2fsck", mode, device}}, Output: out})
}

func run(ctx context.Context, c supervise.Command) (Result, error) {
	res, err := supervise.Run(ctx, c)
	code, ended := supervise.Status(err)
	if err != nil && (!ended || ctx.Err() != nil) {
		return Result{}, err
	}
	lines := strings.Split(strings.TrimSpace(string(res.Output)), "\n")
	return Result{code, strings.TrimSpace(lines[len(lines)-1])}, nil
}
