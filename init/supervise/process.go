package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"imgbuild/init/base/cgroup"
)

// DefaultPath is the PATH of everything that the init starts.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Exit is how a process ended and what it used.
type Exit struct {
	Status syscall.WaitStatus
	CPU    time.Duration // user and system, children that it waited for included
	MaxRSS int64         // bytes
	// Starved: the kernel killed it, or something that it started, because memory was
	// short.
	Starved bool
}

// OK reports whether the process ended by itself with status 0.
func (e Exit) OK() bool { return e.Status.Exited() && e.Status.ExitStatus() == 0 }

// String returns it as a shell user would write it: exit status 1, killed by SIGKILL.
func (e Exit) String() string {
	if e.Starved {
		e.Starved = false
		return e.String() + ", out of memory"
	}
	if e.Status.Signaled() {
		return "killed by " + signalName(e.Status.Signal())
	}
	return "exit status " + strconv.Itoa(e.Status.ExitStatus())
}

// Spec is the part on the process that units and one-shot commands share.
type Spec struct {
	Args     []string      // program and arguments; a program without a slash is looked for in PATH
	Env      []string      // NAME=value, added to PATH, HOME, USER, LOGNAME and SHELL
	Dir      string        // working directory; "/" if empty
	User     string        // name in /etc/passwd with its groups, without a way to more rights; empty runs as the init does
	Group    *cgroup.Group // started directly in it; nil is the init's own
	NoFile   uint64        // limit of open files, under PID 1 the hard one too; 0 leaves the init's
	NProc    uint64        // the same for processes of the user; Unlimited for none
	OOMScore int           // -1000 to 1000, higher is killed first when memory is short; 0 leaves the init's
	Terminal string        // a tty that becomes stdin, stdout, stderr and the controlling terminal; empty for none
}

// process is one running child.
type process struct {
	mu   sync.Mutex  // over os
	os   *os.Process // of which nothing but signals: its Pid changes at the end
	pid  int
	done chan struct{} // closed when it has been reaped
	exit Exit          // valid after done
}

// startProcess starts s as the leader of a session of its own, with files as its stdin, stdout and
// stderr.
func startProcess(s Spec, files [3]*os.File) (*process, error) {
	if len(s.Args) == 0 || s.Args[0] == "" {
		return nil, errors.New("no command")
	}
	attr := &os.ProcAttr{Dir: s.Dir, Files: files[:], Sys: &syscall.SysProcAttr{Setsid: true}}
	if attr.Dir == "" {
		attr.Dir = "/"
	}
	base, cred, err := identity(s.User)
	if err != nil {
		return nil, err
	}
	attr.Sys.Credential = cred
	attr.Env = mergeEnv(append([]string{"PATH=" + DefaultPath}, base...), s.Env)
	program, err := lookPath(s.Args[0], attr.Env)
	if err != nil {
		return nil, err
	}
	if s.Group != nil {
		dir, err := s.Group.Open()
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(dir.Fd())
	}
	if s.Terminal != "" {
		tty, err := os.OpenFile(s.Terminal, os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			return nil, err
		}
		defer tty.Close()
		attr.Files = []*os.File{tty, tty, tty}
		attr.Sys.Setctty, attr.Sys.Ctty = true, 0
	}
	openOnce(attr.Dir, program)
	p := &process{done: make(chan struct{})}
	_, err = reap.start(func() (*os.Process, error) {
		defer setLimits(s)()
		var started *os.Process
		fork := func() (err error) {
			started, err = os.StartProcess(program, s.Args, attr)
			return err
		}
		start := func(fork func() error) error { return fork() }
		if s.User != "" && s.User != "root" {
			start = withoutNewPrivileges
		}
		if err := start(fork); err != nil {
			return nil, err
		}
		p.os, p.pid = started, started.Pid
		if s.OOMScore != 0 {
			// Here nobody reaps it, so that its number cannot be a stranger's by now. Not fatal:
			// without privilege a score can only be raised.
			_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.pid), []byte(strconv.Itoa(s.OOMScore)), 0)
		}
		return started, nil
	}, p.ended)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// within waits for the end of the process and reports whether it came in time.
func (p *process) within(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.done:
		return true
	case <-t.C:
		return false
	}
}

// ended takes note of the process's end. Nobody calls os.Process's Wait, so its pidfd is closed
// here and not when memory is tidied up some day.
func (p *process) ended(e Exit) {
	p.exit = e
	close(p.done)
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.os.Release()
}

// signal sends sig to the process alone. It cannot hit a stranger: os.Process holds a pidfd.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
	default:
		_ = p.os.Signal(sig)
	}
}

// killGroup sends sig to all of the process's group: what it forked and did not leave for a session
// of its own.
func (p *process) killGroup(sig syscall.Signal) { _ = syscall.Kill(-p.pid, sig) }

// Unlimited is no limit at all.
const Unlimited = ^uint64(0)

var noFileOnce sync.Once

// setLimits lets the next fork inherit the limits of s, and returns the function that puts ours
// back. A child's limits cannot be set between fork and exec from Go, and changing them afterwards
// races with the child's own start. reap.mu is held.
func setLimits(s Spec) (restore func()) {
	// The first explicit call stops Go from resetting children to the limit that this program was
	// started with.
	noFileOnce.Do(func() {
		var own syscall.Rlimit
		if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &own) == nil {
			_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &own)
		}
	})
	files, procs := setLimit(syscall.RLIMIT_NOFILE, s.NoFile), setLimit(unix.RLIMIT_NPROC, s.NProc)
	return func() { files(); procs() }
}

func setLimit(which int, n uint64) (restore func()) {
	var old syscall.Rlimit
	if n == 0 || syscall.Getrlimit(which, &old) != nil {
		return func() {}
	}
	// A program may raise its soft limit to the hard one, and those written in Go do. But a lowered
	// hard limit can only be raised again with privilege, so that is for PID 1 alone.
	hard := max(n, old.Max)
	if os.Getpid() == 1 {
		hard = n
	}
	if syscall.Setrlimit(which, &syscall.Rlimit{Cur: n, Max: hard}) != nil {
		_ = syscall.Setrlimit(which, &syscall.Rlimit{Cur: min(n, old.Max), Max: old.Max})
	}
	return func() { _ = syscall.Setrlimit(which, &old) }
}

// identity returns the environment and, for another user, the credentials of a name in /etc/passwd.
func identity(name string) (env []string, cred *syscall.Credential, err error) {
	if name == "" {
		return []string{"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh"}, nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, nil, err
	}
	env = []string{"HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username, "SHELL=/bin/sh"}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, nil, fmt.Errorf("user %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, nil, fmt.Errorf("user %s: %w", name, err)
	}
	if int(uid) == os.Getuid() {
		return env, nil, nil // nothing to change, and without privilege nothing could be
	}
	cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, nil, fmt.Errorf("groups of user %s: %w", name, err)
	}
	for _, g := range groups {
		if id, err := strconv.ParseUint(g, 10, 32); err == nil {
			cred.Groups = append(cred.Groups, uint32(id))
		}
	}
	return env, cred, nil
}

// mergeEnv lets later settings of a name win and keeps the order of first appearance.
func mergeEnv(lists ...[]string) []string {
	var env []string
	at := map[string]int{}
	for _, list := range lists {
		for _, kv := range list {
			name, _, ok := strings.Cut(kv, "=")
			if !ok || name == "" {
				continue
			}
			if i, have := at[name]; have {
				env[i] = kv
				continue
			}
			at[name] = len(env)
			env = append(env, kv)
		}
	}
	return env
}

// openOnce opens directory and program once and closes them, whatever comes of it: the start
// reports what is wrong with them. Both may be on a network file system whose server is gone, and
// then this waits, and with it the one unit. Left to the start, the wait would be the child's
// before its execve, for which the kernel holds the forking thread (vfork(2)), that thread Go's
// fork lock and a processor of its scheduler, and we the reaper: PID 1 would hang.
func openOnce(dir, program string) {
	if !filepath.IsAbs(program) {
		program = filepath.Join(dir, program)
	}
	for _, path := range []string{dir, program} {
		if st, err := os.Stat(path); err != nil || !st.IsDir() && !st.Mode().IsRegular() {
			continue // to open a device or a pipe would do something
		}
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if path == program {
			_, _ = f.Read(make([]byte, 256)) // as much as execve looks at
		}
		f.Close()
	}
}

// lookPath finds a program as a shell would, in the PATH of the child's environment.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, kv := range env {
		list, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			path := filepath.Join(dir, name)
			if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", &fs.PathError{Op: "exec", Path: name, Err: fs.ErrNotExist}
}

// signalName returns the name people know; Go's own String returns a description.
func signalName(s syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGHUP: "SIGHUP", syscall.SIGINT: "SIGINT", syscall.SIGQUIT: "SIGQUIT", syscall.SIGILL: "SIGILL",
		syscall.SIGABRT: "SIGABRT", syscall.SIGBUS: "SIGBUS", syscall.SIGFPE: "SIGFPE", syscall.SIGKILL: "SIGKILL",
		syscall.SIGSEGV: "SIGSEGV", syscall.SIGPIPE: "SIGPIPE", syscall.SIGALRM: "SIGALRM", syscall.SIGTERM: "SIGTERM",
		syscall.SIGUSR1: "SIGUSR1", syscall.SIGUSR2: "SIGUSR2", syscall.SIGSYS: "SIGSYS",
	}
	if n, ok := names[s]; ok {
		return n
	}
	return "signal " + strconv.Itoa(int(s))
}
