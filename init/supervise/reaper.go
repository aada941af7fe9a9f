package supervise

import (
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"imgbuild/init/base/guard"
)

// The kernel keeps one list of a process's dead children, and a process that waits for "any child",
// as PID 1 must for the orphans of the whole machine, also takes those that someone else waits for
// by number. So there is exactly one waiter in this program, and everybody who starts a process
// starts it through here: units, Run, nothing else. os/exec is not used below init/, because its
// Wait would find its child taken.

// reaper starts processes and collects their ends.
type reaper struct {
	mu       sync.Mutex         // held over a fork with its registration, and over each pass of waiting
	children map[int]func(Exit) // those started here that have not ended
	any      bool               // wait for every child, not only for those started here
	waiting  sync.Once
	orphans  atomic.Int64 // processes reaped that were not started here
}

// reap is the one reaper of this process.
var reap reaper

// passLimit bounds one pass, so that a storm of dying orphans cannot keep a start from its turn.
const passLimit = 256

// watch starts the goroutine that waits, once.
func (r *reaper) watch() {
	r.waiting.Do(func() {
		if os.Getpid() == 1 {
			r.mu.Lock()
			r.any = true
			r.mu.Unlock()
		}
		// One slot is enough: a signal that arrives while one is pending concerns the same pass.
		dead := make(chan os.Signal, 1)
		signal.Notify(dead, syscall.SIGCHLD)
		guard.Go(func() {
			for range dead {
				r.pass()
			}
		})
	})
}

// start runs fork, which starts one process, and arranges for ended to be called once with its end.
// No pass can run between the two, so that even a process that ends immediately is known when it is
// reaped.
func (r *reaper) start(fork func() (*os.Process, error), ended func(Exit)) (*os.Process, error) {
	r.watch()
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := fork()
	if err != nil {
		return nil, err
	}
	if r.children == nil {
		r.children = map[int]func(Exit){}
	}
	r.children[p.Pid] = ended
	return p, nil
}

// pass collects everything that has ended.
func (r *reaper) pass() {
	for r.some() {
	}
}

// some collects at most passLimit ends and reports whether there may be more.
func (r *reaper) some() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.any {
		for pid := range r.children {
			r.wait(pid)
		}
		return false
	}
	for range passLimit {
		if !r.wait(-1) {
			return false
		}
	}
	return true
}

// wait collects one end, of pid or of any child, and reports whether there was one.
func (r *reaper) wait(pid int) bool {
	var status syscall.WaitStatus
	var use syscall.Rusage
	var err error
	for {
		if pid, err = syscall.Wait4(pid, &status, syscall.WNOHANG, &use); err != syscall.EINTR {
			break
		}
	}
	if err != nil || pid <= 0 {
		return false
	}
	ended, ok := r.children[pid]
	if !ok {
		r.orphans.Add(1)
		return true
	}
	delete(r.children, pid)
	ended(Exit{
		Status: status,
		CPU:    time.Duration(use.Utime.Nano() + use.Stime.Nano()),
		MaxRSS: int64(use.Maxrss) << 10,
	})
	return true
}
