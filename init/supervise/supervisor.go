package supervise

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
)

// Phase is where a unit is.
type Phase string

// The phases of a unit.
const (
	Stopped  Phase = "stopped"  // ordered to, or never started
	Pending  Phase = "waiting"  // for a unit it needs, for a setting, or in Prepare
	Starting Phase = "starting" // the command runs and is not ready
	Up       Phase = "ready"
	Stopping Phase = "stopping"
	Failed   Phase = "failed" // ended by itself; started again after a while, if its rule asks for it
	Done     Phase = "done"   // ended well and is not started again
)

// State is what there is to know about a unit now.
type State struct {
	Name     string
	Optional bool // as the unit reports
	Phase    Phase
	Ready    bool
	Wait     Wait   // what it waits for; NoWait unless Phase is Pending
	Detail   string // one line: what it waits for, its own status line, why it failed
	PID      int    // 0 when no process runs
	Since    time.Time
	Starts   int    // how often its command was started
	Failures int    // how often it ended without an order, or could not be started
	LastExit string // how the command ended last; empty if it never has
	MaxRSS   int64  // bytes, of the run that ended last
}

// Outside reports whether the unit waits for something that must come from outside, from people or
// from the network: Prepare returned a *Waiting error, or reported so with Say.Outside.
func (s State) Outside() bool { return s.Wait == Outside }

// String is the state as one line for people.
func (s State) String() string {
	if s.Detail == "" {
		return s.Name + ": " + string(s.Phase)
	}
	return s.Name + ": " + string(s.Phase) + ": " + s.Detail
}

// Options of a Supervisor.
type Options struct {
	LogDir    string       // of NAME.log; empty keeps logs in memory
	LogLimits LogLimits    // zero value: DefaultLogLimits
	RunDir    string       // for notify sockets, at most 40 bytes long; must exist, be passable for all and writable for the init alone
	Groups    *cgroup.Tree // nil: no cgroups, processes are killed by process group
	Changed   func(State)  // called after each change, one call at a time; must not call the Supervisor
}

// Supervisor runs units. All methods may be called from any goroutine.
type Supervisor struct {
	o       Options
	mu      sync.Mutex
	units   map[string]*runner
	order   []string        // as added
	ctx     context.Context // of Start
	changed chan struct{}   // closed and replaced at each change
	over    bool            // Stop was called: nothing is started any more

	syncing sync.Mutex // one Sync at a time; taken before mu
	synced  []string   // units that belong to Sync
}

// runner is one unit with its life. Its fields are guarded by the Supervisor's mu unless noted
// otherwise.
type runner struct {
	unit    Unit
	log     *Log
	state   State
	stop    context.CancelFunc // ends the session; nil when there is none
	done    chan struct{}      // closed when the session is over
	hurry   chan struct{}      // closed when the caller that stops it has no more time
	recheck chan struct{}      // one slot: look again now
	out     *os.File           // the write end of the log's pipe; only the session uses it
	in      *os.File
}

// New makes a Supervisor without units.
func New(o Options) *Supervisor {
	if o.LogLimits == (LogLimits{}) {
		o.LogLimits = DefaultLogLimits
	}
	return &Supervisor{o: o, units: map[string]*runner{}, changed: make(chan struct{}), ctx: context.Background()}
}

// Add adds a unit; it is started by the next Start or by StartUnit. The units that it needs may be
// added later.
func (s *Supervisor) Add(u Unit) error {
	u, err := u.withDefaults()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.units[u.Name] != nil {
		return fault.New(fault.Input, "give one of them another name", "there are two services with the name %q", u.Name)
	}
	s.insert(u)
	return nil
}

// insert adds a unit whose data are in order and whose name is free. mu is held.
func (s *Supervisor) insert(u Unit) {
	s.units[u.Name] = &runner{
		unit: u, log: NewLog(s.o.LogDir, u.Name, s.o.LogLimits), recheck: make(chan struct{}, 1),
		state: State{Name: u.Name, Optional: u.Optional, Phase: Stopped, Since: time.Now()},
	}
	s.order = append(s.order, u.Name)
}

func (s *Supervisor) all() []Unit {
	var list []Unit
	for _, name := range s.order {
		list = append(list, s.units[name].unit)
	}
	return list
}

// Start starts every unit that is not running, each as soon as what it needs is ready, and returns
// immediately. It fails, and starts nothing, when needs go in a circle or name a unit that does not
// exist. The end of ctx stops all units without regard to their order; Stop does it properly.
func (s *Supervisor) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	order, err := startOrder(s.all())
	if err != nil {
		return err
	}
	s.ctx = ctx
	for _, name := range order {
		s.begin(s.units[name])
	}
	return nil
}

// begin starts a unit's session unless it has one. mu is held.
func (s *Supervisor) begin(r *runner) {
	if r.stop != nil || s.over {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	r.stop, r.done, r.hurry = cancel, make(chan struct{}), make(chan struct{})
	r.state.Phase, r.state.Wait, r.state.Ready, r.state.Detail, r.state.Since = Pending, Inside, false, "", time.Now()
	done, hurry := r.done, r.hurry
	guard.Go(func() { s.session(ctx, r, done, hurry) })
}

func (s *Supervisor) runner(name string) (*runner, error) {
	if r := s.units[name]; r != nil {
		return r, nil
	}
	return nil, fault.New(fault.Usage, "", "there is no service %q; there are %s", name, strings.Join(s.order, ", "))
}

// Recheck makes waiting units look again immediately, as after a change of configuration.
func (s *Supervisor) Recheck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.units {
		select {
		case r.recheck <- struct{}{}:
		default:
		}
	}
}

// Status returns the state of every unit, in the order in which they were added.
func (s *Supervisor) Status() []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []State
	for _, name := range s.order {
		list = append(list, s.units[name].state)
	}
	return list
}

// State returns the state of one unit; ok is false when there is no such unit.
func (s *Supervisor) State(name string) (st State, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.units[name]; r != nil {
		return r.state, true
	}
	return State{}, false
}

// Groups returns the control groups, as paths below the root, in which a unit's processes may be.
func (s *Supervisor) Groups(name string) []string {
	list := []string{cgroup.LeafPath(name)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.units[name]; r != nil {
		list = append(list, r.unit.Moves...)
	}
	return list
}

// Log returns a unit's log; nil when there is no such unit.
func (s *Supervisor) Log(name string) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.units[name]; r != nil {
		return r.log
	}
	return nil
}

// Wait returns when the named units, or all units when none is named, are ready. When ctx ends
// first, the error names those that are not and why.
func (s *Supervisor) Wait(ctx context.Context, names ...string) error {
	for {
		s.mu.Lock()
		if len(names) == 0 {
			names = append(names, s.order...)
		}
		var not []string
		for _, name := range names {
			r, err := s.runner(name)
			if err != nil {
				s.mu.Unlock()
				return err
			}
			if !r.state.Ready {
				not = append(not, r.state.String())
			}
		}
		changed := s.changed
		s.mu.Unlock()
		if len(not) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fault.New(fault.Unhealthy, "", "not ready: %s: %w", strings.Join(not, "; "), ctx.Err())
		}
	}
}

// set changes a unit's state under the lock and wakes waiting callers.
func (s *Supervisor) set(r *runner, change func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := r.state
	change(&r.state)
	if r.state.Phase != Pending {
		r.state.Wait = NoWait
	}
	if r.state == old {
		return
	}
	if r.state.Phase != old.Phase {
		r.state.Since = time.Now()
	}
	close(s.changed)
	s.changed = make(chan struct{})
	if s.o.Changed != nil {
		s.o.Changed(r.state)
	}
}
