// Package supervise starts, watches and stops what runs on a node, and reaps what dies on it.
//
// A unit is data: a command, its user and limits, what it needs, how one sees that it is ready,
// when it is started again and how it is stopped. The Supervisor runs one goroutine per unit. Run
// is for commands that come to an end by themselves. Every process of the init is started here,
// because PID 1 has one waiter (see reaper).
package supervise

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/contract/fault"
)

// Unit describes one supervised service.
type Unit struct {
	Name     string   // letters, digits, dash, underscore, dot: names its log, group and socket
	Command  []string // program and arguments
	Env      []string // NAME=value, added to the defaults of Spec.Env
	Dir      string
	User     string
	Terminal string
	NoFile   uint64 // see Spec
	NProc    uint64
	OOMScore int
	Limits   cgroup.Limits

	Moves    []string // control groups below the root that its processes move to by themselves: Limits are set there too
	Optional bool     // the node does its work without it
	Needs    []string // units that must be ready before this one is started
	Ready    Ready

	Restart  Restart
	Delay    time.Duration // before the first restart, 1 s if 0; doubled for each further one
	MaxDelay time.Duration // until it is this long, 2 min if 0

	StopSignal  syscall.Signal // SIGTERM if 0
	StopTimeout time.Duration  // until what is left is killed, 10 s if 0
	StopOrder   int            // Stop goes from low to high; within one number, a unit that needs another stops before it
	KeepOthers  bool           // stopping ends the command alone, not the rest of its group: pods, ssh sessions

	// Prepare runs before each start and may write files or fetch what is missing. It must honour
	// ctx. A *Waiting error means that something must come from outside; the unit then waits for
	// Recheck, or RecheckEvery.
	Prepare func(ctx context.Context, say Say) error
	// Arguments, if set, returns the command at each start, after Prepare.
	Arguments func() (command, env []string, err error)
	// Finish runs once after the unit was stopped by Supervisor.Stop, before the units that it
	// needs are stopped.
	Finish func(ctx context.Context) error
}

// Restart is when a unit that ended is started again.
type Restart uint8

// The zero value suits a service.
const (
	Always    Restart = iota // whenever it ends without an order
	OnFailure                // unless it ended with status 0
	Never                    // not at all
	Once                     // runs to its end and is ready then; started again only when it failed
)

// Wait is the kind of thing that a unit in the phase Pending waits for.
type Wait uint8

// The kinds of waiting.
const (
	NoWait  Wait = iota // the unit does not wait
	Inside              // for a unit that it needs, or its own preparation: it ends by itself
	Outside             // for people or the network: no time brings it
)

// Say shows what Prepare does, as one line, and which kind of waiting that is. Its methods work on
// nil.
type Say func(kind Wait, text string)

// Progress shows a line of a preparation that goes on by itself.
func (s Say) Progress(text string) { s.say(Inside, text) }

// Outside shows that Prepare itself waits for something from outside.
func (s Say) Outside(text string) { s.say(Outside, text) }

func (s Say) say(kind Wait, text string) {
	if s != nil {
		s(kind, text)
	}
}

// Waiting is what Prepare returns when the unit cannot start yet and that is nobody's failure: a
// setting is missing.
type Waiting struct {
	What string // what is missing and how to give it, one line
}

func (w *Waiting) Error() string { return "waiting: " + w.What }

// RecheckEvery is how often a waiting unit looks again without an order.
const RecheckEvery = 15 * time.Second

// stableAfter is how long a unit must have run for its next failure to count as the first one
// again.
const stableAfter = time.Minute

// withDefaults fills in what was left out and checks the rest.
func (u Unit) withDefaults() (Unit, error) {
	bad := func(format string, args ...any) (Unit, error) {
		return u, fault.New(fault.Input, "", "service %q: "+format, append([]any{u.Name}, args...)...)
	}
	if !validName(u.Name) {
		return bad("a name has 1 to 64 letters, digits, dashes, underscores or dots and begins with a letter or digit")
	}
	if len(u.Command) == 0 && u.Arguments == nil {
		return bad("it has no command")
	}
	if slices.Contains(u.Needs, u.Name) {
		return bad("it needs itself")
	}
	if u.OOMScore < -1000 || u.OOMScore > 1000 {
		return bad("oom score %d is not within -1000 to 1000", u.OOMScore)
	}
	if u.Restart > Once {
		return bad("unknown restart rule %d", u.Restart)
	}
	if err := u.Limits.Check(); err != nil {
		return bad("%w", err)
	}
	if err := u.Ready.check(); err != nil {
		return bad("%w", err)
	}
	if u.Delay <= 0 {
		u.Delay = time.Second
	}
	if u.MaxDelay <= 0 {
		u.MaxDelay = 2 * time.Minute
	}
	u.MaxDelay = max(u.Delay, u.MaxDelay)
	if u.StopSignal == 0 {
		u.StopSignal = syscall.SIGTERM
	}
	if u.StopTimeout <= 0 {
		u.StopTimeout = 10 * time.Second
	}
	return u, nil
}

func validName(s string) bool {
	if s == "" || len(s) > 64 || strings.ContainsAny(s[:1], "-_.") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r))
	})
}

// startOrder sorts units so that each comes after those it needs; equals keep the order in which
// they were added.
func startOrder(units []Unit) ([]string, error) {
	byName := map[string]Unit{}
	for _, u := range units {
		byName[u.Name] = u
	}
	var order, path []string
	state := map[string]int{} // 1 being visited, 2 done
	var visit func(name string) error
	visit = func(name string) error {
		switch state[name] {
		case 1:
			at := slices.Index(path, name)
			return fault.New(fault.Input, "take one of them out of needs", "services need each other in a circle: %s",
				strings.Join(append(path[at:], name), " -> "))
		case 2:
			return nil
		}
		state[name] = 1
		path = append(path, name)
		for _, need := range byName[name].Needs {
			if _, ok := byName[need]; !ok {
				return fault.New(fault.Input, "take it out of needs or add that service", "service %q needs %q, which does not exist", name, need)
			}
			if err := visit(need); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		state[name] = 2
		order = append(order, name)
		return nil
	}
	for _, u := range units {
		if err := visit(u.Name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// stopRounds groups units for stopping: one round after the other, the units of a round at the same
// time.
func stopRounds(units []Unit) ([][]string, error) {
	order, err := startOrder(units)
	if err != nil {
		return nil, err
	}
	byName := map[string]Unit{}
	for _, u := range units {
		byName[u.Name] = u
	}
	// depth 0 is needed by nobody of the same StopOrder.
	depth := map[string]int{}
	for _, name := range slices.Backward(order) {
		for _, need := range byName[name].Needs {
			if byName[need].StopOrder == byName[name].StopOrder {
				depth[need] = max(depth[need], depth[name]+1)
			}
		}
	}
	type key struct{ order, depth int }
	rounds := map[key][]string{}
	var keys []key
	for _, name := range order {
		k := key{byName[name].StopOrder, depth[name]}
		if rounds[k] == nil {
			keys = append(keys, k)
		}
		rounds[k] = append(rounds[k], name)
	}
	slices.SortFunc(keys, func(a, b key) int {
		if a.order != b.order {
			return a.order - b.order
		}
		return a.depth - b.depth
	})
	var list [][]string
	for _, k := range keys {
		list = append(list, rounds[k])
	}
	return list, nil
}
