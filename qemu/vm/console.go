package vm

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// console keeps everything that a guest prints and wakes the goroutines that wait for a piece of
// it. Carriage returns and terminal escapes (such as U-Boot's) are left out, so that patterns see
// plain lines.
type console struct {
	mu     sync.Mutex
	text   []byte
	pos    int           // Expect has seen everything before
	more   chan struct{} // closed and renewed whenever text grows or the guest ends
	ended  bool
	escape int // 0 text, 1 after ESC, 2 inside ESC [
	copyTo io.Writer
}

func newConsole(copyTo io.Writer) *console {
	return &console{more: make(chan struct{}), copyTo: copyTo}
}

// Write takes a piece of the serial line.
func (c *console) Write(p []byte) (int, error) {
	if c.copyTo != nil {
		c.copyTo.Write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range p {
		switch {
		case c.escape == 1 && b == '[':
			c.escape = 2
		case c.escape == 1:
			c.escape = 0
		case c.escape == 2:
			if b >= 0x40 && b <= 0x7e {
				c.escape = 0
			}
		case b == 0x1b:
			c.escape = 1
		case b != '\r' && b != 0:
			c.text = append(c.text, b)
		}
	}
	c.wake()
	return len(p), nil
}

func (c *console) wake() {
	close(c.more)
	c.more = make(chan struct{})
}

// end marks that nothing more will come.
func (c *console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.wake()
}

func (c *console) output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

// fatal are lines after which waiting is pointless: whole ones, for the rest of a line that comes
// in pieces may be what is waited for.
var fatal = regexp.MustCompile(`(?:Kernel panic - not syncing|Internal error: Oops|### ERROR ### Please RESET|Synchronous Abort).*\n`)

// expect waits for the first match of re after the last one; the groups of the match are returned.
// It ends early when the guest ends or prints a fatal line after the last match.
func (c *console) expect(ctx context.Context, re *regexp.Regexp, limit time.Duration) ([]string, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		c.mu.Lock()
		rest := c.text[c.pos:]
		if m := re.FindSubmatchIndex(rest); m != nil {
			groups := make([]string, len(m)/2)
			for i := range groups {
				if m[2*i] >= 0 {
					groups[i] = string(rest[m[2*i]:m[2*i+1]])
				}
			}
			c.pos += m[1]
			c.mu.Unlock()
			return groups, nil
		}
		dead, ended, more := fatal.Find(rest), c.ended, c.more
		tail := lastLines(string(c.text), 60)
		c.mu.Unlock()
		fail := func(why string) ([]string, error) {
			return nil, fmt.Errorf("waiting for %q: %s; the console's last lines:\n%s", re, why, tail)
		}
		switch {
		case dead != nil:
			return fail("the guest prints " + strings.TrimSpace(string(dead)))
		case ended:
			return fail("QEMU ended")
		}
		select {
		case <-more:
		case <-timer.C:
			return fail("nothing in " + limit.String())
		case <-ctx.Done():
			return fail(ctx.Err().Error())
		}
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
