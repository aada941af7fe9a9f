package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
)

// Command is a one-shot command.
type Command struct {
	Spec
	Stdin  io.Reader // nil is /dev/null
	Output io.Writer // gets stdout and stderr as they come; nil for nobody
}

// Result is how a one-shot command went.
type Result struct {
	Exit
	Output []byte // the last outputLimit bytes of stdout and stderr together
}

const (
	outputLimit = 64 << 10
	// After the process has ended, what it left behind may hold its output open; a daemon would do
	// so for ever.
	outputGrace = time.Second
	// A cancelled command gets this long to tidy up before it is killed.
	cancelGrace = 5 * time.Second
)

// Cmd is the usual Command: a program with arguments.
func Cmd(args ...string) Command { return Command{Spec: Spec{Args: args}} }

// RunCommand runs a program with arguments to its end.
func RunCommand(ctx context.Context, argv ...string) error {
	_, err := Run(ctx, Cmd(argv...))
	return err
}

// Run runs a command to its end. It is for everything short that the init calls: e2fsck, sysctl, a
// cloud-config line. A status other than 0 is an error that ends with the last line the command
// printed; Result is filled in all the same, so that a caller may know better (e2fsck's 1 means
// repaired). When ctx ends, the command's process group gets SIGTERM and a little later SIGKILL,
// and the error wraps ctx.Err. A process that does not even die of that, because it sleeps in the
// kernel, is left behind: Run ends all the same.
func Run(ctx context.Context, c Command) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	tail := &tailWriter{limit: outputLimit, also: c.Output}
	p, finish, err := c.start(tail)
	if err != nil {
		name := "command"
		if len(c.Args) > 0 {
			name = c.Args[0]
		}
		return Result{}, fault.Wrap(err, fault.Internal, "", "starting %s", name)
	}
	cancelled := p.await(ctx)
	finish()
	res := Result{Output: tail.bytes()}
	select {
	case <-p.done:
		res.Exit = p.exit
	default:
	}
	name := filepath.Base(c.Args[0])
	switch {
	case cancelled != nil:
		return res, fmt.Errorf("%s: stopped: %w", name, cancelled)
	case !res.OK():
		return res, &ExitError{Name: name, Exit: res.Exit, Last: lastLine(res.Output)}
	}
	return res, nil
}

// await waits for the end of a command, and sees to it when ctx ends first; that is the error then.
func (p *process) await(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	p.killGroup(syscall.SIGTERM)
	p.within(cancelGrace)
	p.killGroup(syscall.SIGKILL)
	if !p.within(killGrace) {
		return fmt.Errorf("%w, and it cannot be killed: it hangs in the kernel, on a disk or a network file system", ctx.Err())
	}
	return ctx.Err()
}

// ExitError is a command that did not end with status 0.
type ExitError struct {
	Name string // of the program
	Exit Exit
	Last string // the last line it printed; may be empty
}

func (e *ExitError) Error() string {
	if e.Last == "" {
		return e.Name + ": " + e.Exit.String()
	}
	return e.Name + ": " + e.Exit.String() + ": " + e.Last
}

// start starts the command with its plumbing; finish waits for the rest of the output and tears the
// plumbing down.
func (c Command) start(out io.Writer) (p *process, finish func(), err error) {
	var theirs, ours []*os.File // ends of pipes
	closeAll := func(list []*os.File) {
		for _, f := range list {
			f.Close()
		}
	}
	defer func() {
		closeAll(theirs)
		if err != nil {
			closeAll(ours)
		}
	}()
	pipe := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err != nil {
			err = fmt.Errorf("pipe: %w", err)
		}
		return r, w, err
	}
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	theirs = append(theirs, stdin)
	var feed *os.File
	if c.Stdin != nil {
		r, w, err := pipe()
		if err != nil {
			return nil, nil, err
		}
		theirs, ours = append(theirs, r), append(ours, w)
		stdin, feed = r, w
	}
	r, w, err := pipe()
	if err != nil {
		return nil, nil, err
	}
	theirs, ours = append(theirs, w), append(ours, r)
	if p, err = startProcess(c.Spec, [3]*os.File{stdin, w, w}); err != nil {
		return nil, nil, err
	}
	if feed != nil {
		guard.Go(func() {
			_, _ = io.Copy(feed, c.Stdin) // a command that does not read all of it is in its right
			feed.Close()
		})
	}
	read := make(chan struct{})
	guard.Go(func() {
		_, _ = io.Copy(out, r)
		close(read)
	})
	return p, func() {
		select {
		case <-read:
		case <-time.After(outputGrace):
		}
		closeAll(ours) // ends a reader that is still waiting
		<-read
	}, nil
}

// tailWriter keeps the end of what is written and passes everything on.
type tailWriter struct {
	mu    sync.Mutex
	limit int
	buf   []byte
	also  io.Writer
}

func (t *tailWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.also != nil {
		_, _ = t.also.Write(p) // the command must not be blocked by who watches it
	}
	t.buf = append(t.buf, p...)
	if n := len(t.buf); n > 2*t.limit {
		t.buf = append(t.buf[:0], t.buf[n-t.limit:]...)
	}
	return len(p), nil
}

func (t *tailWriter) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf[max(0, len(t.buf)-t.limit):]
}

// lastLine is the last line with something on it.
func lastLine(out []byte) string {
	s := strings.TrimSpace(string(out))
	s = s[strings.LastIndexByte(s, '\n')+1:]
	if s = strings.TrimSpace(s); len(s) > 200 {
		s = s[:200]
	}
	return s
}

// Status is the exit status of an error that Run gave; ok is false when the command never ran or
// was killed.
func Status(err error) (status int, ok bool) {
	var e *ExitError
	if !errors.As(err, &e) || !e.Exit.Status.Exited() {
		return 0, false
	}
	return e.Exit.Status.ExitStatus(), true
}
