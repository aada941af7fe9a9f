package limit

import (
	"context"
	"errors"
	"testing"
	"time"

	"imgbuild/init/base/guard"
)

func TestGet(t *testing.T) {
	broken := errors.New("broken")
	for _, want := range []error{nil, broken} {
		got, err := Get(context.Background(), func() (int, error) { return 7, want })
		if got != 7 || !errors.Is(err, want) {
			t.Errorf("got %d %v, want 7 %v", got, err, want)
		}
	}
}

// What does not come to an end is left behind as soon as the context ends.
func TestGivesUp(t *testing.T) {
	stuck := make(chan struct{})
	defer close(stuck)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Do(ctx, func() error { <-stuck; return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if err := Within(time.Nanosecond, func() error { <-stuck; return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
}

// A panic goes to the handler, and nobody waits for a function that will never return.
func TestPanic(t *testing.T) {
	got := make(chan any, 1)
	guard.Handle(func(value any, stack []byte) { got <- value })
	if err := Do(context.Background(), func() error { panic("no") }); !errors.Is(err, ErrPanic) {
		t.Errorf("got %v, want %v", err, ErrPanic)
	}
	if value := <-got; value != "no" {
		t.Errorf("the handler got %v, want no", value)
	}
}
