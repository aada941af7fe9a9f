package login

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/contract/manifest"
	"imgbuild/init/k3s"
	"imgbuild/init/supervise"
)

var inside = &manifest.K3s{Source: "embedded"}

func TestYields(t *testing.T) {
	for name, c := range map[string]struct {
		facts Facts
		want  bool
	}{
		"a worker":           {Facts{Role: k3s.Worker, K3s: inside}, true},
		"a server":           {Facts{Role: k3s.Server, K3s: inside, Trial: true}, true},
		"another role":       {Facts{Role: "storage", K3s: inside}, false},
		"a slot without k3s": {Facts{Role: k3s.Worker}, false},
		"built without k3s":  {Facts{Role: k3s.Worker, K3s: &manifest.K3s{Source: "none"}}, false},
		"degraded":           {Facts{Role: k3s.Worker, K3s: inside, Degraded: true}, false},
		"commands":           {Facts{Role: k3s.Worker, K3s: inside, Commands: true}, false},
	} {
		if got := c.facts.Yields(); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
		s := supervise.New(supervise.Options{})
		u := Unit(s, c.facts)
		if got := u.Prepare != nil; got != c.want {
			t.Errorf("%s: the unit waits: got %v, want %v", name, got, c.want)
		}
		if got := u.Ready.Probe != nil; got != c.facts.Trial {
			t.Errorf("%s: the banner is asked for: got %v, want %v", name, got, c.facts.Trial)
		}
		if err := s.Add(u); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Without the role's program sshd starts after sshdYield; once it has started, failed or reported
// that it waits for something from outside, immediately.
func TestYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervise.New(supervise.Options{})
		began := time.Now()
		if err := yield(t.Context(), s); err != nil || time.Since(began) != sshdYield {
			t.Errorf("no program: got %v after %v, want %v", err, time.Since(began), sshdYield)
		}
		waits := supervise.Unit{Name: k3s.Name, Command: []string{"/bin/false"}, Prepare: func(context.Context, supervise.Say) error {
			return &supervise.Waiting{What: "a token"}
		}}
		if err := s.Add(waits); err != nil {
			t.Fatal(err)
		}
		if err := s.StartUnit(k3s.Name); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began = time.Now()
		if err := yield(t.Context(), s); err != nil || time.Since(began) != 0 {
			t.Errorf("a program that waits: got %v after %v, want immediately", err, time.Since(began))
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
