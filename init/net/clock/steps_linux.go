package clock

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"imgbuild/init/base/guard"
)

// Steps sends each time somebody sets the clock: Keeper, a person with date(1), or the machine as
// it wakes up. A schedule by the wall clock has to look again then, because Go's timers do not
// notice. Several steps may become one. The kernel reports it by TFD_TIMER_CANCEL_ON_SET, see
// timerfd_create(2).
func Steps() (<-chan struct{}, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "timerfd")
	if err := armSteps(fd); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	c := make(chan struct{}, 1)
	guard.Go(func() {
		defer f.Close()
		follow(f, func() error { return armSteps(fd) }, c)
	})
	return c, nil
}

// armSteps sets a timer that never ends while the clock is not set.
func armSteps(fd int) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(Farthest().UnixNano())}
	return os.NewSyscallError("timerfd_settime", unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &spec, nil))
}

// follow sends to c for each ECANCELED that a read returns, and ends with the first other error.
func follow(f interface{ Read([]byte) (int, error) }, arm func() error, c chan<- struct{}) {
	var count [8]byte
	for {
		if _, err := f.Read(count[:]); err != nil && !errors.Is(err, unix.ECANCELED) {
			return
		}
		if arm() != nil {
			return
		}
		select {
		case c <- struct{}{}:
		default:
		}
		time.Sleep(10 * time.Millisecond) // a clock that is set all the time
	}
}
