package supervise

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSync(t *testing.T) {
	unit := func(name, script string, needs ...string) Unit {
		return Unit{Name: name, Command: sh(script), Needs: needs, Delay: time.Millisecond, MaxDelay: 4 * time.Millisecond}
	}
	s := start(t, unit("sshd", "exec sleep 1000"))
	sync := func(want string, units ...Unit) {
		t.Helper()
		var errs []string
		for _, err := range s.Sync(t.Context(), units) {
			errs = append(errs, err.Error())
		}
		if got := strings.Join(errs, "\n"); got != want {
			t.Fatalf("refused:\n%s\nwant:\n%s", got, want)
		}
	}
	up := func(names ...string) {
		t.Helper()
		if err := s.Wait(within(t), names...); err != nil {
			t.Fatal(err)
		}
	}
	kept, changed, gone := unit("kept", "exec sleep 1000"), unit("changed", "exec sleep 1001", "gone"), unit("gone", "exec sleep 1000", "sshd")
	// A unit that needs another may be before it in the list.
	sync("", changed, kept, gone)
	up("sshd", "kept", "changed", "gone")
	before := map[string]State{}
	for _, st := range s.Status() {
		before[st.Name] = st
	}

	changed.Command, changed.Needs = sh("exec sleep 1002"), []string{"kept"}
	sync("", kept, unit("new", "exec sleep 1000", "changed"), changed)
	up("new", "changed")
	for _, name := range []string{"sshd", "kept"} {
		if st := state(t, s, name); st != before[name] {
			t.Errorf("was %+v, is %+v", before[name], st)
		}
	}
	if st := state(t, s, "changed"); st.PID == before["changed"].PID || st.Starts != 2 || st.Failures != 0 {
		t.Errorf("%+v", st)
	}
	if _, ok := s.State("gone"); ok || alive(before["gone"].PID) {
		t.Error("gone is still there")
	}

	// A unit that is refused does not affect running ones, and does not hold up the rest.
	pid := state(t, s, "new").PID
	sync(`service "sshd": the system has a service of that name; give it another name
services need each other in a circle: a -> b -> a; take one of them out of needs
service "b" needs "a", which does not exist or cannot run; take it out of needs or add that service
service "c" needs "b", which does not exist or cannot run; take it out of needs or add that service
service "new" needs "nobody", which does not exist or cannot run; take it out of needs or add that service`,
		unit("sshd", "exit 1"), unit("a", "exit 1", "b"), unit("b", "exit 1", "a"), unit("c", "exit 1", "b"), unit("new", "exit 1", "nobody"), unit("d", "exec sleep 1000"))
	up("d", "new", "sshd")
	if st := state(t, s, "new"); st.PID != pid {
		t.Errorf("%+v, the process was %d", st, pid)
	}
	var names []string
	for _, st := range s.Status() {
		names = append(names, st.Name)
	}
	if got := strings.Join(names, " "); got != "sshd new d" {
		t.Errorf("there are %s", got)
	}

	// One that is down goes away as well, and comes back.
	sync("", unit("crash", "exit 7"))
	eventually(t, "it crashed", func() bool { return state(t, s, "crash").Failures > 1 })
	sync("")
	sync("", unit("crash", "exec sleep 1000"))
	up("crash")
	if err := s.Stop(within(t)); err != nil {
		t.Error(err)
	}
	sync("", unit("late", "exit 1"))
	if _, ok := s.State("late"); ok {
		t.Error("added after the end")
	}
}

// Dependents are stopped before what they need, also when only some of all units go.
func TestSyncStopsInOrder(t *testing.T) {
	trace := t.TempDir() + "/trace"
	unit := func(name string, needs ...string) Unit {
		return Unit{
			Name: name, Needs: needs, Ready: Ready{Kind: File, Path: trace + "." + name},
			Command: sh("trap 'echo " + name + " >>" + trace + "; exit 0' TERM; touch " + trace + "." + name + "; while :; do sleep 0.02; done"),
		}
	}
	s := start(t, unit("base"))
	if errs := s.Sync(t.Context(), []Unit{unit("db", "base"), unit("app", "db", "base"), unit("web", "app")}); errs != nil {
		t.Fatal(errs)
	}
	if err := s.Wait(within(t), "web"); err != nil {
		t.Fatal(err)
	}
	if errs := s.Sync(t.Context(), nil); errs != nil {
		t.Fatal(errs)
	}
	if got := read(t, trace); got != "web\napp\ndb\n" {
		t.Errorf("stopped %q", got)
	}
}

// Many configurations in a row, some while others still run, leave nothing but the last.
func TestSyncOften(t *testing.T) {
	s := start(t)
	done := make(chan struct{})
	for i := range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			for n := range 5 {
				s.Sync(context.Background(), []Unit{
					{Name: "same", Command: sh("exec sleep 1000")},
					{Name: fmt.Sprint("u", n), Command: sh(fmt.Sprint("exec sleep ", 1000+i))},
				})
			}
		}()
	}
	for range 8 {
		<-done
	}
	if st := state(t, s, "same"); st.Starts > 1 {
		t.Errorf("%+v", st)
	}
	s.Sync(t.Context(), nil)
	if st := s.Status(); len(st) != 0 {
		t.Errorf("left: %v, want length 0", st)
	}
}

// A unit that is taken away while somebody restarts it stays away, and leaves no process behind.
func TestSyncAgainstRestart(t *testing.T) {
	s := start(t, Unit{Name: "sshd", Command: sh("exec sleep 1000")})
	file := filepath.Join(t.TempDir(), "pids")
	for range 20 {
		// A process is ready when it has written its number down: one that is killed before that
		// leaves nothing to look for.
		u := Unit{Name: "x", Command: sh("echo $$ >>" + file + "; touch " + file + ".ready; exec sleep 1000"), Delay: time.Millisecond,
			Ready: Ready{Kind: File, Path: file + ".ready"}}
		s.Sync(t.Context(), []Unit{u})
		if err := s.Wait(within(t), "x"); err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		both.Go(func() { _ = s.RestartUnit(t.Context(), "x") })
		both.Go(func() { s.Sync(t.Context(), nil) })
		both.Wait()
		s.Sync(t.Context(), nil) // a restart that came first was allowed
		if _, ok := s.State("x"); ok {
			t.Fatal("the unit is still there")
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for word := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(word); err != nil || alive(pid) {
			t.Errorf("process %s lives on: %v", word, err)
		}
	}
}
