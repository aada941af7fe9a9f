package decide

import (
	"math/rand/v2"
	"slices"
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/checks"
	"imgbuild/init/status/health"
)

// verdict makes one of pairs of a check and its state.
func verdict(pairs ...any) health.Verdict {
	var v health.Verdict
	for i := 0; i < len(pairs); i += 2 {
		v.Results = append(v.Results, health.Result{Check: pairs[i].(string), State: pairs[i+1].(health.State)})
	}
	return v
}

func TestSettle(t *testing.T) {
	const good, starting, waiting, bad = health.Good, health.Starting, health.Waiting, health.Bad
	well := verdict(checks.Data, good, checks.SSHD, good, checks.K3s, good)
	starts := verdict(checks.Data, good, checks.SSHD, good, checks.K3s, starting)
	noToken := verdict(checks.Data, good, checks.SSHD, good, checks.K3s, waiting)
	fails := verdict(checks.Data, good, checks.SSHD, good, checks.K3s, bad)
	noData := verdict(checks.Data, bad, checks.SSHD, good)
	frozen := verdict(checks.Data, good, checks.Writable, bad, checks.SSHD, good, checks.K3s, good)
	extra := verdict(checks.Data, good, checks.SSHD, good, checks.K3s, good, checks.Services, bad, checks.Space, bad)
	cable := verdict(checks.Data, good, checks.Address, waiting, checks.SSHD, good, checks.K3s, good)
	for _, c := range []struct {
		name string
		s    Settling
		want Outcome
		what string // the first result that it names
	}{
		{"well", Settling{Verdict: well}, Commit, ""},
		{"well, on trial", Settling{Verdict: well, Trial: true}, Commit, ""},
		{"starts", Settling{Verdict: starts}, Wait, checks.K3s},
		{"starts, on trial", Settling{Verdict: starts, Trial: true}, Wait, checks.K3s},
		{"starts too long", Settling{Verdict: starts, Late: true}, Stay, checks.K3s},
		{"starts too long, on trial", Settling{Verdict: starts, Trial: true, Late: true}, GiveUp, checks.K3s},
		{"fails, and may come back", Settling{Verdict: fails, Trial: true}, Wait, checks.K3s},
		{"fails to the end", Settling{Verdict: fails, Trial: true, Late: true}, GiveUp, checks.K3s},
		{"waits for a token", Settling{Verdict: noToken}, Commit, ""},
		{"waits for a token, on trial", Settling{Verdict: noToken, Trial: true}, Commit, ""},
		{"waits for a token that it had", Settling{Verdict: noToken, Trial: true, Late: true, Before: []string{checks.K3s}}, GiveUp, checks.K3s},
		{"waits for a token that it did not have", Settling{Verdict: noToken, Trial: true, Before: []string{checks.SSHD}}, Commit, ""},
		{"fails as before", Settling{Verdict: fails, Trial: true, Before: []string{}}, Commit, ""},
		{"fails the floor as before", Settling{Verdict: frozen, Trial: true, Late: true, Before: []string{}}, GiveUp, checks.Writable},
		{"no address, as before", Settling{Verdict: cable, Trial: true, Before: []string{}}, Commit, ""},
		{"no address any more", Settling{Verdict: cable, Trial: true, Late: true, Before: []string{checks.Address}}, GiveUp, checks.Address},
		{"the data are lost", Settling{Verdict: noData}, Commit, ""},
		{"the data are lost, on trial", Settling{Verdict: noData, Trial: true}, GiveUp, checks.Data},
		{"rescue", Settling{Verdict: noData, Rescue: true}, Commit, ""},
		{"rescue, on trial", Settling{Verdict: noData, Rescue: true, Trial: true}, Stay, ""},
		{"takes no writes", Settling{Verdict: frozen}, Commit, ""},
		{"a service of the user's", Settling{Verdict: extra, Trial: true}, Commit, ""},
		{"panics", Settling{Verdict: well, Panicking: true}, Stay, ""},
		{"panics, on trial", Settling{Verdict: well, Trial: true, Panicking: true}, Stay, ""},
	} {
		got, results := c.s.Settle()
		what := ""
		if len(results) > 0 {
			what = results[0].Check
		}
		if got != c.want || what != c.what {
			t.Errorf("%s: got %d for %q, want %d for %q", c.name, got, what, c.want, c.what)
		}
	}
}

// Whatever the results of the checks: nothing that is given up was committed, a committed slot is
// never given up, and past the deadline nobody waits.
func TestSettleAlwaysEnds(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	states := []health.State{health.Good, health.Starting, health.Waiting, health.Bad}
	for range 20000 {
		s := Settling{Trial: r.IntN(2) == 0, Rescue: r.IntN(4) == 0, Late: r.IntN(2) == 0, Panicking: r.IntN(8) == 0}
		for _, c := range checks.All {
			state := states[r.IntN(len(states))]
			s.Verdict.Results = append(s.Verdict.Results, health.Result{Check: c.Name, State: state})
			if r.IntN(2) == 0 {
				s.Before = append(s.Before, c.Name)
			}
		}
		got, results := s.Settle()
		switch {
		case got == Wait && (s.Late || len(results) == 0):
			t.Fatalf("waits for %v: %+v", results, s)
		case got == GiveUp && (!s.Trial || s.Rescue || s.Panicking || len(results) == 0):
			t.Fatalf("gives up: %+v", s)
		case got == Commit && s.Trial && slices.ContainsFunc(s.Verdict.Results, func(r health.Result) bool {
			c, _ := checks.Find(r.Check)
			return c.Floor && r.State == health.Bad
		}):
			t.Fatalf("commits below the floor: %+v", s)
		case got == Commit && s.Panicking:
			t.Fatalf("commits while it panics: %+v", s)
		}
	}
}

func TestNotes(t *testing.T) {
	for _, c := range []struct {
		e    Ending
		want Note
	}{{Ending{}, Reason}, {Ending{Fault: true}, Reason}, {Ending{Trial: true}, Reason}, {Ending{Trial: true, Fault: true}, Blame}} {
		if got := c.e.Note(); got != c.want {
			t.Errorf("%+v: got %d, want %d", c.e, got, c.want)
		}
	}
	for _, c := range []struct {
		c    Crash
		want Note
	}{
		{Crash{}, Reason}, {Crash{Recorded: true}, Nothing}, {Crash{Ours: true}, Reason}, {Crash{Trial: true, Ours: true}, Blame},
		{Crash{Trial: true, Ours: true, Recorded: true}, Blame}, // the boot script has counted an attempt, and would go on to
		{Crash{Trial: true}, Nothing},                           // that of the slot before, which armed this one
	} {
		if got := c.c.Note(); got != c.want {
			t.Errorf("%+v: got %d, want %d", c.c, got, c.want)
		}
	}
}

func TestCorner(t *testing.T) {
	for _, c := range []struct {
		c    Corner
		want bool
	}{
		{Corner{}, false}, // no disk: nobody knows
		{Corner{Disk: true}, false},
		{Corner{Disk: true, Last: true}, true},
		{Corner{Disk: true, Last: true, Other: bootstate.Empty}, true},
		{Corner{Disk: true, Last: true, Other: bootstate.Bad}, true},
		{Corner{Disk: true, Last: true, Other: bootstate.Good}, false},
		{Corner{Disk: true, Last: true, Trial: true}, false}, // the committed slot is next
	} {
		if got := c.c.Cornered(); got != c.want {
			t.Errorf("%+v: got %v, want %v", c.c, got, c.want)
		}
	}
	if a, b, c := Pause(true, true), Pause(false, false), Pause(false, true); a != PauseUp || b != PauseBoot || c != PauseCornered || !(a < b && b < c) {
		t.Errorf("pauses %v, %v, %v", a, b, c)
	}
}
