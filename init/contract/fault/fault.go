// Package fault is the error type that people see: what went wrong, with what, and how to fix it.
//
// Both programs, imgbuild on the laptop and shelf on the node, exit with the code of the error's
// kind, so that scripts can distinguish a typing mistake from a dead network. An error that carries
// no kind is a bug of ours and exits with 1.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// Kind is the kind of an error: each is one exit code.
type Kind int

// The exit codes of imgbuild and shelf.
const (
	Internal    Kind = 1   // a defect in the program itself
	Usage       Kind = 2   // unknown verb, key, board, role or value; a pair that is not supported
	Input       Kind = 3   // a file or a configuration that cannot be used
	Network     Kind = 4   // a host that cannot be reached or does not answer
	Verify      Kind = 5   // a signature or a checksum that does not match
	Device      Kind = 6   // a device or a disk: I/O errors, full, too small
	Unhealthy   Kind = 7   // the node is unhealthy or rolled back
	Interrupted Kind = 130 // the user stopped it
)

// Error is an error with a kind and a way out.
type Error struct {
	Kind Kind
	What string // what went wrong and with what, without a full stop
	Fix  string // how to fix it, an imperative sentence without a full stop; may be empty
	Err  error  // the cause; may be nil
}

// Error returns the whole story on one line: what, the cause, the fix.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.What)
	if e.Err != nil && e.Err.Error() != "" {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	if e.Fix != "" {
		b.WriteString("; ")
		b.WriteString(e.Fix)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of kind k. what is a format with args, and %w is honoured; fix is plain text
// and may be empty.
func New(k Kind, fix, what string, args ...any) error {
	err := fmt.Errorf(what, args...)
	return &Error{Kind: k, What: err.Error(), Fix: fix, Err: silent(errors.Unwrap(err))}
}

// quiet keeps a cause reachable for errors.Is without printing it twice.
type quiet struct{ error }

func (quiet) Error() string   { return "" }
func (q quiet) Unwrap() error { return q.error }

func silent(err error) error {
	if err == nil {
		return nil
	}
	return quiet{err}
}

// Wrap gives err kind k unless it has a kind already; nil stays nil. The rest is as for New, but
// what may be empty.
func Wrap(err error, k Kind, fix, what string, args ...any) error {
	if err == nil {
		return nil
	}
	what = fmt.Sprintf(what, args...)
	var has *Error
	if errors.As(err, &has) {
		if what == "" {
			return err
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	if what == "" {
		return &Error{Kind: k, What: err.Error(), Fix: fix, Err: silent(err)}
	}
	return &Error{Kind: k, What: what, Fix: fix, Err: err}
}

// Parts takes the text of an error apart: what went wrong, and how to fix it, which is empty where
// the text does not end with it.
func Parts(err error) (what, fix string) {
	what = err.Error()
	for e := err; e != nil; {
		var has *Error
		if !errors.As(e, &has) {
			break
		}
		if rest, ok := strings.CutSuffix(what, "; "+has.Fix); ok && has.Fix != "" {
			return rest, has.Fix
		}
		e = has.Err
	}
	return what, ""
}

// Code is the exit code of err: 0 for nil, the kind's where there is one, else the cause's (an
// interrupt, a full disk), else 1.
func Code(err error) int {
	var e *Error
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return int(Interrupted)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS):
		return int(Device)
	case errors.As(err, &e):
		return int(e.Kind)
	}
	return int(Internal)
}
