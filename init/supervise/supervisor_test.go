package supervise

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// start makes a supervisor with units, starts it, and stops it when the test ends.
func start(t *testing.T, units ...Unit) *Supervisor {
	t.Helper()
	// A unix socket's path holds 107 bytes, t.TempDir can be longer.
	run, err := os.MkdirTemp("", "svc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	s := New(Options{LogDir: t.TempDir(), RunDir: run})
	for _, u := range units {
		if err := s.Add(u); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Stop(ctx)
	})
	return s
}

func sh(script string) []string { return []string{"/bin/sh", "-c", script} }

// within is a context for what must happen, far longer than it takes.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func state(t *testing.T, s *Supervisor, name string) State {
	t.Helper()
	st, ok := s.State(name)
	if !ok {
		t.Fatalf("no unit %s", name)
	}
	return st
}

// Units start when what they need is ready, and stop in the opposite order.
func TestStartAndStopOrder(t *testing.T) {
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	unit := func(name string, needs ...string) Unit {
		return Unit{
			Name:    name,
			Command: sh("trap 'echo -" + name + " >>" + trace + "; exit 0' TERM; echo +" + name + " >>" + trace + "; touch " + dir + "/" + name + "; while :; do sleep 0.02; done"),
			Needs:   needs,
			Ready:   Ready{Kind: File, Path: filepath.Join(dir, name)},
		}
	}
	last := unit("last")
	last.StopOrder = 10
	s := start(t, unit("c", "b"), unit("b", "a"), last, unit("a"))
	if err := s.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var ups, downs []string
	for _, line := range strings.Fields(string(data)) {
		switch {
		case line == "+last":
		case line[0] == '+':
			ups = append(ups, line)
		default:
			downs = append(downs, line)
		}
	}
	if !reflect.DeepEqual(ups, []string{"+a", "+b", "+c"}) || !reflect.DeepEqual(downs, []string{"-c", "-b", "-a", "-last"}) {
		t.Errorf("up %v, down %v", ups, downs)
	}
	for _, st := range s.Status() {
		if st.Phase != Stopped || st.PID != 0 || st.Failures != 0 {
			t.Errorf("%+v", st)
		}
	}
	if err := s.StartUnit("a"); err != nil || state(t, s, "a").Phase != Stopped {
		t.Errorf("started after Stop: %v", err)
	}
}

func TestNotify(t *testing.T) {
	args, env := helper(t, "notify")
	s := start(t, Unit{Name: "k3s", Command: args, Env: env, Ready: Ready{Kind: Notify}})
	if err := s.Wait(within(t), "k3s"); err != nil {
		t.Fatal(err)
	}
	if st := state(t, s, "k3s"); st.Phase != Up || st.PID == 0 || st.Starts != 1 {
		t.Errorf("%+v", st)
	}
	if err := s.StopUnit(within(t), "k3s"); err != nil {
		t.Fatal(err)
	}
	// Status 1 after the SIGTERM that we sent is not a failure.
	if st := state(t, s, "k3s"); st.Phase != Stopped || st.Failures != 0 || st.LastExit != "exit status 1" {
		t.Errorf("%+v", st)
	}
	eventually(t, "its last words are in the log", func() bool { return strings.Contains(string(s.Log("k3s").Tail(0)), " bye\n") })
	// And it can be started again.
	if err := s.StartUnit("k3s"); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(within(t), "k3s"); err != nil {
		t.Fatal(err)
	}
	if st := state(t, s, "k3s"); st.Starts != 2 {
		t.Errorf("%+v, want Starts 2", st)
	}
}

func TestReadyByTCPAndProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	args, env := helper(t, "listen", "ADDRESS="+address)
	var mu sync.Mutex
	healthy, asked := false, 0
	s := start(t, Unit{Name: "web", Command: args, Env: env, Ready: Ready{Kind: TCP, Address: address, Probe: func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if asked++; healthy {
			return nil
		}
		return errors.New("etcd failed: reason withheld")
	}}})
	eventually(t, "the probe's complaint is shown", func() bool {
		return state(t, s, "web").String() == "web: starting: not ready: etcd failed: reason withheld"
	})
	if state(t, s, "web").Ready {
		t.Error("ready although the probe fails")
	}
	mu.Lock()
	healthy = true
	mu.Unlock()
	if err := s.Wait(within(t), "web"); err != nil {
		t.Fatal(err)
	}
}

func TestReadyByCommand(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	s := start(t, Unit{Name: "x", Command: sh("sleep 1000"), Ready: Ready{Kind: Succeeds, Command: []string{"/bin/sh", "-c", "test -e " + mark}}})
	eventually(t, "it was asked", func() bool { return strings.HasPrefix(state(t, s, "x").Detail, "not ready: sh: exit status 1") })
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
}

// A unit that is never ready is killed at its timeout and tried again.
func TestReadyTimeout(t *testing.T) {
	s := start(t, Unit{
		Name: "deaf", Command: sh("sleep 1000"), Delay: time.Millisecond,
		Ready: Ready{Kind: File, Path: filepath.Join(t.TempDir(), "never"), Timeout: 50 * time.Millisecond},
	})
	eventually(t, "two failures", func() bool { return state(t, s, "deaf").Failures >= 2 })
	if log := string(s.Log("deaf").Tail(0)); !strings.Contains(log, "not ready within 50ms") {
		t.Errorf("log:\n%s", log)
	}
}

func TestCrashLoop(t *testing.T) {
	s := start(t, Unit{Name: "crash", Command: sh("echo try; exit 7"), Delay: time.Millisecond, MaxDelay: 4 * time.Millisecond},
		Unit{Name: "missing", Command: []string{"/nonexistent"}, Delay: time.Millisecond, MaxDelay: 4 * time.Millisecond},
		Unit{Name: "needy", Command: sh("sleep 1000"), Needs: []string{"never"}},
		Unit{Name: "never", Command: sh("sleep 1000"), Ready: Ready{Kind: File, Path: "/nonexistent/x"}})
	eventually(t, "five crashes of each", func() bool {
		return state(t, s, "crash").Failures >= 5 && state(t, s, "missing").Failures >= 5
	})
	if st := state(t, s, "crash"); st.LastExit != "exit status 7" || st.Starts < 5 {
		t.Errorf("%+v", st)
	}
	if st := state(t, s, "missing"); st.Starts != 0 || !strings.Contains(st.Detail, "no such file") && st.Phase == Failed {
		t.Errorf("%+v", st)
	}
	if got, want := state(t, s, "needy").String(), "needy: waiting: for never"; got != want || state(t, s, "needy").Outside() {
		t.Errorf("got %q, want %q, and not from outside", got, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Wait(ctx, "needy", "never"); err == nil || !strings.Contains(err.Error(), "needy: waiting: for never; never: ") {
		t.Errorf("got %v", err)
	}
}

func TestRestartRules(t *testing.T) {
	dir := t.TempDir()
	second := "test -e " + dir + "/$N && exit 0; touch " + dir + "/$N; exit 5" // fails once, then succeeds
	unit := func(name string, rule Restart, script string) Unit {
		return Unit{Name: name, Command: sh(script), Env: []string{"N=" + name}, Restart: rule, Delay: time.Millisecond}
	}
	s := start(t, unit("once", Once, second), unit("onfailure", OnFailure, second), unit("never", Never, second),
		Unit{Name: "after", Command: sh("sleep 1000"), Needs: []string{"once"}})
	if err := s.Wait(within(t), "once", "after"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all have come to rest", func() bool {
		return state(t, s, "once").Phase == Done && state(t, s, "onfailure").Phase == Done && state(t, s, "never").Phase == Failed
	})
	if a, b, c := state(t, s, "once"), state(t, s, "onfailure"), state(t, s, "never"); a.Starts != 2 || b.Starts != 2 || c.Starts != 1 || b.Ready || !a.Ready {
		t.Errorf("%+v\n%+v\n%+v", a, b, c)
	}
}

// A process that ignores SIGTERM is killed, with what it forked, even where there are no cgroups.
func TestStopKills(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	s := start(t, Unit{
		Name: "stubborn", Command: sh("trap '' TERM; sleep 1000 & echo $! >" + file + ".new; mv " + file + ".new " + file + "; while :; do sleep 0.1; done"),
		Ready: Ready{Kind: File, Path: file}, StopTimeout: 50 * time.Millisecond,
	})
	if err := s.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || !alive(child) {
		t.Fatalf("child %q: %v", data, err)
	}
	if err := s.StopUnit(within(t), "stubborn"); err != nil {
		t.Fatal(err)
	}
	if st := state(t, s, "stubborn"); st.Phase != Stopped || st.LastExit != "killed by SIGKILL" || st.Failures != 0 {
		t.Errorf("%+v", st)
	}
	eventually(t, "the forked child is gone", func() bool { return !alive(child) })
}

// A dead context makes Stop kill immediately instead of waiting for the timeout.
func TestStopInAHurry(t *testing.T) {
	s := start(t, Unit{Name: "slow", Command: sh("trap '' TERM; while :; do sleep 0.1; done"), StopTimeout: time.Hour})
	eventually(t, "it runs", func() bool { return state(t, s, "slow").PID != 0 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if st := state(t, s, "slow"); st.LastExit == "" || st.PID != 0 {
		t.Errorf("%+v", st)
	}
}

// KeepOthers leaves alone what the command forked, as pods must outlive k3s.
func TestKeepOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	s := start(t, Unit{
		Name: "k3s", Command: sh("sleep 1000 & echo $! >" + file + ".new; mv " + file + ".new " + file + "; exec sleep 1000"),
		Ready: Ready{Kind: File, Path: file}, KeepOthers: true,
	})
	if err := s.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(file)
	child, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	if err := s.StopUnit(within(t), "k3s"); err != nil {
		t.Fatal(err)
	}
	if child == 0 || !alive(child) {
		t.Fatalf("child %q did not survive", data)
	}
	_ = syscall.Kill(child, syscall.SIGKILL)
}

// A unit whose setting is missing reports it, and starts when it is there.
func TestWaitingForASetting(t *testing.T) {
	var mu sync.Mutex
	url := ""
	var finished []string
	s := start(t, Unit{
		Name: "k3s", Command: sh("exit 9"), // replaced by Arguments
		Prepare: func(ctx context.Context, say Say) error {
			mu.Lock()
			defer mu.Unlock()
			if url == "" {
				return &Waiting{"server_url is missing: set k3os.server_url in BOOT/config.yaml"}
			}
			return nil
		},
		Arguments: func() ([]string, []string, error) {
			mu.Lock()
			defer mu.Unlock()
			return sh("echo url is $URL; sleep 1000"), []string{"URL=" + url}, nil
		},
		Finish: func(context.Context) error {
			finished = append(finished, "pods")
			return errors.New("two pods were stubborn")
		},
	}, Unit{Name: "needy", Command: sh("sleep 1000"), Needs: []string{"k3s"}})
	eventually(t, "it reports what is missing", func() bool {
		return state(t, s, "k3s").String() == "k3s: waiting: server_url is missing: set k3os.server_url in BOOT/config.yaml"
	})
	if !state(t, s, "k3s").Outside() {
		t.Error("a missing setting comes from outside")
	}
	eventually(t, "so does what another unit waits for with it", func() bool {
		st := state(t, s, "needy")
		return st.Outside() && st.String() == "needy: waiting: for k3s"
	})
	mu.Lock()
	url = "https://m:6443"
	mu.Unlock()
	s.Recheck()
	if err := s.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new setting arrived", func() bool { return strings.Contains(string(s.Log("k3s").Tail(0)), "url is https://m:6443\n") })
	if st := state(t, s, "k3s"); st.Failures != 0 || st.Wait != NoWait {
		t.Errorf("waiting counted as failure: %+v, want Failures 0 and Wait %v", st, NoWait)
	}
	err := s.Stop(within(t))
	if len(finished) != 1 || err == nil || err.Error() != "stopping k3s: two pods were stubborn" {
		t.Errorf("finished %v, %v", finished, err)
	}
}

// Prepare that fails is a failure with its reason; one that hangs is ended by a stop.
func TestPrepareFails(t *testing.T) {
	s := start(t,
		Unit{Name: "fails", Command: sh("exit 9"), Delay: time.Millisecond, Prepare: func(context.Context, Say) error { return errors.New("no space\nleft") }},
		Unit{Name: "hangs", Command: sh("exit 9"), Prepare: func(ctx context.Context, say Say) error {
			say.Progress("fetching 12 %")
			<-ctx.Done()
			return ctx.Err()
		}})
	eventually(t, "the reason is shown", func() bool { return state(t, s, "fails").String() == "fails: failed: no space left" })
	eventually(t, "progress is shown", func() bool { return state(t, s, "hangs").String() == "hangs: waiting: fetching 12 %" })
	if err := s.StopUnit(within(t), "hangs"); err != nil {
		t.Fatal(err)
	}
	if st := state(t, s, "hangs"); st.Phase != Stopped || st.Failures != 0 || st.Starts != 0 {
		t.Errorf("%+v", st)
	}
}

func TestRestartUnit(t *testing.T) {
	s := start(t, Unit{Name: "x", Command: sh("echo one; exec sleep 1000")})
	if err := s.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	first := state(t, s, "x").PID
	ran := func(n int) func() bool {
		return func() bool { return strings.Count(string(s.Log("x").Tail(0)), " one\n") == n }
	}
	eventually(t, "the command runs", ran(1)) // up means started, and no more
	if err := s.RestartUnit(within(t), "x"); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	if st := state(t, s, "x"); st.PID == first || st.Starts != 2 || st.Failures != 0 {
		t.Errorf("%+v", st)
	}
	eventually(t, "the command runs again", ran(2))
	for _, err := range []error{s.StartUnit("y"), s.StopUnit(t.Context(), "y"), s.RestartUnit(t.Context(), "y"), s.Wait(t.Context(), "y")} {
		if err == nil || err.Error() != `there is no service "y"; there are x` {
			t.Errorf("got %v", err)
		}
	}
}

func TestChanged(t *testing.T) {
	var seen []string // guarded by the supervisor: one call at a time
	s := New(Options{Changed: func(st State) { seen = append(seen, string(st.Phase)) }})
	if err := s.Add(Unit{Name: "x", Command: sh("exit 0"), Restart: Once}); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(seen, " "); !strings.HasPrefix(got, "starting ") || !strings.Contains(got, "done") {
		t.Errorf("saw %q", got)
	}
}
