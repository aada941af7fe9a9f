package supervise

import (
	"bytes"
	"context"
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRun(t *testing.T) {
	var live bytes.Buffer
	c := Cmd("/bin/sh", "-c", "cat; echo to stderr >&2; echo $COLOUR; pwd; exit 3")
	c.Stdin, c.Env, c.Output = strings.NewReader("from stdin\n"), []string{"COLOUR=red", "COLOUR=blue"}, &live
	res, err := Run(t.Context(), c)
	if code, ok := Status(err); !ok || code != 3 {
		t.Fatalf("got %v", err)
	}
	if want := "from stdin\nto stderr\nblue\n/\n"; string(res.Output) != want || live.String() != want {
		t.Errorf("output %q, live %q, want %q and %v", res.Output, live.String(), want, want)
	}
	if want := "sh: exit status 3: /"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestRunFailures(t *testing.T) {
	if _, err := Run(t.Context(), Cmd()); err == nil {
		t.Error("no command was accepted")
	}
	if _, err := Run(t.Context(), Cmd("/nonexistent/program")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := Run(t.Context(), Cmd("no-such-program-in-path")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	c := Cmd("/bin/true")
	c.User = "no-such-user"
	if _, err := Run(t.Context(), c); err == nil {
		t.Error("an unknown user was accepted")
	}
	_, err := Run(t.Context(), Cmd("/bin/sh", "-c", "kill -SEGV $$"))
	var e *ExitError
	if !errors.As(err, &e) || e.Exit.Status.Signal() != syscall.SIGSEGV || !strings.Contains(err.Error(), "SIGSEGV") {
		t.Errorf("got %v", err)
	}
	if _, ok := Status(err); ok {
		t.Error("a killed command has a status")
	}
}

// A command that is cancelled goes with everything that it forked, even if all of it ignores
// SIGTERM.
func TestRunCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := make(chan string, 1)
	c := Cmd("/bin/sh", "-c", "trap '' TERM; (sleep 1000) & echo $!; wait; sleep 1000")
	c.Output = writerFunc(func(p []byte) { out <- string(p); cancel() })
	_, err := Run(ctx, c)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(<-out))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the forked child is gone", func() bool { return !alive(pid) })
	if _, err := Run(ctx, Cmd("/bin/true")); !errors.Is(err, context.Canceled) {
		t.Errorf("a dead context ran a command: %v", err)
	}
}

// A process that a command left behind with its output open must not hold Run.
func TestRunDaemon(t *testing.T) {
	res, err := Run(t.Context(), Cmd("/bin/sh", "-c", "sleep 1000 & echo $!"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(res.Output)))
	if err != nil || !alive(pid) {
		t.Fatalf("%v: %q", err, res.Output)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func TestRunKeepsTheEnd(t *testing.T) {
	res, err := Run(t.Context(), Cmd("/bin/sh", "-c", "i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done"))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Output) > outputLimit || !strings.HasSuffix(string(res.Output), "line 29999\n") {
		t.Errorf("%d bytes, ends with %q", len(res.Output), lastLine(res.Output))
	}
}

func TestRunAsOneself(t *testing.T) {
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	c := Cmd("/bin/sh", "-c", "id -u; echo $USER")
	c.User = u.Username
	res, err := Run(t.Context(), c)
	if want := u.Uid + "\n" + u.Username + "\n"; err != nil || string(res.Output) != want {
		t.Errorf("%v: %q", err, res.Output)
	}
}

func TestNoFile(t *testing.T) {
	var before, after syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	c := Cmd("/bin/sh", "-c", "ulimit -Sn; ulimit -Hn")
	c.NoFile = 123
	res, err := Run(t.Context(), c)
	if got := strings.Fields(string(res.Output)); err != nil || len(got) != 2 || got[0] != "123" {
		t.Errorf("%v: %q", err, res.Output)
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &after); err != nil || after != before {
		t.Errorf("our own limit changed from %v to %v: %v", before, after, err)
	}
}

func TestOOMScore(t *testing.T) {
	c := Cmd("/bin/sh", "-c", "sleep 0.2; cat /proc/self/oom_score_adj")
	c.OOMScore = 500 // raising needs no privilege
	res, err := Run(t.Context(), c)
	if err != nil || strings.TrimSpace(string(res.Output)) != "500" {
		t.Errorf("%v: %q", err, res.Output)
	}
}

// PID 1 has one waiter: a package of the init that used os/exec would lose its children to it.
// Those of ownProcess run in processes that are not PID 1.
func TestNobodyUsesExec(t *testing.T) {
	// shelf router run; a Plan's container; shelf backup, which PID 1 starts as a unit of its own
	ownProcess := []string{"../router/agent/", "../upgrade/plan/", "../storage/backup/tree_linux.go"}
	for _, root := range []string{"..", filepath.Join("..", "..", "cmd", "init")} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path == root {
				return nil
			}
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return nil // somebody's file that does not compile is the compiler's business
			}
			for _, imp := range f.Imports {
				if imp.Path.Value == `"os/exec"` && !slices.ContainsFunc(ownProcess, func(dir string) bool { return strings.HasPrefix(path, dir) }) {
					t.Errorf("%s imports os/exec; use supervise.Run", path)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(bytes.Clone(p)); return len(p), nil }

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// eventually waits for something that must come; how long it takes is nobody's claim.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// A program that cannot be opened for now, as on a network file system whose server is gone, holds
// up nobody but who starts it. A lease keeps it from being opened here: open(2) and execve(2) alike
// wait until it is given up (fcntl(2)).
func TestStartHeldUp(t *testing.T) {
	dir := t.TempDir()
	program, ran := filepath.Join(dir, "program"), filepath.Join(dir, "ran")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho >"+ran+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGIO)
	defer signal.Stop(asked)
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Fatal(err)
	}
	held := make(chan error, 1)
	go func() {
		_, err := Run(t.Context(), Cmd(program))
		held <- err
	}()
	<-asked // somebody waits for the program
	if _, err := Run(t.Context(), Cmd("/bin/sh", "-c", "sleep 1; ! test -e "+ran)); err != nil {
		t.Error("another start had to wait for it:", err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		t.Fatal(err)
	}
	if err := <-held; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(ran); err != nil {
		t.Error(err)
	}
}
