package service

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"imgbuild/init/router/timeserver"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
)

// GiveTime answers the shelf's questions for the time until ctx ends, by what PID 1 knows about the
// clock.
func GiveTime(ctx context.Context, say func(format string, a ...any)) {
	for ctx.Err() == nil {
		if err := timeserver.Serve(ctx, timeserver.Port, askClock); ctx.Err() == nil {
			say("%v; another try in a minute", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
		}
	}
}

func askClock() (timeserver.Facts, error) {
	var s struct{ Clock status.Clock }
	var i unix.Sysinfo_t
	if err := unix.Sysinfo(&i); err != nil {
		return timeserver.Facts{}, err
	}
	err := control.Call(control.Socket, control.Request{Verb: "status"}, &s)
	return clockFacts(s.Clock, time.Duration(i.Uptime)*time.Second, timeserver.Battery()), err
}

// clockFacts are what PID 1 reports about the clock. It has a reason why there is no time from the
// first try that fails until one succeeds.
func clockFacts(c status.Clock, up time.Duration, battery bool) timeserver.Facts {
	return timeserver.Facts{
		Up: up, Synced: c.Synced, Source: c.Why == "", Level: uint8(c.Level), Error: time.Duration(c.Error * float64(time.Second)), Asked: c.Asked, Battery: battery,
	}
}
