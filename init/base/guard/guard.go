// Package guard starts the goroutines of PID 1. A panic that nobody recovers ends a Go program, and
// the end of PID 1 is a panic of the kernel: services would be cut off in mid-sentence and the disk
// with them. So every goroutine below init/ is started here (a test of this package looks for those
// that are not), and a panic in one of them goes to a handler that notes it, syncs and reboots in
// order.
//
// Failures that cannot be caught this way, goroutines of libraries and errors of the runtime itself
// such as two writers of one map, end PID 1 all the same; package boot arranges that the words of
// the dying runtime reach the disk.
package guard

import (
	"runtime/debug"
	"sync/atomic"
)

// Handler is called with a panic: its value and the stack of the goroutine. It need not return.
type Handler func(value any, stack []byte)

var handler atomic.Pointer[Handler]

// Handle sets what happens after a panic. Without a handler a panic goes on as if there were no
// guard, which is right in tests and in the command shelf.
func Handle(h Handler) { handler.Store(&h) }

// Go runs f in a goroutine of its own.
func Go(f func()) {
	go func() {
		defer Catch()
		f()
	}()
}

// Catch is for functions that something else runs in a goroutine, such as those given to
// time.AfterFunc: they begin with defer guard.Catch().
func Catch() {
	v := recover()
	if v == nil {
		return
	}
	h := handler.Load()
	if h == nil {
		panic(v)
	}
	(*h)(v, debug.Stack())
}
