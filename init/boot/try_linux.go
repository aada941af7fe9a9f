package boot

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/settings/sources"
	"imgbuild/init/status/control"
)

// A configuration that is on trial lies nowhere but in memory: a reboot or a power cut takes it back by itself. It takes
// the place of the imported main file, and is written there once somebody has logged in anew over ssh and confirmed it.

// trial is the configuration on trial, if any.
type trial struct {
	mu    sync.Mutex
	main  []byte // the text; nil when there is none
	seq   uint64 // the number of the trial
	since uint64 // ticks since the kernel started when it had been applied; 0 until then
	end   *time.Timer
}

// current gives the number of the trial; on is false when there is none.
func (t *trial) current() (seq uint64, on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seq, t.main != nil
}

// text gives the text on trial, nil for none.
func (t *trial) text() []byte { t.mu.Lock(); defer t.mu.Unlock(); return t.main }

// How long a trial may take, in seconds.
const (
	tryDefault = 120
	tryLeast   = 10
	tryMost    = 3600
)

// answerFirst is the head start of an answer before the network that carries it may change.
const answerFirst = 300 * time.Millisecond

// tryVerb serves the config verbs: check and apply with Args text and try, confirm, revert.
func (n *Node) tryVerb(r control.Request) (any, error) {
	if !n.up.Load() {
		return nil, fault.New(fault.Unhealthy, "try again in a moment", "the node is still booting")
	}
	switch r.Verb {
	case "config-confirm":
		return nil, n.confirm(r.Peer, r.Args["trial"])
	case "config-revert":
		seq, on := n.try.current()
		if !on {
			return nil, fault.New(fault.Usage, "", "no configuration is on trial")
		}
		guard.Go(func() { n.do <- func() { n.takeBack(seq, "somebody asked for it") } })
		return nil, nil
	}
	try := tryDefault
	if s := r.Args["try"]; s == "no" {
		try = 0
	} else if s != "" {
		var err error
		if try, err = strconv.Atoi(s); err != nil || try < tryLeast || try > tryMost {
			return nil, fault.New(fault.Usage, "give seconds, such as try=120, or try=no", "try=%s is not a number from %d to %d", s, tryLeast, tryMost)
		}
	}
	keep, plan, err := n.examine([]byte(r.Args["text"]))
	if err != nil || r.Verb == "config-check" {
		return plan, err
	}
	n.try.mu.Lock()
	defer n.try.mu.Unlock()
	if n.try.main != nil {
		return nil, fault.New(fault.Usage, "say shelf config confirm in a new login, or shelf config revert", "another configuration is on trial")
	}
	plan.Try = try
	if try == 0 {
		if err := n.keep(keep); err != nil {
			return nil, err
		}
		guard.Go(func() { time.Sleep(answerFirst); n.do <- n.reload })
		return plan, nil
	}
	n.try.seq++
	n.try.main, n.try.since = keep, 0
	seq := n.try.seq
	plan.Trial = seq
	guard.Go(func() {
		time.Sleep(answerFirst)
		n.do <- func() { n.begin(seq, time.Duration(try)*time.Second) }
	})
	return plan, nil
}

// examine reads a configuration as an import would, with everything else that the node has, and says what it would change.
// keep is the text with its secrets. One that has errors of its own is refused.
func (n *Node) examine(text []byte) (keep []byte, plan config.Plan, err error) {
	plan = config.Plan{Hostname: n.host, Role: n.current().RoleOf(""), Board: n.pre.Cmdline["shelf.board"]}
	var salt [16]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return nil, plan, err
	}
	previous, err := os.ReadFile(sources.Main)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, plan, err
	}
	const name = "config.yaml"
	in, err := config.Import(name, text, previous, salt[:])
	if err != nil {
		return nil, plan, err
	}
	cmdline, _ := os.ReadFile("/proc/cmdline")
	now, _ := sources.Layers("/", string(cmdline))
	from, _ := config.Merge(now...)
	then, parsed := sources.LayersWith("/", string(cmdline), in.Keep)
	to, merged := config.Merge(then...)
	bad := 0
	for _, p := range append(append(parsed, merged...), config.Check(to, n.machine())...) {
		if p.File == name || p.File == "" {
			if p.Severity != config.Note {
				plan.Problems = append(plan.Problems, p.String())
			}
			if p.Severity == config.Error && p.File == name {
				bad++
			}
		}
	}
	if bad > 0 {
		return nil, plan, fault.New(fault.Input, "correct it", "%s", joinLines(plan.Problems))
	}
	if err := n.importer().Fits(in.Keep); err != nil {
		plan.Problems = append(plan.Problems, err.Error())
	}
	for _, c := range config.Diff(from, to) {
		c.When = config.When(c.Path)
		plan.Changes = append(plan.Changes, c)
	}
	if to.RoleOf("") != from.RoleOf("") {
		plan.Role = to.RoleOf("")
	}
	return in.Keep, plan, nil
}

func joinLines(list []string) string {
	text := "the configuration is not taken:"
	for _, s := range list {
		text += "\n  " + s
	}
	return text
}

// begin applies the configuration of trial seq. It runs in run.
func (n *Node) begin(seq uint64, limit time.Duration) {
	if now, on := n.try.current(); !on || now != seq {
		return // it was taken back before it began
	}
	n.tell.Say("a configuration is tried for %v", limit)
	n.reload()
	n.try.mu.Lock()
	defer n.try.mu.Unlock()
	if n.try.main == nil || n.try.seq != seq {
		return
	}
	n.try.since = ticks()
	n.try.end = time.AfterFunc(limit, func() {
		defer guard.Catch()
		n.do <- func() { n.takeBack(seq, "nobody logged in anew within "+limit.String()) }
	})
}

// takeBack returns from trial seq to the configuration before. It runs in run.
func (n *Node) takeBack(seq uint64, why string) {
	n.try.mu.Lock()
	on := n.try.main != nil && n.try.seq == seq
	if !on {
		n.try.mu.Unlock()
		return // it was confirmed at the last moment
	}
	if n.try.end != nil {
		n.try.end.Stop()
	}
	n.try.main, n.try.end = nil, nil
	n.try.mu.Unlock()
	n.reload()
	n.tell.Say("the configuration was taken back: %s", why)
}

// confirm keeps the configuration on trial if the caller's ssh connection is younger than the trial: it has come through the
// network as it is now. number is that of the trial, "" for whatever is on trial.
func (n *Node) confirm(pid int, number string) error {
	began, ok := session("/proc", pid)
	n.try.mu.Lock()
	defer n.try.mu.Unlock()
	switch {
	case n.try.main == nil:
		return fault.New(fault.Usage, "", "no configuration is on trial; it may have been taken back")
	case number != "" && number != strconv.FormatUint(n.try.seq, 10):
		return fault.New(fault.Usage, "", "another configuration is on trial; the one with the number %s was taken back", number)
	case n.try.since == 0:
		return fault.New(fault.Unhealthy, "try again in a moment", "the configuration is still being applied")
	case !ok:
		return fault.New(fault.Usage, "log in over ssh and say it there", "only who has come over the network can confirm")
	case began <= n.try.since:
		return fault.New(fault.Unhealthy, "log in once more, and say it there", "this login is older than the change, so it proves nothing about the network")
	}
	if err := n.keep(n.try.main); err != nil {
		return err
	}
	n.try.end.Stop()
	n.try.main, n.try.end = nil, nil
	n.base.Say("the configuration on trial is confirmed")
	return nil
}

// keep writes the imported main file, and BOOT's where it fits.
func (n *Node) keep(text []byte) error {
	stale, err := n.importer().Keep(text)
	if stale != nil {
		n.base.Say("config: %v", stale)
	}
	return fault.Wrap(err, fault.Device, "look whether the data partition is full", "keeping the configuration")
}

// ticks is the time since the kernel started as /proc counts it, 100 a second on every architecture.
func ticks() uint64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 1
	}
	return uint64(t.Nano() / int64(10*time.Millisecond))
}
