package clock

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// reads returns errors in turn.
type reads []error

func (r *reads) Read([]byte) (int, error) {
	err := (*r)[0]
	*r = (*r)[1:]
	return 0, err
}

// Each step of the clock is reported, none is lost while nobody listens, and the end of the timer
// ends it.
func TestFollow(t *testing.T) {
	c, armed := make(chan struct{}, 1), 0
	r := reads{unix.ECANCELED, unix.ECANCELED, io.EOF}
	follow(&r, func() error { armed++; return nil }, c)
	if armed != 2 || len(c) != 1 {
		t.Errorf("armed %d times with %d reports, want 2 and 1", armed, len(c))
	}
}

// The kernel takes the timer.
func TestSteps(t *testing.T) {
	c, err := Steps()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-c:
		t.Error("a step of a clock that nobody set")
	default:
	}
}
