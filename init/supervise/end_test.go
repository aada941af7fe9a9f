package supervise

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/contract/fault"
)

// Processes that a command leaves behind when it is asked to end are asked as well, and get the
// rest of the time: a shell does not hand on the signal that it gets.
func TestStopAsksTheRest(t *testing.T) {
	dir := t.TempDir()
	child := "trap 'sleep 0.2; echo tidied >" + dir + "/end; exit' TERM; touch " + dir + "/up; while :; do sleep 0.02; done"
	s := start(t, Unit{
		Name: "wrapped", Command: sh("(" + child + ") & wait"), Ready: Ready{Kind: File, Path: dir + "/up"}, StopTimeout: time.Hour,
	})
	if err := s.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.StopUnit(within(t), "wrapped"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir+"/end"); got != "tidied\n" {
		t.Errorf("got %q", got)
	}
}

// Processes that it leaves behind and that do not end are killed when the time is over. That time
// is also the program's own to end in, so it is long enough for a busy machine.
func TestStopKillsTheRest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	s := start(t, Unit{
		Name: "wrapped", Command: sh("(trap '' TERM; touch " + file + ".deaf; while :; do sleep 0.02; done) & echo $! >" + file +
			"; while ! test -e " + file + ".deaf; do sleep 0.02; done; touch " + file + ".up; wait"),
		Ready: Ready{Kind: File, Path: file + ".up"}, StopTimeout: 5 * time.Second,
	})
	if err := s.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(read(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StopUnit(within(t), "wrapped"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child is gone", func() bool { return !alive(pid) })
	if log := string(s.Log("wrapped").Tail(0)); !strings.Contains(log, "what wrapped left behind did not end within 5s and is killed") {
		t.Errorf("log:\n%s", log)
	}
}

// A process that somebody has stopped is made to go on, so that it can end as it likes to.
func TestStopOfAStoppedProcess(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Unit{Name: "frozen", Command: sh("trap 'echo tidied >" + dir + "/end; exit' TERM; touch " + dir + "/up; while :; do sleep 0.02; done"),
		Ready: Ready{Kind: File, Path: dir + "/up"}, StopTimeout: time.Hour})
	if err := s.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(state(t, s, "frozen").PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := s.StopUnit(within(t), "frozen"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir+"/end"); got != "tidied\n" {
		t.Errorf("got %q", got)
	}
}

// A unit that is being ended does not become ready by an answer that comes late: others would start
// on top of it.
func TestNoReadinessWhileStopping(t *testing.T) {
	dir := t.TempDir()
	asked, answer, up, end := make(chan struct{}), make(chan struct{}), filepath.Join(dir, "up"), filepath.Join(dir, "end")
	var first sync.Once
	s := start(t, Unit{
		Name: "late", Command: sh("trap '' TERM; touch " + up + "; while ! test -e " + end + "; do sleep 0.02; done"), StopTimeout: time.Hour,
		Ready: Ready{Kind: File, Path: up, Probe: func(context.Context) error {
			first.Do(func() { close(asked) })
			<-answer
			return nil
		}},
	}, Unit{Name: "needy", Command: sh("exec sleep 1000"), Needs: []string{"late"}})
	<-asked
	over := make(chan error, 1)
	go func() { over <- s.StopUnit(within(t), "late") }()
	eventually(t, "it is being ended", func() bool { return state(t, s, "late").Phase == Stopping })
	close(answer)
	if err := os.WriteFile(end, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	if st := state(t, s, "needy"); st.Starts != 0 {
		t.Errorf("who needs it was started: %+v, want Starts 0", st)
	}
}

// never is a process that does not end; its number is beyond what a kernel gives.
func never() *process { return &process{pid: 1 << 23, done: make(chan struct{})} }

// A command that sleeps in the kernel for ever holds up nobody for ever.
func TestRunGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := never().await(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "cannot be killed") {
			t.Errorf("got %v", err)
		}
		if d := time.Since(began); d != time.Minute+cancelGrace+killGrace {
			t.Errorf("took %s, want %v", d, time.Minute+cancelGrace+killGrace)
		}
	})
}

// An answer about readiness that never comes, from a file on a dead server for example, does not
// keep a unit from ending.
func TestPollGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := poll(ctx, func(string) {}, func(context.Context) error { <-hang; return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(began); d != time.Minute+killGrace {
			t.Errorf("took %s, want %v", d, time.Minute+killGrace)
		}
		close(hang)
	})
}

// A unit whose end never comes is reported, and the shutdown goes on without it.
func TestStopGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		s := New(Options{})
		for name, prepare := range map[string]func(context.Context, Say) error{
			"hangs": func(context.Context, Say) error { <-hang; return nil },
			"waits": func(ctx context.Context, _ Say) error { <-ctx.Done(); return ctx.Err() },
		} {
			if err := s.Add(Unit{Name: name, Command: []string{"/nonexistent"}, Prepare: prepare}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := s.Stop(ctx)
		if fault.Code(err) != int(fault.Internal) || !strings.Contains(err.Error(), `service "hangs" does not end`) || strings.Contains(err.Error(), "waits") {
			t.Errorf("got %v", err)
		}
		if d := time.Since(began); d != time.Minute+hangLimit {
			t.Errorf("took %s, want %v", d, time.Minute+hangLimit)
		}
		close(hang)
	})
}

// A minute of running makes the next failure the first one again; a minute of waiting for readiness
// without success does not.
func TestAgain(t *testing.T) {
	u := Unit{Delay: time.Second, MaxDelay: 2 * time.Minute}
	for _, c := range []struct {
		failures int
		ran      time.Duration
		err      error
		pause    time.Duration
		then     int
	}{
		{0, 0, nil, time.Second, 1},
		{3, time.Second, nil, 8 * time.Second, 4},
		{20, time.Second, errors.New("no such file"), 2 * time.Minute, 21},
		{20, stableAfter, nil, time.Second, 1},
		{20, stableAfter, errLate, 2 * time.Minute, 21},
	} {
		if pause, then := u.again(c.failures, c.ran, c.err); pause != c.pause || then != c.then {
			t.Errorf("%+v: got %s, %d", c, pause, then)
		}
	}
}

// A unit whose own need went away keeps no other one from being started again, and goes on itself.
func TestRestartNextToABrokenNeed(t *testing.T) {
	s := start(t, Unit{Name: "sshd", Command: sh("exec sleep 1000")})
	base, needy := Unit{Name: "base", Command: sh("exec sleep 1000")}, Unit{Name: "needy", Command: sh("exec sleep 1000"), Needs: []string{"base"}}
	if errs := s.Sync(t.Context(), []Unit{base, needy}); errs != nil {
		t.Fatal(errs)
	}
	if err := s.Wait(within(t), "sshd", "needy"); err != nil {
		t.Fatal(err)
	}
	if errs := s.Sync(t.Context(), []Unit{needy}); len(errs) != 1 || !strings.Contains(errs[0].Error(), `service "needy" needs "base"`) {
		t.Fatalf("got %v", errs)
	}
	if err := s.RestartUnit(within(t), "sshd"); err != nil {
		t.Errorf("sshd: %v", err)
	}
	if err := s.Wait(within(t), "sshd"); err != nil {
		t.Error(err)
	}
	was := state(t, s, "needy").PID
	if err := s.RestartUnit(within(t), "needy"); err == nil || !strings.Contains(err.Error(), `needs "base"`) {
		t.Errorf("got %v", err)
	}
	if is := state(t, s, "needy").PID; is != was || !alive(is) {
		t.Errorf("it was %d and is %d", was, is)
	}
}

// A process that ends immediately leaves no trace of what its number becomes.
func TestNumberOfABriefProcess(t *testing.T) {
	wrong := make(chan State, 1000)
	s := New(Options{Changed: func(st State) {
		if st.PID < 0 {
			wrong <- st
		}
	}})
	for _, name := range []string{"a", "b", "c"} {
		if err := s.Add(Unit{Name: name, Command: []string{"/bin/true"}, Delay: 1, MaxDelay: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "many starts", func() bool { return state(t, s, "a").Starts > 100 })
	if err := s.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	if len(wrong) > 0 {
		t.Errorf("%+v", <-wrong)
	}
}

// Nobody but the unit's own user and the init can report that it is ready.
func TestNotifySocketIsItsOwn(t *testing.T) {
	args, env := helper(t, "notify")
	s := start(t, Unit{Name: "n", Command: args, Env: env, Ready: Ready{Kind: Notify}})
	if err := s.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(s.o.RunDir, "n.notify"))
	if err != nil || st.Mode().Perm() != 0o600 || st.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid()) {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}
