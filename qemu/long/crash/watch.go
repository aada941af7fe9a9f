package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"sync"
)

// watch keeps what a program prints, and can be waited on. Its patterns are looked for from a place
// on, so that several can look for the same line.
type watch struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed at each piece, and replaced
}

func newWatch() *watch { return &watch{more: make(chan struct{})} }

// Write takes all of p.
func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	close(w.more)
	w.more = make(chan struct{})
	return len(p), nil
}

// here is the end of what was printed so far.
func (w *watch) here() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Len()
}

func (w *watch) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// wait waits for a pattern from a place on and returns the place after it, or ends with nothing
// found when over is closed.
func (w *watch) wait(ctx context.Context, pattern *regexp.Regexp, from int, over <-chan struct{}) (next int, found bool, err error) {
	for ended := false; ; {
		w.mu.Lock()
		at, more := pattern.FindIndex(w.text.Bytes()[from:]), w.more
		w.mu.Unlock()
		if at != nil {
			return from + at[1], true, nil
		}
		if ended {
			return from, false, nil
		}
		select {
		case <-more:
		case <-over:
			ended = true // what came just before is looked at
		case <-ctx.Done():
			return from, false, fmt.Errorf("waiting for %q: %w", pattern, context.Cause(ctx))
		}
	}
}
