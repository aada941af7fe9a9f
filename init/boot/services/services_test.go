package services

import (
	"context"
	"fmt"
	"testing"
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/contract/config"
	"imgbuild/init/supervise"
)

func TestWorthSaying(t *testing.T) {
	st := func(phase supervise.Phase, detail string, failures int) supervise.State {
		return supervise.State{Name: "x", Phase: phase, Detail: detail, Failures: failures, Optional: true}
	}
	for _, c := range []struct {
		was, is supervise.State
		want    bool
	}{
		{st(supervise.Starting, "", 0), st(supervise.Up, "", 0), true},
		{st(supervise.Up, "1", 0), st(supervise.Up, "2", 0), false}, // a unit that talks
		{st(supervise.Pending, "a", 0), st(supervise.Pending, "b", 0), true},
		{st(supervise.Pending, "a", 0), st(supervise.Pending, "a", 0), false},
		{st(supervise.Up, "", 2), st(supervise.Failed, "exit status 1", 3), true},
		{st(supervise.Up, "", 4), st(supervise.Failed, "exit status 1", 5), false},
		{st(supervise.Up, "", 7), st(supervise.Failed, "exit status 1", 8), true},
		{st(supervise.Failed, "", 1), st(supervise.Starting, "", 1), false},
		{supervise.State{}, supervise.State{Name: "getty-tty1", Phase: supervise.Failed}, false},
	} {
		if got := worthSaying(c.was, c.is); got != c.want {
			t.Errorf("%+v -> %+v: got %v, want %v", c.was, c.is, got, c.want)
		}
	}
	loop := st(supervise.Failed, "exit status 1", 5)
	loop.Optional = false
	if !worthSaying(st(supervise.Up, "", 4), loop) {
		t.Error("a service that the node is for fails in silence")
	}
}

// A console that takes nothing holds up nobody.
func TestWords(t *testing.T) {
	stuck, said := make(chan struct{}), make(chan string, 1)
	w := NewWords(func(format string, args ...any) {
		<-stuck
		select {
		case said <- fmt.Sprintf(format, args...):
		default:
		}
	})
	for range 1000 {
		w.Changed(supervise.State{Name: "x", Phase: supervise.Failed, Detail: "exit status 1"})
	}
	close(stuck)
	if got := <-said; got != "service x: failed: exit status 1" {
		t.Errorf("got %q", got)
	}
}

// The services of the configuration come and go with it.
func TestExtra(t *testing.T) {
	cfg := &config.Config{Services: map[string]config.Service{
		"one": {Enabled: true, Command: []string{"/bin/sleep", "1000"}},
		"two": {Enabled: true, Command: []string{"/bin/sleep", "1000"}},
		"off": {Command: []string{"/bin/sleep", "1000"}},
		"no":  {Enabled: true},
	}}
	s, synced := supervise.New(supervise.Options{}), 0
	reporter := report.Reporter{Console: &report.Console{}, Report: &report.Report{}, Step: "units"}
	e := &Extra{Units: s, Reporter: reporter, List: func() []supervise.Unit { return Of(cfg, nil, reporter.Problem) }, After: func() { synced++ }}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	defer s.Stop(context.Background())
	e.Sync()
	if err := s.Wait(ctx, "one", "two"); err != nil || len(s.Status()) != 2 {
		t.Errorf("got %+v, %v", s.Status(), err)
	}
	delete(cfg.Services, "two")
	e.Sync()
	if got := s.Status(); len(got) != 1 || got[0].Name != "one" || synced != 2 {
		t.Errorf("got %+v", got)
	}
	if p := reporter.Report.Problems(); len(p) != 0 {
		t.Errorf("reported: %+v, want length 0", p)
	}
}
