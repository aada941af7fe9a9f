package vm

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"sync"

	"imgbuild/init/contract/terminal"
)

// Quiet is a console of which only the node's own lines are shown: what it does, and what went
// wrong. ready is called each time a node reports that it is up, after that line.
type Quiet struct {
	mu    sync.Mutex
	w     io.Writer
	head  string
	ready func()
	line  []byte
}

// NewQuiet returns a Quiet that writes to w, each line after head.
func NewQuiet(w io.Writer, head string, ready func()) *Quiet {
	return &Quiet{w: w, head: head, ready: ready}
}

// own matches a line of the node, which the kernel's log may put a time before.
var own = regexp.MustCompile(`^(?:\[ *[0-9.]+\] )?(shelf: .*)$`)

// banner matches the line that ends a boot and comes again when what it shows has changed
// (init/boot/banner).
var banner = regexp.MustCompile(`^shelf: \S+ is up[;,] `)

// longest bounds a line, in bytes; more of it is left out.
const longest = 4096

// Write takes all of p.
func (q *Quiet) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range p {
		if b != '\n' {
			if len(q.line) < longest {
				q.line = append(q.line, b)
			}
			continue
		}
		text := string(bytes.TrimRight(q.line, "\r"))
		q.line = q.line[:0]
		m := own.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		if _, err := fmt.Fprintln(q.w, terminal.Line(q.head+m[1])); err != nil {
			return 0, err
		}
		if banner.MatchString(m[1]) && q.ready != nil {
			q.ready()
		}
	}
	return len(p), nil
}
