// Package report shows people what the node does and what went wrong: on every console at once, in
// a text file that any laptop can read, and by an LED.
package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
	"imgbuild/init/contract/terminal"

	"golang.org/x/sys/unix"
)

// Console writes to every console of the kernel (console= may be given several times: a screen and
// a serial line), and into the kernel's log. A console that does not take bytes is given up for
// that line and never blocks the boot.
type Console struct {
	mu   sync.Mutex
	ttys []int // open descriptors
	kmsg int   // -1 before Open
	hide atomic.Pointer[mask.Scrubber]
}

// Hide keeps secrets off the consoles and out of the kernel's log from now on.
func (c *Console) Hide(s *mask.Scrubber) { c.hide.Store(s) }

// NewConsole returns a console that writes to standard output, all there is before /dev is mounted.
func NewConsole() *Console { return &Console{ttys: []int{1}, kmsg: -1} }

// Open opens all active consoles; sys and dev are /sys and /dev. If none can be opened standard
// output stays.
func (c *Console) Open(sys, dev string) {
	active, _ := os.ReadFile(filepath.Join(sys, "class/tty/console/active"))
	var ttys []int
	for _, name := range strings.Fields(string(active)) {
		fd, err := unix.Open(filepath.Join(dev, name), unix.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			ttys = append(ttys, fd)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(ttys) > 0 {
		c.ttys = ttys
	}
	if fd, err := unix.Open(filepath.Join(dev, "kmsg"), unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
		c.kmsg = fd
	}
}

// Printf writes one line, "shelf: " before it.
func (c *Console) Printf(format string, args ...any) {
	line := "shelf: " + c.text(format, args)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, fd := range c.ttys {
		put(fd, []byte(line+"\r\n"))
	}
	if c.kmsg >= 0 {
		// Level 7 is below what consoles print, so that a line is not shown twice.
		_, _ = unix.Write(c.kmsg, []byte("<7>"+line+"\n"))
	}
}

// text is one line without secrets and without what would control a terminal: services, disks and
// servers wrote some of it.
func (c *Console) text(format string, args []any) string {
	text := c.hide.Load().Prose(strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
	return terminal.Line(strings.ReplaceAll(text, "\n", "; ")) // errors that were joined
}

// Log writes one line into the kernel's log alone, for dmesg: details for diagnosis.
func (c *Console) Log(format string, args ...any) {
	line := c.text(format, args)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kmsg >= 0 {
		_, _ = unix.Write(c.kmsg, []byte("<7>shelf: "+line+"\n"))
	}
}

// Step prints the line that a step ended well.
func (c *Console) Step(name string, took time.Duration) {
	c.Printf("step %s ok %.2fs", name, took.Seconds())
}

// Problem prints a problem under its two headings.
func (c *Console) Problem(p Problem) {
	c.Printf("PROBLEM what went wrong: %s", p.What)
	if p.Fix != "" {
		c.Printf("PROBLEM how to fix it: %s", p.Fix)
	}
}

// put writes all of b, or gives up when the terminal takes nothing for half a second.
func put(fd int, b []byte) {
	for tries := 0; len(b) > 0 && tries < 50; {
		n, err := unix.Write(fd, b)
		if n > 0 {
			b, tries = b[n:], 0
			continue
		}
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			return
		}
		tries++
		time.Sleep(10 * time.Millisecond)
	}
}

// Problem is something that went wrong and what to do about it; both one line.
type Problem struct {
	Step string `json:"step"`
	What string `json:"what"`
	Fix  string `json:"fix,omitempty"`
}

// From makes a problem of an error: its own two headings where it is a fault, else the whole text.
func From(step string, err error) Problem {
	var f *fault.Error
	if !errors.As(err, &f) {
		return Problem{Step: step, What: oneLine(err.Error())}
	}
	what := err.Error()
	if f.Fix != "" {
		what = strings.TrimSuffix(what, "; "+f.Fix)
	}
	return Problem{Step: step, What: oneLine(what), Fix: oneLine(f.Fix)}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
