package supervise

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// While somebody writes, tail and stream together hold every line once.
func TestTailFollow(t *testing.T) {
	l := NewLog("", "x", DefaultLogLimits)
	const n = 400
	var wg sync.WaitGroup
	begun := make(chan struct{})
	wg.Go(func() {
		for i := range n {
			fmt.Fprintf(l, "line %d\n", i)
			if i == n/2 {
				close(begun)
			}
		}
	})
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tail, lines := l.TailFollow(ctx)
	var got []string
	note := func(text string) {
		_, line, _ := strings.Cut(strings.TrimSpace(text), " ")
		got = append(got, line)
	}
	for line := range strings.Lines(string(tail)) {
		note(line)
	}
	for len(got) < n {
		note(string(<-lines))
	}
	wg.Wait()
	for i, line := range got {
		if line != fmt.Sprintf("line %d", i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	cancel()
	if rest := slices.Collect(func(yield func(string) bool) {
		for line := range lines {
			yield(string(line))
		}
	}); len(rest) > 0 {
		t.Errorf("left over: %q", rest)
	}
}
