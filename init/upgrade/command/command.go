// Package command is what `shelf upgrade` and its relatives do: it gathers what an upgrade needs on
// a node, and runs it in this process, with little memory and behind everybody else's reads.
package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/k3s"
	"imgbuild/init/status/control"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/keys"
	"imgbuild/init/upgrade/ledger"
	"imgbuild/init/upgrade/medium"
	"imgbuild/init/upgrade/source"

	"golang.org/x/sys/unix"
)

// Options are the orders of a user.
type Options struct {
	Config   *config.Config // the node's, merged
	Force    bool           // take what was rolled back here
	Keep     bool           // go on although nothing can bring a server's datastore back
	Arm      bool           // false: write only
	Reboot   bool           // false: the next boot tries it, whenever that is
	By       string         // source.FromPlan where a container is at the other end of Serve
	Expect   string         // sha256 of the slot's manifest that the bundle must have; empty: any
	Note     func(text string)
	Progress func(dialogue.Progress)
}

// place is where things are on a node.
type place struct {
	socket string // of PID 1
	lock   string // held while an upgrade is written, so that there is one at a time
	keys   string // that are trusted
	system string // files of the running slot
	store  string // of k3s
}

var here = place{socket: control.Socket, lock: "/run/shelf/upgrade.lock", keys: keys.Path, system: install.SystemDir, store: k3s.StoreDir}

// armLimit is how long PID 1 may take to arm: what has to be there before may have to be counted.
const armLimit = 2 * time.Minute

// Run upgrades this node from what name names. It is for root.
func Run(ctx context.Context, name string, o Options) (*dialogue.Done, error) {
	return run(ctx, here, nil, o, func(s source.Options) (source.Source, string, error) { return source.Open(ctx, name, s) })
}

// Serve upgrades this node from a laptop at the other end of in and out; see package dialogue. How
// it ended is in the dialogue as well.
func Serve(ctx context.Context, in io.Reader, out io.Writer, o Options) error {
	return serve(ctx, here, in, out, o)
}

func serve(ctx context.Context, p place, in io.Reader, out io.Writer, o Options) error {
	n := dialogue.NewNode(in, out)
	o.Arm, o.Reboot = true, true // the laptop orders it
	o.Note = func(text string) { _ = n.Say(dialogue.Message{Note: text}) }
	o.Progress = func(now dialogue.Progress) { _ = n.Say(dialogue.Message{Progress: &now}) }
	kind := cmp.Or(o.By, source.FromSSH)
	done, err := run(ctx, p, n, o, func(source.Options) (source.Source, string, error) { return source.SSH{Node: n}, kind, nil })
	if err != nil {
		_ = n.Say(dialogue.Message{Error: dialogue.ErrorOf(err)}) // the laptop may be gone
		return err
	}
	return n.Say(dialogue.Message{Done: done})
}

// run upgrades from the source that open opens. n is the laptop, or nil.
func run(ctx context.Context, p place, n *dialogue.Node, o Options, open func(source.Options) (source.Source, string, error)) (*dialogue.Done, error) {
	unlock, err := lock(p.lock)
	if err != nil {
		return nil, err
	}
	defer unlock()
	Frugal()
	var f install.Facts
	if err := control.Call(p.socket, control.Request{Verb: upgrades.Facts}, &f); err != nil {
		return nil, err
	}
	trusted, err := keys.Load(p.keys, o.Config.Upgrade.Keys)
	if err != nil {
		return nil, err
	}
	if err := f.Ready(); err != nil {
		return nil, err
	}
	target, err := medium.Open(f.Target)
	if err != nil {
		return nil, err
	}
	defer target.Close()
	src, kind, err := open(sources(o, f, trusted, target.Size()))
	if err != nil {
		return nil, err
	}
	defer src.Close()
	j := &install.Job{
		Source: src, Kind: kind, Keys: trusted, Facts: f, Target: target, Space: target.Size(), Refuse: []func(context.Context, *bundle.Manifest, install.Facts) error{o.expected, o.datastore}, Force: o.Force, Note: o.Note, Progress: o.Progress,
		Orders: p.orders(o), K3s: p.bringer(src, f, o.Config),
	}
	old, err := os.Open(f.Running)
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "", "the slot that runs")
	}
	defer old.Close()
	// A running slot whose manifest cannot be read is one more reason to upgrade: everything is
	// fetched then.
	if sum, err := install.RunningSum(p.system); err == nil {
		j.Old, j.OldSum = old, sum
	} else if o.Note != nil {
		o.Note("everything is fetched: " + err.Error())
	}
	switch {
	case n != nil:
		j.Ask = n.Ask
		if err := n.Say(dialogue.Message{Hello: hello(f, j, trusted)}); err != nil {
			return nil, err
		}
	case !o.Arm:
		j.Ask = stopAt(dialogue.StepArm)
	case !o.Reboot:
		j.Ask = stopAt(dialogue.StepReboot)
	}
	return j.Run(ctx)
}

// expected refuses another system than the channel names.
func (o Options) expected(_ context.Context, m *bundle.Manifest, _ install.Facts) error {
	if o.Expect == "" || m.Slot.Manifest == o.Expect {
		return nil
	}
	return fault.New(fault.Verify, "write the channel again with `imgbuild bundle channel=FILE`", "the bundle holds %s, and not what the channel names", m.Version)
}

// stopAt asks nobody, and stops at one step.
func stopAt(step string) func(context.Context, string) error {
	return func(_ context.Context, s string) error {
		if s == step {
			return fault.New(fault.Interrupted, "", "as asked")
		}
		return nil
	}
}

func hello(f install.Facts, j *install.Job, trusted bundle.Keys) *dialogue.Hello {
	h := &dialogue.Hello{
		Protocol: dialogue.Version, Hostname: f.Hostname, Family: f.Family, Arch: f.Arch, Role: f.Role, Version: f.Version, Slot: f.Slot,
		Encoders: codec.Encoders(), Floor: f.Ledger.Floor, Space: j.Space, K3s: f.K3s,
	}
	if j.Old != nil {
		h.Running = hexOf(j.OldSum)
	}
	for _, k := range trusted {
		h.Keys = append(h.Keys, k.String())
	}
	return h
}

// orders reach PID 1 through its socket.
func (p place) orders(o Options) install.Orders {
	call := func(verb string, limit time.Duration, args map[string]string) error {
		return control.Call(p.socket, control.Request{Verb: verb, Args: args, Limit: limit}, nil)
	}
	return install.Orders{
		Forget: func(slot string) error { return call(upgrades.Forget, armLimit, map[string]string{"slot": slot}) },
		Arm: func(a ledger.Attempt) error {
			a.Keep = o.Keep
			text, err := json.Marshal(a)
			if err != nil {
				return err
			}
			return call(upgrades.Arm, armLimit, map[string]string{"attempt": string(text)})
		},
		Reboot: func() error {
			return control.Call(p.socket, control.Request{Verb: "reboot", Reason: "upgrade"}, nil)
		},
	}
}

// bringer brings k3s from the upgrade's source or from the address in its manifest.
func (p place) bringer(src source.Source, f install.Facts, c *config.Config) func(context.Context, *manifest.K3s, string, func(done, total int64)) error {
	return func(ctx context.Context, k *manifest.K3s, arch string, progress func(done, total int64)) error {
		s := k3s.Stage{Dir: p.store, Running: f.K3s, Config: func() *config.Config { return c }, Say: progress}
		s.Open = func(ctx context.Context) (io.ReadCloser, int64, error) { return src.K3s(ctx, k, arch) }
		return s.Bring(ctx, k)
	}
}

// lock takes the lock at path, which ends with the process.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.Usage, "use sudo", "")
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fault.New(fault.Unhealthy, "wait for it", "another upgrade of this node is under way")
		}
		return nil, fault.Wrap(err, fault.Internal, "", "%s", path)
	}
	return func() { f.Close() }, nil
}
