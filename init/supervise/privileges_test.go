package supervise

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const flagOf = `sed -n 's/^NoNewPrivs:\t//p' /proc/self/status`

func flag(t *testing.T, who string) string {
	t.Helper()
	c := Cmd("/bin/sh", "-c", flagOf)
	c.User = who
	res, err := Run(t.Context(), c)
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(string(res.Output))
}

// What runs as a user can gain no rights; what runs as root can still start sudo and pods, also
// from threads that were there at the time.
func TestNoNewPrivileges(t *testing.T) {
	self, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	who := self.Username
	if who == "root" {
		who = "nobody"
	}
	before := flag(t, "") // that of the user who runs the test
	var wait sync.WaitGroup
	for range 8 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for range 10 {
				if got := flag(t, who); got != "1" {
					t.Errorf("NoNewPrivs of %s is %q, want 1", who, got)
				}
				if got := flag(t, ""); got != before {
					t.Errorf("NoNewPrivs without a user is %q, want %q", got, before)
				}
			}
		}()
	}
	wait.Wait()
	if who == "nobody" {
		if got := flag(t, "root"); got != before {
			t.Errorf("NoNewPrivs of root is %q, want %q", got, before)
		}
	}
	// A thread that is about to end may still be there for a moment.
	for end := time.Now().Add(time.Minute); ; runtime.Gosched() {
		kept := withFlag(t, before)
		if kept == "" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the thread %s has kept the flag", kept)
		}
	}
}

// withFlag names a thread of this process whose flag is not want.
func withFlag(t *testing.T, want string) string {
	t.Helper()
	threads, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(text), "NoNewPrivs:\t"+want+"\n") {
			return path
		}
	}
	return ""
}

func TestNoNewPrivilegesFails(t *testing.T) {
	want := errors.New("no")
	if err := withoutNewPrivileges(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}
