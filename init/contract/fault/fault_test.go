package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
)

func TestCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{New(Usage, "say rpi4", "unknown board %q", "rpi44"), 2},
		{fmt.Errorf("reading: %w", New(Verify, "", "bad sum")), 5},
		{Wrap(io.EOF, Network, "try again", "fetching %s", "x"), 4},
		{Wrap(New(Verify, "", "bad sum"), Network, "", "fetching x"), 5},
		{New(Internal, "", "writing: %w", syscall.ENOSPC), 6},
		{New(Input, "", "stopped: %w", context.Canceled), 130},
	} {
		if got := Code(c.err); got != c.code {
			t.Errorf("Code(%v) = %d, want %d", c.err, got, c.code)
		}
	}
}

func TestMessage(t *testing.T) {
	err := New(Input, "give another file", "reading %s: %w", "a.deb", io.ErrUnexpectedEOF)
	if got, want := err.Error(), "reading a.deb: unexpected EOF; give another file"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	if got, want := Wrap(io.EOF, Network, "try again", "fetching %s", "x").Error(), "fetching x: EOF; try again"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
