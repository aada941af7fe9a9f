// Package crash keeps the last words of this program: a file on the data partition that a failing
// boot writes and the next one reads.
//
// Panics in our own goroutines end up in a handler (see package guard), which writes with
// File.Write. Of what Go does not let a program catch, an error of the runtime or a panic in a
// goroutine of a library, the runtime's last words go through a descriptor of that same file: it is
// as large as it needs to be and every write to it is synchronous, because the kernel panics right
// afterwards and its cache with it. panic=10 on the kernel's command line then reboots.
package crash

import (
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
)

// Path is where the file is on a node, and Kept where the words of an earlier failure are kept.
const (
	Path = "/var/lib/shelf/crash"
	Kept = "/var/log/shelf/crash.log"
)

// The file's size, and that of its head, which names the program that writes it and is padded with
// line ends; in bytes.
const (
	size = 16 << 10
	head = 512
)

// File is the open crash file of a boot. The zero value is one that is not armed. All methods may
// be called from any goroutine.
type File struct {
	mu sync.Mutex
	f  *os.File
}

// Arm prepares the file, with the name of this system and boot at its head, and gives it to the
// runtime.
func (c *File) Arm(path, who string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_DSYNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(empty(who), 0)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		_, err = f.Seek(head, 0)
	}
	if err == nil {
		err = debug.SetCrashOutput(f, debug.CrashOptions{}) // takes a copy of the descriptor, with the position that both share
	}
	if err != nil {
		f.Close()
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.f = f
	return nil
}

// Rename changes the name at the head, of a boot whose time is known only now.
func (c *File) Rename(who string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f == nil {
		return nil
	}
	_, err := c.f.WriteAt(empty(who)[:head], 0)
	return err
}

// Write puts text where the runtime would have put it.
func (c *File) Write(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f != nil {
		_, _ = c.f.WriteString(text[:min(len(text), size-head)])
	}
}

// Close lets go of the file, so that its file system can be unmounted.
func (c *File) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f != nil {
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
		c.f.Close()
		c.f = nil
	}
}

// empty is the file of a boot that has not failed.
func empty(who string) []byte {
	who = who[:min(len(who), head-1)]
	return []byte(who + strings.Repeat("\n", size-len(who)))
}
