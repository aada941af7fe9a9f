// Package limit stops waiting for what may never come to an end, such as a call into a file system
// whose server is gone. Such a call cannot be ended; its goroutine is left behind.
package limit

import (
	"context"
	"errors"
	"time"

	"imgbuild/init/base/guard"
)

// ErrPanic is the error of a function that did not return.
var ErrPanic = errors.New("the function panicked")

// Get returns what f returns, or the error of ctx as soon as that ends. A panic in f goes to
// guard's handler and ends the wait with ErrPanic.
func Get[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	guard.Go(func() {
		o := outcome{err: ErrPanic}
		defer func() { done <- o }()
		o.value, o.err = f()
	})
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// Do is Get for a function that returns nothing but an error.
func Do(ctx context.Context, f func() error) error {
	_, err := Get(ctx, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// Within is Do with a time; after it the error is context.DeadlineExceeded.
func Within(d time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return Do(ctx, f)
}
