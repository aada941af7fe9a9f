package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
)

// StartUnit starts one unit unless it is running. Problems with the needs of other units are not
// its concern.
func (s *Supervisor) StartUnit(name string) error {
	s.syncing.Lock() // a unit that Sync has stopped in order to forget it must not begin again
	defer s.syncing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.runner(name)
	if err != nil {
		return err
	}
	if err := needable(s.all(), r.unit); err != nil {
		return err
	}
	s.begin(r)
	return nil
}

// StopUnit stops one unit and waits for its end. When ctx ends first, the unit is killed; if even
// that does not end it within hangLimit, it is left behind, with an error. Units that need it go
// on.
func (s *Supervisor) StopUnit(ctx context.Context, name string) error {
	s.mu.Lock()
	r, err := s.runner(name)
	if err != nil || r.stop == nil {
		s.mu.Unlock()
		return err
	}
	stop, done, hurry := r.stop, r.done, r.hurry
	s.mu.Unlock()
	stop()
	select {
	case <-done:
	case <-ctx.Done():
		s.mu.Lock()
		select {
		case <-hurry:
		default:
			close(hurry)
		}
		s.mu.Unlock()
		return awaitHanging(name, done, hangLimit)
	}
	return nil
}

// hangLimit is the longest that the end of a killed unit may take: see where killGrace is waited
// for.
const hangLimit = 4 * killGrace

// awaitHanging waits for the end of a unit that has no more time.
func awaitHanging(name string, done <-chan struct{}, limit time.Duration) error {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
		return fault.New(fault.Internal, "look for a disk or a network file system that does not answer", "service %q does not end", name)
	}
}

// RestartUnit stops a unit and starts it again. One that could not be started goes on as it is.
func (s *Supervisor) RestartUnit(ctx context.Context, name string) error {
	s.mu.Lock()
	r, err := s.runner(name)
	if err == nil {
		err = needable(s.all(), r.unit)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.StopUnit(ctx, name); err != nil {
		return err
	}
	return s.StartUnit(name)
}

// Stop stops every unit in stop order and runs its Finish; nothing can be started afterwards. When
// ctx ends, what still runs is killed. The error joins the errors of Finish functions.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.over = true
	units := s.all()
	s.mu.Unlock()
	return s.stopAll(ctx, units)
}

// stopAll stops the given units, those that need others before these, and ends their logs.
func (s *Supervisor) stopAll(ctx context.Context, units []Unit) error {
	for i, u := range units { // what is not to be stopped has no place in the order
		units[i].Needs = slices.DeleteFunc(slices.Clone(u.Needs), func(need string) bool { return find(units, need) < 0 })
	}
	rounds, err := stopRounds(units)
	if err != nil { // added after Start and never started: stop all in parallel
		rounds = [][]string{nil}
		for _, u := range units {
			rounds[0] = append(rounds[0], u.Name)
		}
	}
	var errs []error
	for _, round := range rounds {
		var wg sync.WaitGroup
		ends := make([]error, len(round))
		for i, name := range round {
			wg.Go(func() {
				defer guard.Catch()
				ends[i] = s.stopOne(ctx, name)
			})
		}
		wg.Wait()
		errs = append(errs, ends...)
	}
	return errors.Join(errs...)
}

// stopOne stops a unit for good: with its Finish, and without a log that waits for more.
func (s *Supervisor) stopOne(ctx context.Context, name string) (err error) {
	s.mu.Lock()
	r := s.units[name]
	s.mu.Unlock()
	if r == nil { // a Sync took it away
		return nil
	}
	hangs := s.StopUnit(ctx, name)
	s.mu.Lock()
	finish, started := r.unit.Finish, r.state.Starts > 0
	s.mu.Unlock()
	if finish != nil && started {
		if err = finish(ctx); err != nil {
			err = fmt.Errorf("stopping %s: %w", name, err)
		}
	}
	err = errors.Join(hangs, err)
	r.log.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.out != nil && r.stop == nil {
		r.out.Close()
		r.out = nil
	}
	return err
}
