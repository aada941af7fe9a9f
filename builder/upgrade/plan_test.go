package upgrade

import (
	"fmt"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

// text writes a plan in one line: HOST, + for a drain, +- for one without an uncordon, = for a node
// that is skipped, ! for a note.
func text(steps []Step) string {
	var out []string
	for _, s := range steps {
		t := s.Host
		if s.Drain {
			t += "+"
			if !s.Uncordon {
				t += "-"
			}
		}
		if s.Skip != "" {
			t += "="
		}
		if s.Note != "" {
			t += "!"
		}
		out = append(out, t)
	}
	return strings.Join(out, " ")
}

func TestPlan(t *testing.T) {
	one := func(host, role string) State { return State{Host: host, Name: host, Role: role, Version: "1"} }
	with := func(s State, f func(*State)) State { f(&s); return s }
	member := func(name string, server bool) Member { return Member{Name: name, Server: server, Ready: true} }
	s1, s2, w1, w2 := one("s1", "server"), one("s2", "server"), one("w1", "worker"), one("w2", "worker")
	nas, router := one("nas", "storage"), one("router", "router")
	two := []Member{member("s1", true), member("s2", true), member("w1", false), member("w2", false)}
	single := []Member{member("s1", true), member("w1", false)}
	cordoned := []Member{member("s1", true), {Name: "w1", Ready: true, Cordoned: true}}
	bad := func(s State) State { return with(s, func(s *State) { s.Bad = "k3s is down" }) }
	current := func(s State) State { return with(s, func(s *State) { s.Current = true }) }
	drain := Wishes{Drain: true}
	for name, c := range map[string]struct {
		nodes   []State
		cluster []Member
		wishes  Wishes
		want    string // or the error's beginning
	}{
		"nobody":                        {nil, nil, drain, ""},
		"one worker, nobody was asked":  {[]State{w1}, nil, drain, "w1!"},
		"order":                         {[]State{router, nas, w2, w1, s2, s1}, two, drain, "s2+ s1+ w2+ w1+ nas router"},
		"no drain":                      {[]State{w1, s1, s2}, two, Wishes{}, "s1 s2 w1"},
		"the only server":               {[]State{w1, s1}, single, drain, "s1! w1+"},
		"cordoned by somebody":          {[]State{w1}, cordoned, drain, "w1+-"},
		"one has it":                    {[]State{s1, current(w1), w2}, two, drain, "s1+ w1= w2+"},
		"one has it and is cordoned":    {[]State{s1, current(w1)}, cordoned, drain, "s1! w1=!"},
		"not in the cluster":            {[]State{one("x", "worker")}, two, drain, "x!"},
		"the cluster writes small":      {[]State{with(w1, func(s *State) { s.Name = "W1" })}, two, drain, "w1+"},
		"a role of tomorrow":            {[]State{one("x", "toaster"), router}, nil, drain, "router x"},
		"degraded":                      {[]State{s1, bad(w1)}, two, drain, "error: nothing was done: degraded: w1 (k3s is down)"},
		"degraded, forced":              {[]State{s1, bad(w1)}, two, Wishes{Drain: true, Force: []string{"w1"}}, "s1+ w1+"},
		"another one is forced":         {[]State{bad(s1), bad(w1)}, two, Wishes{Force: []string{"s1"}}, "error: nothing was done: degraded: w1 (k3s is down)"},
		"a member elsewhere is not up":  {[]State{w1}, append(single, Member{Name: "w9"}), drain, "error: nothing was done: degraded: w9 (the cluster"},
		"that one is forced":            {[]State{w1}, append(single, Member{Name: "w9"}), Wishes{Drain: true, Force: []string{"w9"}}, "w1+"},
		"its own kubelet is not up yet": {[]State{w1}, []Member{member("s1", true), {Name: "w1"}}, drain, "w1+"},
	} {
		steps, err := Plan(c.nodes, c.cluster, c.wishes)
		got := text(steps)
		if err != nil {
			got = fmt.Sprint("error: ", err)
			if fault.Code(err) != int(fault.Unhealthy) {
				t.Errorf("%s: got code %d, want %d", name, fault.Code(err), fault.Unhealthy)
			}
		}
		if got != c.want && (err == nil || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
