package order

import (
	"os"
	"syscall"
	"testing"
)

func TestQueue(t *testing.T) {
	q := NewQueue()
	for range 100 {
		q.Give(Order{Verb: Reload}) // never waits
	}
	n := 0
	for {
		select {
		case o := <-q.Next():
			if n++; o.Verb != Reload {
				t.Errorf("got %+v", o)
			}
			continue
		default:
		}
		break
	}
	if n == 0 {
		t.Error("nothing was kept")
	}
}

func TestSignals(t *testing.T) {
	for s, want := range map[os.Signal]Order{
		syscall.SIGINT: {Verb: Reboot, Reason: "ctrl-alt-del"}, syscall.SIGTERM: {Verb: Reboot, Reason: "signal"},
		syscall.SIGUSR1: {Verb: Poweroff, Reason: "signal"}, syscall.SIGUSR2: {Verb: Poweroff, Reason: "signal"}, syscall.SIGPWR: {Verb: Poweroff, Reason: "signal"},
	} {
		if got := of(s); got != want {
			t.Errorf("%v: got %+v, want %+v", s, got, want)
		}
	}
}
