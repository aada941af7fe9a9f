package supervise

import (
	"syscall"
	"time"

	"imgbuild/init/base/cgroup"
)

const (
	// killGrace is how long a killed process may take to disappear. One that sleeps in the kernel,
	// on a dead disk or a dead NFS server, may take for ever, and must not hold up a shutdown.
	killGrace = 10 * time.Second
	// restEvery is how often one looks whether what was left behind has ended.
	restEvery = 20 * time.Millisecond
)

// end asks the command to end. If it does and leaves others behind, they are asked as well: a shell
// around a database ends immediately, and the database has to get its turn. A process that does not
// end in time is killed, here or by the caller's killRest.
func (s *Supervisor) end(r *runner, u Unit, p *process, group *cgroup.Group, hurry <-chan struct{}) {
	timeout := time.NewTimer(u.StopTimeout)
	defer timeout.Stop()
	p.signal(u.StopSignal)
	p.signal(syscall.SIGCONT) // what is stopped could not end
	select {
	case <-p.done:
		if !u.KeepOthers {
			s.endRest(r, u, p, group, timeout.C, hurry)
		}
		return
	case <-timeout.C:
		r.log.Printf("%s did not end within %s of %s and is killed", u.Name, u.StopTimeout, signalName(u.StopSignal))
	case <-hurry:
	}
	p.signal(syscall.SIGKILL)
	if !u.KeepOthers {
		killRest(p, group)
	}
	p.within(killGrace)
}

// endRest asks what the command has left behind to end, and waits for it.
func (s *Supervisor) endRest(r *runner, u Unit, p *process, group *cgroup.Group, timeout <-chan time.Time, hurry <-chan struct{}) {
	if !restLives(p, group) {
		return
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGCONT} {
		if group == nil {
			p.killGroup(sig)
		} else {
			_, _ = group.Signal(sig)
		}
	}
	look := time.NewTicker(restEvery)
	defer look.Stop()
	for restLives(p, group) {
		select {
		case <-look.C:
		case <-timeout:
			r.log.Printf("what %s left behind did not end within %s and is killed", u.Name, u.StopTimeout)
			return
		case <-hurry:
			return
		}
	}
}

// restLives reports whether something lives of what the command has started.
func restLives(p *process, group *cgroup.Group) bool {
	if group == nil {
		return syscall.Kill(-p.pid, 0) == nil
	}
	return group.Populated()
}

// killRest kills what the command started and left behind.
func killRest(p *process, group *cgroup.Group) {
	if group == nil {
		p.killGroup(syscall.SIGKILL)
		return
	}
	if !group.Populated() {
		return
	}
	_ = group.Kill()
	for began := time.Now(); group.Populated() && time.Since(began) < killGrace; {
		time.Sleep(10 * time.Millisecond)
	}
}
