// Package configtrial tries a configuration on a running node.
//
// A configuration on trial is held only in memory: a reboot or a power cut takes it
// back by itself. It takes the place of the imported main file, and is written there once somebody
// has logged in over ssh after the change and confirmed it.
package configtrial

import (
	"cmp"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
	"imgbuild/init/status/control"
)

// Hooks are what a trial needs of its node.
type Hooks struct {
	Do     func(func()) // runs a function where the configuration is applied, and returns when it was taken
	Reload func()       // applies the configuration; only called in Do
	Node   func() Node
	Say    func(format string, args ...any)
}

// Trial is the configuration on trial, if any. The zero value has none and takes none. All methods
// may be called from any goroutine.
type Trial struct {
	Hooks
	proc  string // /proc if empty
	mu    sync.Mutex
	main  []byte // the text; nil when there is none
	seq   uint64 // the number of the trial
	since uint64 // ticks since the kernel started when it had been applied; 0 until then
	end   *time.Timer
}

// current returns the number of the trial; on is false when there is none.
func (t *Trial) current() (seq uint64, on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seq, t.main != nil
}

// Text returns the text on trial, nil for none.
func (t *Trial) Text() []byte { t.mu.Lock(); defer t.mu.Unlock(); return t.main }

// How long a trial may take, in seconds.
const (
	tryDefault = 120
	tryLeast   = 10
	tryMost    = 3600
)

// answerFirst is the head start of an answer before the network that carries it may change.
const answerFirst = 300 * time.Millisecond

// Answer serves the config verbs: check and apply with Args text and try, confirm, revert.
func (t *Trial) Answer(r control.Request) (any, error) {
	switch r.Verb {
	case "config-confirm":
		return nil, t.confirm(r.Peer, r.Args["trial"])
	case "config-revert":
		seq, on := t.current()
		if !on {
			return nil, fault.New(fault.Usage, "", "no configuration is on trial")
		}
		guard.Go(func() { t.Do(func() { t.takeBack(seq, "somebody asked for it") }) })
		return nil, nil
	}
	try := tryDefault
	if s := r.Args["try"]; s == "no" {
		try = 0
	} else if s != "" {
		var err error
		if try, err = strconv.Atoi(s); err != nil || try < tryLeast || try > tryMost {
			return nil, fault.New(fault.Usage, "give seconds, such as try=120, or try=no", "try=%s is not a number from %d to %d", s, tryLeast, tryMost)
		}
	}
	keep, plan, err := t.Node().Examine([]byte(r.Args["text"]))
	if err != nil || r.Verb == "config-check" {
		return plan, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.main != nil {
		return nil, fault.New(fault.Usage, "run shelf config confirm in a new login, or shelf config revert", "another configuration is on trial")
	}
	plan.Try = try
	if try == 0 {
		if err := t.Node().Keep(keep); err != nil {
			return nil, err
		}
		guard.Go(func() { time.Sleep(answerFirst); t.Do(t.Reload) })
		return plan, nil
	}
	t.seq++
	t.main, t.since = keep, 0
	seq := t.seq
	plan.Trial = seq
	guard.Go(func() {
		time.Sleep(answerFirst)
		t.Do(func() { t.begin(seq, time.Duration(try)*time.Second) })
	})
	return plan, nil
}

// begin applies the configuration of trial seq. It runs in run.
func (t *Trial) begin(seq uint64, limit time.Duration) {
	if now, on := t.current(); !on || now != seq {
		return // it was taken back before it began
	}
	t.Say("a configuration is tried for %v", limit)
	t.Reload()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.main == nil || t.seq != seq {
		return
	}
	t.since = ticks()
	t.end = time.AfterFunc(limit, func() {
		defer guard.Catch()
		t.Do(func() { t.takeBack(seq, "nobody logged in again within "+limit.String()) })
	})
}

// takeBack returns from trial seq to the configuration before. It runs in run.
func (t *Trial) takeBack(seq uint64, why string) {
	t.mu.Lock()
	on := t.main != nil && t.seq == seq
	if !on {
		t.mu.Unlock()
		return // it was confirmed at the last moment
	}
	if t.end != nil {
		t.end.Stop()
	}
	t.main, t.end = nil, nil
	t.mu.Unlock()
	t.Reload()
	t.Say("the configuration was taken back: %s", why)
}

// confirm keeps the configuration on trial if the caller's ssh connection is younger than the
// trial: it has come through the network as it is now. number is that of the trial, "" for whatever
// is on trial.
func (t *Trial) confirm(pid int, number string) error {
	began, ok := session(cmp.Or(t.proc, "/proc"), pid)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.main == nil:
		return fault.New(fault.Usage, "", "no configuration is on trial; it may have been taken back")
	case number != "" && number != strconv.FormatUint(t.seq, 10):
		return fault.New(fault.Usage, "", "another configuration is on trial; the one with the number %s was taken back", number)
	case t.since == 0:
		return fault.New(fault.Unhealthy, "try again in a moment", "the configuration is still being applied")
	case !ok:
		return fault.New(fault.Usage, "log in over ssh and run it there", "only a session over the network can confirm")
	case began <= t.since:
		return fault.New(fault.Unhealthy, "log in once more, and run it there", "this login is older than the change, so it proves nothing about the network")
	}
	if err := t.Node().Keep(t.main); err != nil {
		return err
	}
	t.end.Stop()
	t.main, t.end = nil, nil
	t.Say("the configuration on trial is confirmed")
	return nil
}

// ticks is the time since the kernel started as /proc counts it, 100 a second on every
// architecture.
func ticks() uint64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 1
	}
	return uint64(t.Nano() / int64(10*time.Millisecond))
}
