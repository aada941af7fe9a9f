package configtrial

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/settings/sources"
	"imgbuild/init/status/control"
)

const text = "hostname: other\nssh_authorized_keys: ['github:someone']\n"

// node is a trial whose main loop is a goroutine of the test.
type node struct {
	*Trial
	reloads []string // the text on trial at each reload
	store   string
}

func made(t *testing.T) *node {
	n := &node{Trial: &Trial{proc: t.TempDir()}, store: t.TempDir()}
	do := make(chan func())
	go func() {
		for f := range do {
			f()
		}
	}()
	t.Cleanup(func() { close(do) })
	n.Hooks = Hooks{
		Do:     func(f func()) { do <- f },
		Reload: func() { n.reloads = append(n.reloads, string(n.Text())) },
		Say:    func(string, ...any) {},
		Node: func() Node {
			return Node{Hostname: "node", Role: "worker", Facts: config.Facts{Roles: []string{"worker"}}, Importer: sources.Importer{Boot: t.TempDir(), Store: n.store}, Say: func(string, ...any) {}}
		},
	}
	return n
}

// login makes a process below an ssh connection that began at some time, in ticks since the kernel
// started.
func (n *node) login(t *testing.T, pid int, began uint64) {
	t.Helper()
	dir := filepath.Join(n.proc, fmt.Sprint(pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stat := fmt.Sprintf("%d (sshd-session) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 %d 9 9 9\n", pid, began)
	if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (n *node) ask(verb string, peer int, args ...string) error {
	r := control.Request{Verb: verb, Peer: peer, Args: map[string]string{}}
	for i := 0; i < len(args); i += 2 {
		r.Args[args[i]] = args[i+1]
	}
	_, err := n.Answer(r)
	return err
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// Nobody logs in after the change: it is taken back by itself.
func TestTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := made(t)
		if err := n.ask("config-apply", 7, "text", text, "try", "60"); err != nil {
			t.Fatal(err)
		}
		refused(t, n.ask("config-apply", 7, "text", text), "another configuration is on trial")
		refused(t, n.ask("config-confirm", 7), "still being applied")
		time.Sleep(time.Second)
		synctest.Wait()
		if len(n.reloads) != 1 || !strings.Contains(n.reloads[0], "other") {
			t.Fatalf("applied: %q", n.reloads)
		}
		refused(t, n.ask("config-confirm", 8), "only a session over the network")
		n.login(t, 9, 1)
		refused(t, n.ask("config-confirm", 9), "older than the change")
		refused(t, n.ask("config-confirm", 9, "trial", "7"), "the number 7 was taken back")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(n.reloads) != 2 || n.reloads[1] != "" || n.Text() != nil {
			t.Errorf("taken back: %q", n.reloads)
		}
		refused(t, n.ask("config-confirm", 9), "it may have been taken back")
		refused(t, n.ask("config-revert", 9), "no configuration is on trial")
		if _, err := os.Stat(filepath.Join(n.store, "config.yaml")); err == nil {
			t.Error("it was kept")
		}
	})
}

// Somebody logs in after the change, and keeps it.
func TestConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := made(t)
		if err := n.ask("config-apply", 7, "text", text); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		n.login(t, 9, 1<<62)
		if err := n.ask("config-confirm", 9, "trial", "1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(n.reloads) != 1 || n.Text() != nil {
			t.Errorf("got %q", n.reloads)
		}
		kept, err := filepath.Glob(filepath.Join(n.store, "*.yaml"))
		if err != nil || len(kept) != 1 {
			t.Errorf("kept: %q, %v, want length 1", kept, err)
		}
	})
}

// One that is reverted before it was applied is never applied.
func TestReverted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := made(t)
		if err := n.ask("config-apply", 7, "text", text); err != nil {
			t.Fatal(err)
		}
		if err := n.ask("config-revert", 7); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(n.reloads) != 1 || n.reloads[0] != "" {
			t.Errorf("got %q", n.reloads)
		}
		if err := n.ask("config-apply", 7, "text", text, "try", "no"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(n.reloads) != 2 || n.Text() != nil {
			t.Errorf("without a trial: %q", n.reloads)
		}
	})
}

func TestRefused(t *testing.T) {
	n := made(t)
	for _, try := range []string{"9", "3601", "soon", "-1"} {
		refused(t, n.ask("config-apply", 7, "text", text, "try", try), "is not a number from 10 to 3600")
	}
	refused(t, n.ask("config-apply", 7, "text", "hostname: [a\n"), "config.yaml")
	if err := n.ask("config-check", 7, "text", text); err != nil || n.Text() != nil {
		t.Errorf("a check: %v", err)
	}
}

// An empty file takes no settings away, neither on trial nor without: it is a mistake.
func TestEmptyIsRefused(t *testing.T) {
	n := made(t)
	for _, text := range []string{"", "\x00\x00", " \n"} {
		for _, try := range []string{"60", "no"} {
			if got := fault.Code(n.ask("config-apply", 7, "text", text, "try", try)); got != int(fault.Input) {
				t.Errorf("%q try=%s: got code %d, want %d", text, try, got, fault.Input)
			}
		}
	}
	if len(n.reloads) > 0 {
		t.Errorf("got the reloads %q, want none", n.reloads)
	}
}
