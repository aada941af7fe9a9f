package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// asProgram makes the test's own program behave as imgbuild.
const asProgram = "IMGBUILD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// dialogue is imgbuild on a terminal.
type dialogue struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File
	mu   sync.Mutex
	text bytes.Buffer
	read int // of text, by see
	more chan struct{}
	over bool
}

// onTTY starts imgbuild on a terminal, in a directory and with a home of its own.
func onTTY(t *testing.T, dir string, words ...string) *dialogue {
	t.Helper()
	d := &dialogue{t: t, cmd: exec.Command(os.Args[0], words...), more: make(chan struct{}, 1)}
	d.cmd.Dir = dir
	d.cmd.Env = []string{asProgram + "=1", "HOME=" + dir, "PATH=" + os.Getenv("PATH"), "TERM=xterm", "NO_COLOR="}
	tty, err := pty.StartWithSize(d.cmd, &pty.Winsize{Rows: 40, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	d.tty = tty
	t.Cleanup(func() { d.cmd.Process.Kill(); tty.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			d.mu.Lock()
			d.text.Write(buf[:n])
			d.over = err != nil // EIO once the program has ended
			d.mu.Unlock()
			select {
			case d.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	return d
}

// see waits for a text after what was seen before.
func (d *dialogue) see(want string) {
	d.t.Helper()
	limit := time.After(2 * time.Minute)
	for {
		d.mu.Lock()
		rest, over := d.text.String()[d.read:], d.over
		if i := strings.Index(rest, want); i >= 0 {
			d.read += i + len(want)
			d.mu.Unlock()
			return
		}
		d.mu.Unlock()
		if over {
			d.t.Fatalf("the program ended without %q:\n%s", want, rest)
		}
		select {
		case <-d.more:
		case <-limit:
			d.t.Fatalf("got no %q in:\n%s", want, rest)
		}
	}
}

func (d *dialogue) enter(text string) {
	d.t.Helper()
	if _, err := io.WriteString(d.tty, text); err != nil {
		d.t.Fatal(err)
	}
}

// answer waits for a question and types an answer.
func (d *dialogue) answer(question, text string) {
	d.t.Helper()
	d.see(question)
	d.enter(text + "\n")
}

// end waits for the end and returns the exit code.
func (d *dialogue) end() int {
	d.t.Helper()
	err := d.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		d.t.Fatal(err)
	}
	return d.cmd.ProcessState.ExitCode()
}

// home is a directory with one ssh key.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".ssh/id_ed25519.pub"), []byte(typedKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

const typedKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS me@laptop"

// `imgbuild new` asks for board, role, name, server and key, again where an answer is none.
func TestQuestions(t *testing.T) {
	dir := home(t)
	d := onTTY(t, dir, "new", "node.yaml")
	d.see("odroid-xu4")
	d.answer("Board: ", "rpi44")
	d.see("did you mean rpi4?")
	d.answer("Board: ", "rpi4")
	d.see("storage")
	d.answer("Role: ", "worker")
	d.answer("Name of the node (Enter is node1): ", "")
	d.answer("Its server: ", "server1")
	d.see("me@laptop")
	d.answer("Number, or none (Enter is 1): ", "7")
	d.see("Write a number from 1 to 1")
	d.answer("Number, or none (Enter is 1): ", "1")
	d.answer("Token of that server", "a-secret")
	d.see("imgbuild board=rpi4 role=worker config=node.yaml")
	if code := d.end(); code != 0 {
		t.Fatalf("got exit code %d:\n%s", code, d.text.String())
	}
	text, err := os.ReadFile(filepath.Join(dir, "node.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	layer, _ := config.Parse("node.yaml", text)
	c, _ := config.Merge(layer)
	if c.Hostname != "node1" || c.K3OS.ServerURL != "https://server1:6443" || c.K3OS.Token != "a-secret" || len(c.SSHAuthorizedKeys) != 1 || c.SSHAuthorizedKeys[0] != typedKey {
		t.Errorf("got\n%s", text)
	}
}

// Ctrl-C at a question ends it, and nothing is written.
func TestQuestionInterrupted(t *testing.T) {
	dir := home(t)
	d := onTTY(t, dir, "new")
	d.answer("Board: ", "rpi4")
	d.see("Role: ")
	d.enter("\x03")
	d.see("interrupted")
	if code := d.end(); code != int(fault.Interrupted) {
		t.Errorf("got exit code %d, want %d", code, fault.Interrupted)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "[^.]*")); err != nil || left != nil {
		t.Errorf("left are %q, %v", left, err)
	}
}

// A build without a configuration asks which key may log in, before it fetches anything.
func TestBuildAsks(t *testing.T) {
	d := onTTY(t, home(t), "board=rpi4", "role=worker", "mirror=http://127.0.0.1:1/debian", "cache=cache")
	d.see("Which ssh key may log in")
	d.see("SHA256:")
	d.answer("Number, or none (Enter is 1): ", "")
	d.see("what went wrong: ")
	if code := d.end(); code != int(fault.Network) {
		t.Errorf("got exit code %d, want %d:\n%s", code, fault.Network, d.text.String())
	}
}
