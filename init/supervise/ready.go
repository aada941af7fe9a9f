package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"imgbuild/init/base/guard"
)

// Ready is how to see that a unit does its work.
type Ready struct {
	Kind    ReadyKind
	Address string        // TCP: host:port that accepts a connection
	Path    string        // File: exists; removed before each start, so that an old one does not count
	Command []string      // Command: ends with status 0
	Timeout time.Duration // the unit is killed and counts as failed when it is not ready by then; 0 waits for ever
	// Probe, if set, must succeed as well, after Kind is fulfilled. It is asked again until it
	// does.
	Probe func(ctx context.Context) error
}

// ReadyKind is the first part of readiness.
type ReadyKind uint8

// Running is the weakest: the command could be started.
const (
	Running ReadyKind = iota
	Notify            // READY=1 on NOTIFY_SOCKET
	TCP
	File
	Succeeds // Command
)

const (
	probeEvery   = 250 * time.Millisecond // between tries at first; every try makes the pause a little longer
	probeSlowest = 3 * time.Second
	probeLimit   = 10 * time.Second // of one try
)

func (r Ready) check() error {
	switch {
	case r.Kind > Succeeds:
		return fmt.Errorf("unknown readiness %d", r.Kind)
	case r.Kind == TCP:
		if _, _, err := net.SplitHostPort(r.Address); err != nil {
			return fmt.Errorf("readiness by tcp: %w", err)
		}
	case r.Kind == File && r.Path == "":
		return errors.New("readiness by file names no path")
	case r.Kind == Succeeds && len(r.Command) == 0:
		return errors.New("readiness by command names no command")
	}
	return nil
}

// wait returns nil when the unit is ready, or ctx's error. notified is closed at READY=1. say
// prints what is waited for. A command runs as the unit does, with its user, environment and
// limits.
func (r Ready) wait(ctx context.Context, unit Spec, notified <-chan struct{}, say func(string)) error {
	var err error
	switch r.Kind {
	case Notify:
		select {
		case <-notified:
		case <-ctx.Done():
			return ctx.Err()
		}
	case TCP:
		err = poll(ctx, say, func(ctx context.Context) error {
			var d net.Dialer
			c, err := d.DialContext(ctx, "tcp", r.Address)
			if err == nil {
				c.Close()
			}
			return err
		})
	case File:
		err = poll(ctx, say, func(context.Context) error {
			_, err := os.Stat(r.Path)
			return err
		})
	case Succeeds:
		err = poll(ctx, say, func(ctx context.Context) error {
			c := Command{Spec: unit}
			c.Args, c.Terminal = r.Command, ""
			_, err := Run(ctx, c)
			return err
		})
	}
	if err != nil || r.Probe == nil {
		return err
	}
	return poll(ctx, say, r.Probe)
}

// poll asks until the answer is yes.
func poll(ctx context.Context, say func(string), ask func(context.Context) error) error {
	for pause := probeEvery; ; pause = min(pause*5/4, probeSlowest) {
		err := once(ctx, ask)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		say(printable("not ready: "+err.Error(), statusLimit))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// once asks once. The answer may never come, from a file on a dead network file system for example;
// the unit must be able to end all the same.
func once(ctx context.Context, ask func(context.Context) error) error {
	one, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	answer := make(chan error, 1)
	guard.Go(func() { answer <- ask(one) })
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	// The processes of ask have to be ended first.
	select {
	case err := <-answer:
		return err
	case <-time.After(killGrace):
		return ctx.Err()
	}
}
