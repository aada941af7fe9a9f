package confine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
)

// runDir is where the empty directories are on which roots are mounted, each in namespaces of its
// own.
const runDir = "/run/shelf/confined"

// Runner runs one program. The zero value with a Spec is what the node uses.
type Runner struct {
	Spec
	Self []string // the command that calls Inside
	Dir  string   // runDir if empty
	Say  func(format string, args ...any)
	IDs  func(user string) (uid, gid int, err error) // nil: /etc/passwd

	Output *os.File // of the program; nil: that of this process
}

func lookup(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	uid, err = strconv.Atoi(u.Uid)
	if err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}

// Run runs the program until it ends, and returns how. A signal in stop asks it to end.
func (r Runner) Run(stop <-chan os.Signal) (state *os.ProcessState, err error) {
	// The program gets a signal when this thread ends (PR_SET_PDEATHSIG), so it stays.
	runtime.LockOSThread()
	if err := r.Check(); err != nil {
		return nil, err
	}
	if r.IDs == nil {
		r.IDs = lookup
	}
	if r.Dir == "" {
		r.Dir = runDir
	}
	uid, gid, err := r.IDs(r.User)
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "name one of storage.users, or a user of the system", "the user %s", r.User)
	}
	if uid == 0 || gid == 0 {
		return nil, fault.New(fault.Input, "name one of storage.users", "a confined service cannot run as %s: that is root", r.User)
	}
	tunnel, err := r.tunnel()
	if err != nil {
		return nil, err
	}
	program, err := find(r.Command[0])
	if err != nil {
		return nil, err
	}
	root := filepath.Join(r.Dir, r.Name)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	o := orders{Spec: r.Spec, Root: root, Program: program, Env: environment(os.Environ(), r.Spec)}
	if tunnel != nil {
		o.Resolv = tunnel.ResolvConf()
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	stdout, stderr := os.Stdout, os.Stderr
	if r.Output != nil {
		stdout, stderr = r.Output, r.Output
	}
	p, err := os.StartProcess(r.Self[0], r.Self, &os.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=2"}, Files: []*os.File{null, stdout, stderr, out},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}},
			Credential:  &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: os.Geteuid() != 0},
			Pdeathsig:   unix.SIGKILL, Setsid: true,
			// Without this it would keep the groups of root.
			GidMappingsEnableSetgroups: os.Geteuid() == 0,
		},
	})
	out.Close()
	if err != nil {
		return nil, fmt.Errorf("namespaces of its own: %w", err)
	}
	ended := make(chan struct{})
	guard.Go(func() {
		state, err = p.Wait()
		close(ended)
	})
	over := func(cause error) (*os.ProcessState, error) {
		_ = p.Kill()
		<-ended
		return nil, cause
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ns, oerr := os.Open(fmt.Sprintf("/proc/%d/ns/net", p.Pid))
	if oerr != nil {
		return over(oerr)
	}
	defer ns.Close()
	if nerr := r.network(ctx, int(ns.Fd()), tunnel); nerr != nil {
		return over(nerr)
	}
	if eerr := json.NewEncoder(in).Encode(o); eerr != nil {
		return over(eerr)
	}
	for {
		select {
		case <-ended:
			return state, err
		case s := <-stop:
			// The first process of a namespace gets only the signals that it handles.
			if n, ok := s.(syscall.Signal); ok && !handles(p.Pid, n) {
				s = unix.SIGKILL
			}
			_ = p.Signal(s)
		}
	}
}

// tunnel reads the WireGuard file; nil where there is none.
func (r Runner) tunnel() (*Tunnel, error) {
	if r.WireGuard == "" {
		return nil, nil
	}
	text, err := os.ReadFile(r.WireGuard)
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "put the provider's file there, with write_files or by hand", "the WireGuard file")
	}
	t, err := ParseTunnel(string(text))
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// handles reports whether a process handles a signal (SigCgt in proc_pid_status(5)).
func handles(pid int, s syscall.Signal) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	return caught(string(text), s)
}

func caught(status string, s syscall.Signal) bool {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "SigCgt:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return err == nil && mask&(1<<(uint(s)-1)) != 0
		}
	}
	return false
}

// Main is the command of a confined service: it runs what the text of a Spec describes, and ends as
// it does.
func Main(text string) error {
	r := Runner{Self: []string{"/proc/self/exe", InsideVerb}, Say: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	if err := json.Unmarshal([]byte(text), &r.Spec); err != nil {
		return fault.Wrap(err, fault.Usage, "this command is for the init program", "what to run")
	}
	stop := make(chan os.Signal, 8)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2)
	state, err := r.Run(stop)
	if err != nil {
		return err
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok {
		return errors.New("it ended in an unknown way")
	}
	if status.Signaled() {
		return fault.New(fault.Internal, "", "%s was ended by a signal: %v", r.Name, status.Signal())
	}
	os.Exit(status.ExitStatus())
	return nil
}

// The first arguments by which the node's program is one of the two parts.
const (
	Verb       = "confine"
	InsideVerb = "confine-inside"
)
