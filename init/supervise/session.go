package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/base/guard"
)

// session is the life of a unit from the order to start until the order to stop, over any number
// of runs.
func (s *Supervisor) session(ctx context.Context, r *runner, done, hurry chan struct{}) {
	failures := 0 // since the last run that was stable
	var last Phase
	for {
		s.mu.Lock()
		u := r.unit
		s.mu.Unlock()
		if !s.awaitNeeds(ctx, r, u.Needs) {
			break
		}
		exit, ran, err := s.prepareAndRun(ctx, r, u, hurry)
		if ctx.Err() != nil {
			break
		}
		if err == nil && exit.OK() && u.Restart != Always {
			last = Done
			break
		}
		why := exit.String()
		if err != nil {
			why = printable(err.Error(), 2*statusLimit)
		}
		r.log.Printf("%s ended by itself: %s", u.Name, why)
		r.log.Flush()
		var pause time.Duration
		pause, failures = u.again(failures, ran, err)
		s.set(r, func(st *State) {
			st.Phase, st.Ready, st.PID, st.Detail = Failed, false, 0, why
			st.Failures++
		})
		if u.Restart == Never {
			last = Failed
			break
		}
		if !r.sleep(ctx, pause) {
			break
		}
	}
	s.mu.Lock()
	once := r.unit.Restart == Once
	s.mu.Unlock()
	s.set(r, func(st *State) {
		st.PID = 0
		switch last {
		case Done:
			st.Phase, st.Detail, st.Ready = Done, "", once
		case Failed:
		default:
			st.Phase, st.Detail, st.Ready = Stopped, "", false
		}
	})
	r.log.Flush()
	s.mu.Lock()
	r.stop()
	r.stop = nil
	close(done)
	s.mu.Unlock()
}

// errLate is a run that was ended because it did not become ready. However long it took, it was not
// a stable one.
var errLate = errors.New("not ready within")

// again returns the pause before the next run, and what counts as failures in a row then, after a
// run of some length that ended with err, if it did not just end by itself.
func (u Unit) again(failures int, ran time.Duration, err error) (time.Duration, int) {
	if ran >= stableAfter && !errors.Is(err, errLate) {
		failures = 0
	}
	return backoff(u.Delay, u.MaxDelay, failures), failures + 1
}

// backoff is the pause after the nth failure in a row, n from 0.
func backoff(first, longest time.Duration, n int) time.Duration {
	for ; n > 0 && first < longest; n-- {
		first *= 2
	}
	return min(first, longest)
}

// sleep waits; false means that the unit is to stop.
func (r *runner) sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// awaitNeeds waits until every needed unit is ready.
func (s *Supervisor) awaitNeeds(ctx context.Context, r *runner, needs []string) bool {
	for {
		var missing string
		kind := Inside
		s.mu.Lock()
		for _, name := range needs {
			if n := s.units[name]; n == nil || !n.state.Ready {
				missing = name
				if n != nil && n.state.Outside() {
					kind = Outside
				}
				break
			}
		}
		changed := s.changed
		s.mu.Unlock()
		if missing == "" {
			return ctx.Err() == nil
		}
		s.set(r, func(st *State) { st.Phase, st.Wait, st.Detail, st.Ready = Pending, kind, "for "+missing, false })
		// set may itself have replaced the channel that we hold; a closed one only costs another
		// turn.
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// prepareAndRun takes a unit through one run, whose length it gives. The error has the reason why
// there was none, or why it was ended.
func (s *Supervisor) prepareAndRun(ctx context.Context, r *runner, u Unit, hurry <-chan struct{}) (exit Exit, ran time.Duration, err error) {
	say := Say(func(kind Wait, text string) {
		s.set(r, func(st *State) {
			st.Phase, st.Wait, st.Ready, st.Detail = Pending, kind, false, printable(text, 2*statusLimit)
		})
	})
	if u.Prepare != nil {
		say.Progress("preparing")
	}
	for u.Prepare != nil {
		// Nothing is reported before another look: what it waits for is still the truth.
		err := u.Prepare(ctx, say)
		if err == nil {
			break
		}
		var waiting *Waiting
		if !errors.As(err, &waiting) {
			return Exit{}, 0, err
		}
		say.Outside(waiting.What)
		select {
		case <-r.recheck:
		case <-time.After(RecheckEvery):
		case <-ctx.Done():
			return Exit{}, 0, ctx.Err()
		}
		s.mu.Lock()
		u = r.unit // may have been replaced together with the configuration
		s.mu.Unlock()
	}
	if ctx.Err() != nil {
		return Exit{}, 0, ctx.Err()
	}
	if u.Arguments != nil {
		command, env, err := u.Arguments()
		if err != nil {
			return Exit{}, 0, err
		}
		u.Command, u.Env = command, append(u.Env[:len(u.Env):len(u.Env)], env...)
	}
	began := time.Now()
	exit, err = s.run(ctx, r, u, hurry)
	return exit, time.Since(began), err
}

// run runs the command once, from its start until nothing of it is left that should not be.
func (s *Supervisor) run(ctx context.Context, r *runner, u Unit, hurry <-chan struct{}) (Exit, error) {
	spec := Spec{
		Args: u.Command, Env: u.Env, Dir: u.Dir, User: u.User, NoFile: u.NoFile, NProc: u.NProc, OOMScore: u.OOMScore, Terminal: u.Terminal,
	}
	var groups []*cgroup.Group // where its processes may be
	if s.o.Groups != nil {
		group, err := s.o.Groups.Leaf(u.Name, u.Limits)
		if err != nil {
			return Exit{}, err
		}
		spec.Group, groups = group, []*cgroup.Group{group}
		for _, name := range u.Moves {
			if u.Limits != (cgroup.Limits{}) {
				if err := s.o.Groups.Limit(name, u.Limits); err != nil {
					return Exit{}, err
				}
			}
			groups = append(groups, s.o.Groups.Group(name))
		}
	}
	oomKills := killsIn(groups)
	notified := make(chan struct{})
	if u.Ready.Kind == Notify {
		socket, err := s.listen(r, u, notified)
		if err != nil {
			return Exit{}, err
		}
		defer socket.close()
		spec.Env = append(spec.Env[:len(spec.Env):len(spec.Env)], "NOTIFY_SOCKET="+socket.path)
	}
	if u.Ready.Kind == File {
		_ = os.Remove(u.Ready.Path)
	}
	files, err := r.files()
	if err != nil {
		return Exit{}, err
	}
	p, err := startProcess(spec, files)
	files[0].Close()
	if err != nil {
		return Exit{}, err
	}
	once := u.Restart == Once
	s.set(r, func(st *State) { st.Phase, st.PID, st.Detail, st.Starts = Starting, p.pid, "", st.Starts+1 })

	// Readiness is watched next to the process and ends with it.
	watch, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	late := make(chan struct{})
	guard.Go(func() {
		defer close(watched)
		if !once {
			s.watchReady(watch, r, u, spec, notified, late)
		}
	})
	select {
	case <-p.done:
	case <-late:
		r.log.Printf("%s was not ready within %s", u.Name, u.Ready.Timeout)
		s.end(r, u, p, spec.Group, hurry)
	case <-ctx.Done():
		s.set(r, func(st *State) { st.Phase, st.Ready, st.Detail = Stopping, false, "" })
		s.end(r, u, p, spec.Group, hurry)
	}
	cancel()
	<-watched
	if !u.KeepOthers {
		killRest(p, spec.Group)
	}
	r.drain()
	var exit Exit
	select {
	case <-p.done:
		exit = p.exit
	default: // could not be killed
		s.set(r, func(st *State) { st.Ready, st.LastExit = false, "cannot be killed" })
		return exit, errors.New("its process cannot be killed: it hangs in the kernel, on a disk or a network file system")
	}
	if killsIn(groups) > oomKills {
		exit.Starved = true
	}
	s.set(r, func(st *State) { st.Ready, st.PID, st.LastExit, st.MaxRSS = false, 0, exit.String(), exit.MaxRSS })
	select {
	case <-late:
		return exit, fmt.Errorf("%w %s", errLate, u.Ready.Timeout)
	default:
		return exit, nil
	}
}

// killsIn counts the processes that were killed in the groups because memory was short.
func killsIn(groups []*cgroup.Group) (n int64) {
	for _, g := range groups {
		n += g.OOMKills()
	}
	return n
}

// listen opens the unit's notify socket.
func (s *Supervisor) listen(r *runner, u Unit, notified chan struct{}) (*notifySocket, error) {
	_, cred, err := identity(u.User)
	if err != nil {
		return nil, err
	}
	uid := os.Getuid()
	if cred != nil {
		uid = int(cred.Uid)
	}
	socket, err := listenNotify(filepath.Join(s.o.RunDir, u.Name+".notify"), uid)
	if err != nil {
		return nil, err
	}
	guard.Go(func() { socket.serve(s.onNotice(r, notified)) })
	return socket, nil
}

// onNotice acts on a unit's messages about itself.
func (s *Supervisor) onNotice(r *runner, notified chan struct{}) func(notice) {
	return func(n notice) {
		if n.status != "" {
			s.set(r, func(st *State) {
				if st.PID != 0 {
					st.Detail = n.status
				}
			})
		}
		if n.ready {
			select {
			case <-notified:
			default:
				close(notified)
			}
		}
	}
}

// watchReady marks the unit ready when it is, or closes late when its time is over.
func (s *Supervisor) watchReady(ctx context.Context, r *runner, u Unit, spec Spec, notified <-chan struct{}, late chan<- struct{}) {
	wait := ctx
	if u.Ready.Timeout > 0 {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, u.Ready.Timeout)
		defer cancel()
	}
	// A unit that is being ended is not ready, whatever a late answer.
	update := func(change func(*State)) {
		s.set(r, func(st *State) {
			if ctx.Err() == nil {
				change(st)
			}
		})
	}
	err := u.Ready.wait(wait, spec, notified, func(text string) {
		update(func(st *State) { st.Detail = text })
	})
	switch {
	case err == nil:
		update(func(st *State) { st.Phase, st.Ready, st.Detail = Up, true, "" })
	case ctx.Err() == nil:
		close(late)
	}
}

// files returns stdin, stdout and stderr for the next run. The log's pipe stays open from run to
// run, so that what a unit leaves behind can go on writing.
func (r *runner) files() ([3]*os.File, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return [3]*os.File{}, err
	}
	if r.out == nil {
		in, out, err := os.Pipe()
		if err != nil {
			null.Close()
			return [3]*os.File{}, err
		}
		r.in, r.out = in, out
		guard.Go(func() {
			pump(r.log, in)
			in.Close()
		})
	}
	return [3]*os.File{null, r.out, r.out}, nil
}

// drain waits until the log has taken what the command wrote before its end, within limits: others
// may still be writing.
func (r *runner) drain() {
	raw, err := r.in.SyscallConn()
	if err != nil {
		return
	}
	for range 20 {
		left := 0
		if raw.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }) != nil || err != nil || left == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
