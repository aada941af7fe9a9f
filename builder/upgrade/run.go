// Package upgrade brings nodes to another system: it sends each the bundle for its family over ssh,
// with a delta for the slot that it runs, and waits until it has committed it or gone back. Several
// nodes are checked before any is written, and then taken one after the other.
package upgrade

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"aead.dev/minisign"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/remote"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// Show shows how far a step is, until it is done.
type Show interface {
	Progress(step string, done, total int64)
	Done()
}

// Options are the nodes and what each gets.
type Options struct {
	Hosts    []string // [USER@]HOST[:PORT]
	Bundle   string   // file; empty: the newest one of Dir for each node
	Dir      string   // of bundles and images
	From     []string // further images and bundles that nodes may run
	Force    []string // hosts or names of nodes that may be degraded
	Servers  []string // hosts that are asked to drain; the servers among Hosts are, too
	Drain    bool
	Again    bool // take a bundle that a node has rolled back before
	Prefetch bool // write all nodes before the first one reboots
	Firmware bool // of one node: upgrade it too, once the system is committed
	Login    remote.Options
	Cache    *blockcache.Cache
	Keys     bundle.Keys                // public keys of this laptop, that a node without any may be given
	Ask      func(question string) bool // nil: nobody is there, and the answer is no
	Out      io.Writer                  // gets a line for each thing that happens
	Show     Show
	Pause    time.Duration // between logins; default 5 s
	Limit    time.Duration // for a node to commit or go back; default its own deadline and some time to boot
}

type run struct {
	Options
	shelf   *shelf
	nodes   []*node
	cluster cluster
}

// Run upgrades all nodes. The error of a node that rolled back is of the kind Unhealthy.
func Run(ctx context.Context, o Options) error {
	if o.Pause == 0 {
		o.Pause = triesPause
	}
	o.Out = terminal.NewWriter(o.Out)
	if o.Firmware && len(o.Hosts) != 1 {
		return fault.New(fault.Usage, "name one node", "firmware=yes upgrades one node at a time: if one does not come back, its card has to come out")
	}
	r := &run{Options: o}
	var err error
	if r.shelf, err = openShelf(o.Bundle, o.Dir, o.From); err != nil {
		return err
	}
	defer r.shelf.close()
	defer func() {
		for _, n := range r.nodes {
			n.close()
		}
	}()
	if err := r.connect(ctx); err != nil {
		return r.untouched(err)
	}
	if err := r.check(ctx); err != nil {
		return r.untouched(err)
	}
	steps, err := r.plan(ctx)
	if err != nil {
		return err
	}
	if o.Prefetch && len(r.nodes) > 1 {
		if err := r.prefetch(ctx, steps); err != nil {
			return err
		}
	}
	for i, s := range steps {
		if err := r.step(ctx, s); err != nil {
			return r.stopped(err, steps, i)
		}
	}
	if o.Firmware {
		return r.firmware(ctx, r.nodes[0])
	}
	return nil
}

func (r *run) say(format string, a ...any) {
	fmt.Fprintln(r.Out, fmt.Sprintf(format, a...))
}

// untouched adds to the error about one of several nodes that no node was changed.
func (r *run) untouched(err error) error {
	if len(r.Hosts) < 2 {
		return err
	}
	return fault.Wrap(err, fault.Internal, "", "nothing was written to any node")
}

// connect logs in on all nodes.
func (r *run) connect(ctx context.Context) error {
	seen := map[string]string{}
	for _, host := range r.Hosts {
		c, err := remote.Dial(ctx, host, r.Login)
		if err != nil {
			return err
		}
		r.nodes = append(r.nodes, &node{host: host, conn: c})
		id := string(c.HostKey.Marshal())
		if other, twice := seen[id]; twice {
			return fault.New(fault.Usage, "name each node once", "%s and %s are the same node", other, host)
		}
		seen[id] = host
	}
	return nil
}

// check has every node judge its bundle; nothing is written.
func (r *run) check(ctx context.Context) error {
	for _, n := range r.nodes {
		st, err := status(ctx, n.conn)
		if err != nil {
			return err
		}
		if err := r.underTrial(ctx, n, st); err != nil {
			return err
		}
		if err := r.judged(ctx, n); err != nil {
			return fault.Wrap(err, fault.Internal, "", "%s", n.name())
		}
		n.state = State{Host: n.host, Name: n.hello.Hostname, Role: n.hello.Role, Version: n.hello.Version,
			Current: n.done.Result == dialogue.Same, Bad: why(st)}
		r.say("%s: %s, a %s, runs %s and would get %s", n.name(), n.hello.Hostname, n.hello.Role, n.hello.Version, n.done.Version)
	}
	return nil
}

// why reports why a node is degraded; empty if it is not. One that waits for something outside,
// such as a server, is not.
func why(s nodeStatus) string {
	switch {
	case s.Degraded:
		return "its data partition is not in use"
	case s.Health == "bad":
		return strings.Join(s.Why, ", ")
	}
	return ""
}

// judged runs the dialogue up to the first write. A node without keys may be given ours before.
func (r *run) judged(ctx context.Context, n *node) error {
	err := r.talk(ctx, n, dialogue.StepWrite, nil)
	if err != errNoKey {
		return err
	}
	if err := r.enrol(ctx, n); err != nil {
		return err
	}
	return r.talk(ctx, n, dialogue.StepWrite, nil)
}

// plan puts the nodes in order.
func (r *run) plan(ctx context.Context) ([]Step, error) {
	var states []State
	r.cluster = cluster{hosts: r.Servers, login: r.Login}
	for _, n := range r.nodes {
		states = append(states, n.state)
		if n.hello.Role == "server" {
			r.cluster.hosts = append(r.cluster.hosts, n.host)
		}
	}
	var members []Member
	if r.Drain && len(r.cluster.hosts) > 0 {
		var err error
		if members, err = r.cluster.members(ctx); err != nil {
			if len(r.nodes) > 1 || len(r.Servers) > 0 {
				return nil, fault.Wrap(err, fault.Unhealthy, "", "nothing was done")
			}
			r.say("the cluster cannot be asked: %v", err) // a server alone is not drained anyway
		}
	}
	w := Wishes{Force: r.Force, Drain: r.Drain}
	if len(states) == 1 && states[0].Bad != "" { // its upgrade may be what repairs it
		r.say("%s is degraded: %s", states[0].Host, states[0].Bad)
		w.Force = append(w.Force, states[0].Host)
	}
	return Plan(states, members, w)
}

// node finds the node of a step.
func (r *run) node(s Step) *node {
	for _, n := range r.nodes {
		if n.host == s.Host {
			return n
		}
	}
	panic("upgrade: a step of no node")
}

// prefetch writes the slots of all nodes.
func (r *run) prefetch(ctx context.Context, steps []Step) error {
	for _, s := range steps {
		if s.Skip != "" {
			continue
		}
		n := r.node(s)
		if err := r.talk(ctx, n, dialogue.StepArm, nil); err != nil {
			return fault.Wrap(err, fault.Internal, "", "%s, while the slots were written; every node runs what it ran", n.name())
		}
		r.say("%s: %s is written; the system before %s, which it could go back to, is gone", n.name(), n.done.Version, n.hello.Version)
	}
	return nil
}

// step upgrades one node.
func (r *run) step(ctx context.Context, s Step) (err error) {
	n := r.node(s)
	if s.Note != "" {
		r.say("%s: %s", n.name(), s.Note)
	}
	if s.Skip != "" {
		r.say("%s: %s", n.name(), s.Skip)
		return nil
	}
	name := strings.ToLower(n.hello.Hostname)
	drained := false
	defer func() {
		if drained && s.Uncordon {
			err = r.uncordon(ctx, n, name, err)
		}
	}()
	err = r.talk(ctx, n, "", func(step string) error {
		if step != dialogue.StepArm || !s.Drain || drained {
			return nil
		}
		drained = true // even if it fails half way
		r.say("%s: moving its pods away", n.name())
		return r.cluster.drain(ctx, n.host, name)
	})
	if err != nil {
		return err
	}
	r.summary(n)
	if n.done.Result == dialogue.Same {
		return nil
	}
	r.say("%s: reboots into %s, which has %d s for its commit", n.name(), n.done.Version, n.done.Seconds)
	return r.wait(ctx, n)
}

// uncordon lets pods onto the node again, whatever ended the step.
func (r *run) uncordon(ctx context.Context, n *node, name string, err error) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), drainLimit*time.Second)
	defer stop()
	switch e := r.cluster.uncordon(ctx, n.host, name); {
	case e != nil && err != nil:
		return fmt.Errorf("%w; %w", err, e)
	case e != nil:
		return e
	}
	r.say("%s: takes pods again", n.name())
	return err
}

// summary reports where the bytes came from.
func (r *run) summary(n *node) {
	d := n.done
	if d.Result != dialogue.Armed {
		return
	}
	if d.Slot == "" {
		r.say("%s: %s is written to slot %s", n.name(), d.Version, map[string]string{"a": "b", "b": "a"}[n.hello.Slot])
		return
	}
	r.say("%s: %s is written to slot %s: %d KB sent whole, %d KB as a delta, %d KB copied from the running slot, %d KB were there", n.name(), d.Version, d.Slot,
		d.Fetched/1000, d.Delta/1000, d.Copied/1000, d.Kept/1000)
}

// stopped reports the state of all nodes when step i failed.
func (r *run) stopped(err error, steps []Step, i int) error {
	if len(steps) < 2 {
		return err
	}
	list := func(what string, some []Step) string {
		var names []string
		for _, s := range some {
			if s.Skip == "" {
				names = append(names, s.Host)
			}
		}
		if len(names) == 0 {
			return ""
		}
		return "; " + what + ": " + strings.Join(names, ", ")
	}
	return fault.Wrap(err, fault.Internal, "", "stopped at %s%s%s", steps[i].Host, list("upgraded", steps[:i]), list("not touched", steps[i+1:]))
}

// keyID is how people know a public key.
func keyID(k minisign.PublicKey) string { return fmt.Sprintf("%016X", k.ID()) }

// hexSum reads a sum of a message.
func hexSum(s string) (sum [32]byte) {
	if b, err := hex.DecodeString(s); err == nil {
		copy(sum[:], b)
	}
	return sum
}
