package supervise

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary plays the services: with SERVICE_HELPER set it is one of them.
func TestMain(m *testing.M) {
	switch kind := os.Getenv("SERVICE_HELPER"); kind {
	case "":
		os.Exit(m.Run())
	case "notify": // ready after one status; ends well at SIGTERM
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
		if err != nil {
			fmt.Println(err)
			os.Exit(9)
		}
		fmt.Fprint(c, "STATUS=loading")
		fmt.Fprint(c, "READY=1\nSTATUS=all is well")
		<-term
		fmt.Println("bye")
		os.Exit(1) // as k3s does
	case "listen": // listens on the address in ADDRESS
		l, err := net.Listen("tcp", os.Getenv("ADDRESS"))
		if err != nil {
			fmt.Println(err)
			os.Exit(9)
		}
		for {
			if c, err := l.Accept(); err == nil {
				c.Close()
			}
		}
	case "storm":
		storm()
	default:
		fmt.Println("unknown helper", kind)
		os.Exit(9)
	}
}

// helper is the command line of a helper and the environment that selects it.
func helper(t *testing.T, kind string, env ...string) ([]string, []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self}, append(env, "SERVICE_HELPER="+kind)
}

// storm is a small PID 1: as a subreaper it gets every orphan, and must not lose the end of a
// command of its own.
func storm() {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Println("subreaper:", err)
		os.Exit(1)
	}
	adopt()
	const families, orphansEach, commands, brief = 20, 10, 200, 1000
	fail := make(chan string, families+commands+1)
	go func() {
		// Orphans that are dead before anybody looks, a thousand in a row.
		_, err := Run(context.Background(), Cmd("/bin/sh", "-c", fmt.Sprint("i=0; while [ $i -lt ", brief, " ]; do (: &); i=$((i+1)); done")))
		if err != nil {
			fail <- fmt.Sprint("brief: ", err)
			return
		}
		fail <- ""
	}()
	for range families {
		go func() {
			// Each child starts ten grandchildren, which fork on their own and end only after it.
			res, err := Run(context.Background(), Cmd("/bin/sh", "-c", "i=0; while [ $i -lt 10 ]; do (while kill -0 $$; do sleep 0.01; done) >/dev/null 2>&1 & i=$((i+1)); done; exit 3"))
			if code, ok := Status(err); !ok || code != 3 {
				fail <- fmt.Sprintf("family: %v %v", res, err)
				return
			}
			fail <- ""
		}()
	}
	for i := range commands {
		go func() {
			want := i % 7
			_, err := Run(context.Background(), Cmd("/bin/sh", "-c", "exit "+strconv.Itoa(want)))
			if code, ok := Status(err); want == 0 && err != nil || want != 0 && (!ok || code != want) {
				fail <- fmt.Sprintf("command %d: %v", i, err)
				return
			}
			fail <- ""
		}()
	}
	for range families + commands + 1 {
		if s := <-fail; s != "" {
			fmt.Println(s)
			os.Exit(1)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); reap.orphans.Load() < families*orphansEach+brief; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			fmt.Println("orphans reaped:", reap.orphans.Load())
			os.Exit(1)
		}
	}
	// Nothing may be left: neither a zombie nor a registration.
	if left := children(); len(left) != 0 {
		fmt.Println("children left:", left)
		os.Exit(1)
	}
	reap.mu.Lock()
	defer reap.mu.Unlock()
	if len(reap.children) != 0 {
		fmt.Println("registrations left:", len(reap.children))
		os.Exit(1)
	}
	fmt.Println("storm over")
	os.Exit(0)
}

func TestReaperInAStorm(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), "SERVICE_HELPER=storm")
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "storm over") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// Where this process is not PID 1, os/exec of others must go on working next to it.
func TestReaperLeavesOthersAlone(t *testing.T) {
	for range 20 {
		c := exec.Command("/bin/sh", "-c", "exit 4")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), Cmd("/bin/true")); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); c.ProcessState == nil || c.ProcessState.ExitCode() != 4 {
			t.Fatal(err)
		}
	}
}

// children lists the children of this process, dead ones too, as /proc/PID/stat gives them.
func children() []string {
	var list []string
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		data, _ := os.ReadFile(path)
		if f := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:])); len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) {
			list = append(list, path)
		}
	}
	return list
}

// adopt makes this process wait for every child, its own and those orphans that the kernel hands to
// it. PID 1 does so without being asked; another process must first have become a subreaper
// (PR_SET_CHILD_SUBREAPER). From then on nothing in the process may use os/exec.
func adopt() {
	reap.mu.Lock()
	reap.any = true
	reap.mu.Unlock()
	reap.watch()
	reap.pass()
}
