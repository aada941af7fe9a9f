package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/mount"
	"imgbuild/init/boot/decide"
	"imgbuild/init/contract/fault"

	"golang.org/x/sys/unix"
)

// A panic of this program is noted in three places: the boot record, the report on BOOT and, with the stack, a file on the
// data partition. The next boot finds the file, tells of it and keeps it in logDir.
//
// Panics in our own goroutines end up in panicked (see package guard), which notes, syncs and reboots in order. Of what Go
// does not let a program catch, an error of the runtime or a panic in a goroutine of a library, the runtime's last words go
// through a descriptor of that same file: it is as large as it needs to be and every write to it is synchronous, because
// the kernel panics right afterwards and its cache with it. panic=10 on the kernel's command line then reboots.
const (
	crashFile = stateDir + "/crash"
	crashKept = logDir + "/crash.log"
	crashSize = 16 << 10
	crashHead = 512 // who writes it, padded with line ends
)

// noteLimit is how long noting a panic may take: what it needs may be what is broken.
const noteLimit = 30 * time.Second

// crash is the open crash file; nil as long as there is none.
type crash struct {
	mu sync.Mutex
	f  *os.File
}

// panicked is what guard does with a panic. It does not return.
func (n *Node) panicked(value any, stack []byte) {
	if !n.panicking.CompareAndSwap(false, true) {
		select {} // the first one is already on its way to a reboot
	}
	up := n.up.Load()
	delay := decide.Pause(up, !up && n.cornered())
	n.pre.Watchdog.Limit(delay + 2*noteLimit)
	limited(noteLimit, func() { n.notePanic(value, stack) })
	n.base.Say("rebooting in %.0f s", delay.Seconds())
	time.Sleep(delay)
	limited(noteLimit, func() {
		if n.units != nil {
			ctx, cancel := context.WithTimeout(context.Background(), noteLimit/2)
			defer cancel()
			_ = n.units.Stop(ctx)
		}
		unix.Sync()
	})
	n.now("reboot")
}

// limited runs f, but goes on without it after a time. A panic in f only ends f.
func limited(limit time.Duration, f func()) {
	done := make(chan struct{})
	guard.Go(func() {
		defer close(done)
		f()
	})
	select {
	case <-done:
	case <-time.After(limit):
	}
}

func (n *Node) notePanic(value any, stack []byte) {
	n.crash.write(fmt.Sprintf("panic: %v\n\n%s", value, stack))
	n.note(order{verb: "reboot", reason: "panic", fault: true})
	n.base.For("panic").Problem(fault.New(fault.Internal, "the node reboots by itself; if it comes again, report it with "+crashKept, "the init program failed: %v", value))
	for line := range strings.Lines(string(stack)) {
		n.base.Say("%s", strings.TrimSpace(line))
	}
	n.base.Report.State("The init program failed, and the node reboots.")
	n.saveReport()
	unix.Sync()
}

// crashed tells of the panic that ended the boot before, if one did, and keeps what it left. A system under trial that did
// not even get to note its end in the boot record is given up here.
func (n *Node) crashed() {
	text, err := os.ReadFile(crashFile)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			n.tell.Problem(err)
		}
		return
	}
	who, words := lastWords(text)
	if words == "" {
		return
	}
	told := fault.New(fault.Internal, "if it comes again, report it with "+crashKept, "the init program failed in an earlier boot (%s): %s", who, gist(words))
	n.tell.For("panic").Problem(told) // problems of the step config are dropped when the configuration is read
	n.how = "panic: " + gist(words)
	n.tell.Report.Fact("last boot", "ended with: panic")
	_ = os.MkdirAll(logDir, 0o755)
	_ = os.Rename(crashKept, crashKept+".1")
	n.tell.Problem(mount.Replace(crashKept, []byte(who+"\n\n"+words+"\n"), 0o640, 0, 0))
	if err := os.Remove(crashFile); err == nil {
		_ = mount.SyncDir(filepath.Dir(crashFile))
	}
	blame := decide.Crash{Trial: n.onTrial(), Ours: strings.HasPrefix(who, n.self()), Recorded: n.pre.Cmdline["shelf.last"] == "panic"}
	switch note := blame.Note(); note {
	case decide.Blame:
		n.die("panic", told)
	default:
		n.write(note, "panic")
	}
}

// self names the running system in the crash file.
func (n *Node) self() string {
	return fmt.Sprintf("slot %s, system %s, ", n.pre.Slot, n.pre.Manifest.Version)
}

// crashText is the file of a boot that has not failed: the head, then room.
func crashText(who string) []byte {
	return []byte(who + strings.Repeat("\n", crashSize-len(who)))
}

// lastWords splits what lies in the file; words is empty when the program did not fail.
func lastWords(text []byte) (who, words string) {
	head, rest := text[:min(crashHead, len(text))], text[min(crashHead, len(text)):]
	return strings.TrimSpace(string(head)), strings.Trim(string(rest), "\n\x00")
}

// gist is the line of the last words that says most. The runtime prints the name of an error of its own before it begins to
// copy what it says, so that of those only the stack is there: its first function.
func gist(words string) string {
	first, rest, _ := strings.Cut(words, "\n")
	if !strings.HasPrefix(first, "goroutine ") {
		return first
	}
	function, _, _ := strings.Cut(rest, "\n")
	function, _, _ = strings.Cut(function, "({")
	return "error of the runtime in " + strings.TrimSuffix(function, "(...)")
}

// armCrash lays the crash file out and gives it to the runtime.
func (n *Node) armCrash() error {
	who := fmt.Sprintf("%sprogram %s, booted %s", n.self(), n.Version, time.Now().UTC().Format(time.RFC3339))
	f, err := os.OpenFile(crashFile, os.O_RDWR|os.O_CREATE|syscall.O_DSYNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(crashText(who[:min(len(who), crashHead-1)]), 0)
	if err == nil {
		err = f.Truncate(crashSize)
	}
	if err == nil {
		_, err = f.Seek(crashHead, 0)
	}
	if err == nil {
		err = debug.SetCrashOutput(f, debug.CrashOptions{}) // takes a copy of the descriptor, with the position that both share
	}
	if err != nil {
		f.Close()
		return err
	}
	n.crash.mu.Lock()
	n.crash.f = f
	n.crash.mu.Unlock()
	return nil
}

// write puts text where the runtime would have put it.
func (c *crash) write(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f != nil {
		_, _ = c.f.WriteString(text[:min(len(text), crashSize-crashHead)])
	}
}

// close lets go of the file, so that its file system can be unmounted.
func (c *crash) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f != nil {
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
		c.f.Close()
		c.f = nil
	}
}

// Signals by which a test makes this program fail. They are heard only with shelf.test=panic on the kernel's command line,
// which nothing that imgbuild writes ever has.
const (
	panicSignal = syscall.Signal(40) // a panic in a goroutine
	fatalSignal = syscall.Signal(41) // an error of the runtime, which nothing can catch
)

// failOn fails in the way that a signal asks for.
func failOn(s os.Signal) {
	switch s {
	case panicSignal:
		var node *Node
		node.Version = "not reached"
	case fatalSignal:
		new(sync.Mutex).Unlock()
	}
}
