package auto

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"imgbuild/init/contract/channel"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/ledger"
	"imgbuild/init/upgrade/turns"
)

// phase is what a simulated node does.
type phase int

const (
	runs      phase = iota
	reboots         // into the trial
	trial           //
	fallsBack       // the trial has failed, and the system before boots
)

// simNode is a node of the simulation. What is in kept survives a crash.
type simNode struct {
	name, role string
	kept       struct {
		memory  Memory
		ledger  ledger.Ledger
		running string
		before  string // version, while on trial
	}
	phase   phase
	until   time.Time // the phase ends
	settles time.Time // it is known then whom to blame
	dead    time.Time // it is off until then
	look    time.Time // the next one
}

// crash is the power failing in the middle of a look.
type crash struct{}

// sim is a cluster over a clock of its own.
type sim struct {
	t       *testing.T
	seed    uint64
	r       *rand.Rand
	now     time.Time
	nodes   []*simNode // the first one keeps the turns
	lock    turns.State
	began   time.Time
	channel channel.Channel
	bad     map[string]map[string]ledger.Blame // by version and node
	entered int
	log     []string
}

func (s *sim) note(format string, a ...any) {
	s.log = append(s.log, s.now.Format("02 15:04 ")+fmt.Sprintf(format, a...))
}

func (s *sim) fail(format string, a ...any) {
	s.t.Helper()
	for _, l := range s.log[max(0, len(s.log)-60):] {
		s.t.Log(l)
	}
	s.t.Fatalf("seed %d, "+format, append([]any{s.seed}, a...)...)
}

func date(version string) int64 { return int64(version[1]) * 1000 }

// TestCluster is five nodes over a week: three good and bad versions, power cuts at any moment,
// answers and channels that are lost. At most one node is down for an upgrade; servers go first; a
// version that was rolled back is never tried again.
func TestCluster(t *testing.T) {
	current, stopped, upgrades := 0, 0, 0
	for seed := range uint64(40) {
		s := &sim{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 5)), now: noon}
		s.began = s.now
		for i, role := range []string{"server", "server", "worker", "worker", "storage"} {
			n := &simNode{name: fmt.Sprintf("%s%d", role, i), role: role, look: s.now}
			n.kept.running = "v1"
			s.nodes = append(s.nodes, n)
		}
		s.bad = map[string]map[string]ledger.Blame{}
		for _, v := range []string{"v2", "v3", "v4"} {
			if s.bad[v] = map[string]ledger.Blame{}; s.r.IntN(2) == 0 {
				s.bad[v][s.nodes[s.r.IntN(5)].name] = []ledger.Blame{ledger.Own, ledger.External}[s.r.IntN(2)]
			}
		}
		s.publish("v2")
		for minute := range 7 * 24 * 60 {
			switch minute {
			case 2 * 24 * 60:
				s.publish("v3")
			case 4 * 24 * 60:
				s.publish("v4")
			}
			s.now = s.now.Add(time.Minute)
			for _, i := range s.r.Perm(len(s.nodes)) {
				s.step(s.nodes[i])
			}
		}
		upgrades += s.entered
		last := 0
		for _, n := range s.nodes {
			if n.kept.running == "v4" && n.phase == runs {
				last++
			}
		}
		switch {
		case last == len(s.nodes):
			current++
		case s.lock.Versions["v4"].Stopped != "":
			stopped++
		default:
			s.fail("%d nodes run v4, which is not stopped: %+v", last, s.lock)
		}
	}
	t.Logf("%d upgrades; v4 runs everywhere in %d clusters, is stopped in %d", upgrades, current, stopped)
	if current < 10 || stopped < 4 || upgrades < 250 {
		t.Errorf("%d upgrades; v4 runs everywhere in %d clusters, is stopped in %d", upgrades, current, stopped)
	}
}

func (s *sim) publish(version string) {
	s.note("the channel names %s", version)
	s.channel = channel.Channel{Issued: s.now.Unix(), Systems: []channel.System{{Family: "f", Arch: "a", Roles: []string{"server", "worker", "storage"}, Version: version, Date: date(version), Manifest: "m" + version}}}
}

// step lets a minute pass on a node.
func (s *sim) step(n *simNode) {
	if s.now.Before(n.dead) {
		return
	}
	if s.r.IntN(1500) == 0 {
		s.off(n)
		return
	}
	switch over := !s.now.Before(n.until); {
	case n.phase == reboots && over:
		n.kept.before, n.kept.running = n.kept.running, n.kept.ledger.Attempt.Version
		n.phase, n.until = trial, s.now.Add(s.trialOf(n))
	case n.phase == trial && over && s.bad[n.kept.running][n.name] == "":
		s.note("%s commits %s", n.name, n.kept.running)
		n.kept.ledger.End(ledger.Committed, "", s.now)
		n.phase, n.look = runs, s.now
	case n.phase == trial && over:
		n.phase, n.until = fallsBack, s.now.Add(2*time.Minute)
	case n.phase == fallsBack && over:
		s.note("%s falls back from %s", n.name, n.kept.running)
		n.kept.ledger.Attempt.Failed = []string{"k3s"}
		n.kept.ledger.End(ledger.RolledBack, "unhealthy: k3s", s.now)
		n.kept.running = n.kept.before
		n.phase, n.look, n.settles = runs, s.now, s.now.Add(4*time.Minute)
	}
	if h := n.kept.ledger.History; len(h) > 0 && h[len(h)-1].Blame == ledger.Open && !s.now.Before(n.settles) {
		h[len(h)-1].Blame = s.bad[h[len(h)-1].Version][n.name]
	}
	if (n.phase == runs || n.phase == trial) && !s.now.Before(n.look) {
		s.lookOf(n)
	}
}

// trialOf is how long a trial takes: until its checks pass, or its deadline.
func (s *sim) trialOf(n *simNode) time.Duration {
	if s.bad[n.kept.running][n.name] != "" {
		return 5 * time.Minute
	}
	return 2 * time.Minute
}

// off takes the power from a node for some minutes. A trial begins again after that.
func (s *sim) off(n *simNode) {
	n.dead = s.now.Add(time.Duration(1+s.r.IntN(8)) * time.Minute)
	s.note("%s is off until %s", n.name, n.dead.Format("15:04"))
	if n.until = n.dead.Add(time.Minute); n.phase == trial {
		n.until = n.dead.Add(s.trialOf(n))
	}
	n.look = n.dead.Add(time.Minute)
	if n == s.nodes[0] {
		s.began = n.dead
		s.lock.Begin(n.dead)
	}
}

// up reports whether the server answers.
func (s *sim) up() bool {
	n := s.nodes[0]
	return !s.now.Before(n.dead) && (n.phase == runs || n.phase == trial)
}

func (s *sim) lookOf(n *simNode) {
	defer func() {
		if v := recover(); v != nil {
			if _, ok := v.(crash); !ok {
				panic(v)
			}
			s.off(n)
		}
	}()
	d, err := s.node(n).Look(s.t.Context())
	if err != nil && !errors.Is(err, errLost) {
		s.fail("%s: %v", n.name, err)
	}
	_ = d
	n.look = s.now.Add(Pause(n.kept.memory, s.now, time.Duration(s.r.Int64N(int64(longest-shortest)))))
}

var errLost = errors.New("lost")

// chance ends the look by the power failing, or by an error.
func (s *sim) chance() error {
	switch s.r.IntN(60) {
	case 0:
		panic(crash{})
	case 1:
		return errLost
	}
	return nil
}

func (s *sim) node(n *simNode) Node {
	return Node{
		Family: "f", Arch: "a", Now: func() time.Time { return s.now },
		Facts: func(context.Context) (Facts, error) {
			h := health.Good
			if s.r.IntN(40) == 0 {
				h = health.Bad
			}
			return Facts{
				Now: s.now, Synced: true, Auto: true, Window: windowOf(s.t, "always"), Name: n.name, Locked: true, Version: n.kept.running, Date: date(n.kept.running), Role: n.role,
				Trial: n.phase == trial, Armed: n.phase == reboots, Deadline: 300, Health: h, Why: []string{"bad luck"}, Ledger: n.kept.ledger,
			}, nil
		},
		Channel: func(context.Context) (*channel.Channel, error) {
			c := s.channel
			return &c, s.chance()
		},
		Send: func(_ context.Context, q turns.Request) (turns.Answer, error) {
			if !s.up() {
				return turns.Answer{}, errLost
			}
			if err := s.chance(); err != nil {
				return turns.Answer{}, err
			}
			a, _ := s.lock.Handle(n.name, q, s.now, s.began)
			if q.Do != turns.Look {
				s.note("%s: %s %s %s: granted %v, %s", n.name, q.Do, q.Version, q.Blame, a.Granted, a.Wait)
			}
			return a, s.chance()
		},
		Upgrade: func(_ context.Context, c channel.System, renew func() error) error {
			if err := errors.Join(s.chance(), renew()); err != nil {
				return err
			}
			s.enter(n, c.Version)
			n.kept.ledger.Attempt = &ledger.Attempt{System: ledger.System{Version: c.Version, Bundle: c.Manifest}, From: n.kept.running, Armed: s.now}
			n.phase, n.until = reboots, s.now.Add(2*time.Minute)
			return nil
		},
		Load: func() (Memory, error) { return n.kept.memory, nil },
		Save: func(m Memory) error { n.kept.memory = m; return nil },
	}
}

// enter is what must hold when a node goes down for an upgrade.
func (s *sim) enter(n *simNode, version string) {
	s.note("%s upgrades from %s to %s", n.name, n.kept.running, version)
	s.entered++
	if date(version) <= date(n.kept.running) {
		s.fail("%s goes from %s to %s", n.name, n.kept.running, version)
	}
	external := 0
	for _, other := range s.nodes {
		if other != n && other.phase != runs && s.lock.Versions[other.kept.ledger.Attempt.Version].Stopped == "" {
			s.fail("%s goes down while %s is", n.name, other.name)
		}
		for _, a := range other.kept.ledger.History {
			switch {
			case a.Version != version || a.Result != ledger.RolledBack:
			case s.bad[version][other.name] == ledger.External:
				external++
			default:
				s.fail("%s tries %s, which %s has rolled back", n.name, version, other.name)
			}
		}
		if rank := map[string]int{"server": 0, "worker": 1, "storage": 2}; rank[other.role] < rank[n.role] && (other.kept.running != version || other.phase != runs) {
			s.fail("%s, a %s, upgrades before %s", n.name, n.role, other.name)
		}
	}
	if external > 1 {
		s.fail("%s tries %s after it was rolled back %d times for something from outside", n.name, version, external)
	}
}
