// Package order is the orders to PID 1, and the queue from which it takes them.
package order

import (
	"os"
	"os/signal"
	"syscall"

	"imgbuild/init/base/guard"

	"golang.org/x/sys/unix"
)

// The verbs.
const (
	Reboot   = "reboot"
	Poweroff = "poweroff"
	Reload   = "reload" // the configuration; the only one after which the node runs on
)

// Order is one verb and why.
type Order struct {
	Verb, Reason string
	Fault        bool // the system itself is at fault, which ends a trial of it
}

// Queue holds orders until PID 1 takes them. All methods may be called from any goroutine.
type Queue struct{ c chan Order }

// NewQueue makes an empty queue.
func NewQueue() Queue { return Queue{make(chan Order, 4)} }

// Give passes on an order without waiting; those that come while the node is ending are lost.
func (q Queue) Give(o Order) {
	select {
	case q.c <- o:
	default:
	}
}

// Next is where orders come out.
func (q Queue) Next() <-chan Order { return q.c }

// Listen turns Ctrl-Alt-Del and the signals that other inits take into orders.
func (q Queue) Listen() {
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) // the kernel then sends SIGINT instead of rebooting immediately
	got := make(chan os.Signal, 4)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPWR)
	// A closed pipe or terminal must not end PID 1.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	guard.Go(func() {
		for s := range got {
			q.Give(of(s))
		}
	})
}

// of is what a signal means.
func of(s os.Signal) Order {
	switch s {
	case syscall.SIGINT:
		return Order{Verb: Reboot, Reason: "ctrl-alt-del"}
	case syscall.SIGTERM:
		return Order{Verb: Reboot, Reason: "signal"}
	}
	return Order{Verb: Poweroff, Reason: "signal"}
}
