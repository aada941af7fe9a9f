package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"imgbuild/builder/bundle"
	"imgbuild/builder/remote"
	format "imgbuild/init/contract/bundle"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
)

// node is one node of a run.
type node struct {
	host     string // as on the command line
	conn     *remote.Node
	hello    dialogue.Hello
	offer    *bundle.Offer
	state    State
	reported bool           // that its slot is not known here
	done     *dialogue.Done // of the last dialogue
	command  string         // of the next dialogue; empty: serveCommand
}

func (n *node) close() {
	if n.conn != nil {
		n.conn.Close()
	}
}

// name is what messages call it.
func (n *node) name() string { return n.conn.Host }

// serveCommand has a node ask for what it needs.
const serveCommand = "sudo shelf upgrade --serve"

// unsaid is how many seconds a trial may take where the node does not report it: the longest of a
// role.
const unsaid = 600

// Tries to go on with a node whose connection broke, and the pause before each.
const (
	tries      = 6
	triesPause = 5 * time.Second
)

// talk runs the dialogue up to a step, which is not allowed; "" = to the end. ask may be nil; it is
// called before each step that is allowed. A connection that breaks is opened again: what the node
// has is kept.
func (r *run) talk(ctx context.Context, n *node, until string, ask func(step string) error) error {
	for failed := 0; ; {
		sent, err := r.once(ctx, n, until, ask)
		if err == nil || fault.Code(err) != int(fault.Network) || ctx.Err() != nil {
			return err
		}
		if failed++; sent > 0 {
			failed = 1
		}
		if failed == tries {
			return err
		}
		r.say("%s: %v; trying again", n.name(), err)
		if err := r.again(ctx, n); err != nil && failed == tries-1 {
			return err
		}
	}
}

// again waits a moment and logs in once more, on the machine that it was. One that lost its power
// is waited for until its boot is over.
func (r *run) again(ctx context.Context, n *node) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(r.Pause):
	}
	c, err := remote.Dial(ctx, n.host, pinned(r.Login, n.conn))
	if err != nil {
		return err
	}
	n.conn.Close()
	n.conn = c
	limit := time.Now().Add(booting)
	for {
		st, err := status(ctx, c)
		busy := fault.Code(err) == int(fault.Unhealthy) || err == nil && st.Health == "starting"
		if !busy || time.Now().After(limit) {
			return nil // what is wrong shows in the dialogue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(r.Pause):
		}
	}
}

// pinned are login options that believe nobody but the machine that was logged in to. A node that
// has just booted is busy, and answers late.
func pinned(o remote.Options, n *remote.Node) remote.Options {
	o.HostKey, o.Say, o.Timeout = n.HostKey, nil, max(o.Timeout, 2*time.Minute)
	return o
}

// once runs one dialogue and returns how many bytes were sent.
func (r *run) once(ctx context.Context, n *node, until string, ask func(step string) error) (sent int64, err error) {
	d := &serving{r: r, n: n, ctx: ctx}
	defer d.close()
	stdin, toNode := io.Pipe()
	fromNode, stdout := io.Pipe()
	var stderr strings.Builder
	type end struct {
		code int
		err  error
	}
	ended := make(chan end, 1)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		command := cmp.Or(n.command, serveCommand)
		if r.Again && n.command == "" {
			command += " force=yes"
		}
		code, err := n.conn.Run(ctx, command, stdin, stdout, &limited{w: &stderr, left: 16 << 10})
		stdout.Close()
		stdin.CloseWithError(io.ErrClosedPipe)
		ended <- end{code, err}
	}()
	var refused error // why a step before until was not allowed
	var rebooting bool
	l := dialogue.Laptop{Hello: d.hello, Range: d.part, File: d.file, Receive: d.report, Ask: func(step string) error {
		if step == until {
			return fault.New(fault.Interrupted, "", "only up to here")
		}
		if ask != nil {
			refused = ask(step)
		}
		rebooting = refused == nil && step == dialogue.StepReboot
		return refused
	}}
	done, err := l.Serve(ctx, fromNode, toNode)
	toNode.Close()
	if err != nil && fault.Code(err) != int(fault.Network) {
		// Said by the node, which ends, or by us, and then the node is hung up on.
		stop()
	}
	fromNode.Close()
	e := <-ended
	if rebooting && fault.Code(err) == int(fault.Network) {
		// A node that reboots may close the connection before it has reported that.
		m := n.offer.Manifest
		done, err = &dialogue.Done{Result: dialogue.Armed, Bundle: m.Slot.Manifest, Version: m.Version, Reboot: true, Seconds: unsaid}, nil
	}
	if err != nil {
		if what, fix := fault.FromReport(stderr.String()); e.err == nil && e.code > 0 && what != "" && errors.Is(err, io.ErrUnexpectedEOF) {
			err = fault.New(fault.Internal, cmp.Or(fix, "upgrade it once by writing its card again, if its shelf does not know this"), "%s: %s", n.name(), what)
		}
		return d.sent, err
	}
	n.done = done
	return d.sent, refused
}

// limited keeps the beginning of what is written.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	k := min(len(p), l.left)
	l.left -= k
	_, err := l.w.Write(p[:k])
	return len(p), err
}

// serving answers one dialogue.
type serving struct {
	r      *run
	n      *node
	ctx    context.Context
	source format.Source
	delta  *os.File
	sent   int64
	over   string // the phase that was shown as done
}

func (d *serving) close() {
	if d.delta != nil {
		d.delta.Close()
	}
}

// hello chooses the bundle and looks at the keys.
func (d *serving) hello(h dialogue.Hello) (err error) {
	d.n.hello = h
	if d.n.offer == nil {
		if d.n.offer, err = d.r.shelf.choose(h); err != nil {
			return err
		}
	}
	return d.r.trusted(d.n)
}

// open finds or makes the delta, once the node asks for the first bytes. Firmware has none.
func (d *serving) open() error {
	o := d.n.offer
	base := hexSum(d.n.hello.Running)
	if d.n.command == "" && o.Header.Delta(base) == nil && base != o.Manifest.SlotSum() {
		d.delta = d.r.delta(d.ctx, d.n, base)
	}
	var err error
	d.source, err = o.Source(base, d.delta)
	return err
}

func (d *serving) part(ctx context.Context, off, size int64) (io.ReadCloser, error) {
	if d.source == nil {
		if err := d.open(); err != nil {
			return nil, err
		}
	}
	body, err := d.source.Range(ctx, off, size)
	if err != nil {
		return nil, err
	}
	return &counted{body, &d.sent}, nil
}

// counted adds up what is read.
type counted struct {
	io.ReadCloser
	n *int64
}

func (c *counted) Read(p []byte) (int, error) {
	k, err := c.ReadCloser.Read(p)
	*c.n += int64(k)
	return k, err
}

// file returns the k3s of a system that does not hold one.
func (d *serving) file(_ context.Context, name string) (io.ReadCloser, int64, error) {
	if name != dialogue.K3sFile {
		return nil, 0, fault.New(fault.Usage, "", "there is no file %q", name)
	}
	f, err := d.r.k3s(d.n.offer)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return &counted{f, &d.sent}, info.Size(), nil
}

func (d *serving) report(m dialogue.Message) {
	switch {
	case m.Note != "":
		d.r.say("%s: %s", d.n.name(), m.Note)
	case m.Progress != nil:
		d.progress(*m.Progress)
	}
}

// progress shows how far a phase is. Its time ends with it, and not when the node has rebooted.
func (d *serving) progress(p dialogue.Progress) {
	if p.Phase == d.over {
		return
	}
	d.over = ""
	d.r.Show.Progress(fmt.Sprintf("%s: %s", d.n.name(), p.Phase), p.Done, p.Total)
	if p.Done >= p.Total {
		d.over = p.Phase
		d.r.Show.Done()
	}
}

// delta finds the delta from the slot that a node runs; nil where the laptop does not know it: the
// node then copies what both slots have and fetches the rest.
func (r *run) delta(ctx context.Context, n *node, base [32]byte) *os.File {
	var open []*bundle.Slot
	defer func() {
		for _, s := range open {
			s.Close()
		}
	}()
	f, err := bundle.DeltaOf(ctx, r.Cache, base, n.offer.Manifest.SlotSum(), func() (old, new *bundle.Slot, err error) {
		if old, err = r.shelf.old(base); err != nil {
			return nil, nil, err
		}
		open = append(open, old)
		if new, err = bundle.OpenFile(n.offer.Name); err != nil {
			return nil, nil, err
		}
		open = append(open, new)
		r.say("%s: making the delta from %s to %s", n.name(), n.hello.Version, n.offer.Manifest.Version)
		return old, new, nil
	})
	switch {
	case err == nil:
		return f
	case errors.Is(err, errUnknown) && n.reported:
	case errors.Is(err, errUnknown):
		n.reported = true
		r.say("%s: runs %s, which is not here; from=FILE names its image or bundle for a smaller transfer", n.name(), n.hello.Version)
	default:
		r.say("%s: no delta: %v", n.name(), err)
	}
	return nil
}

// k3s finds a binary next to the bundle, else in the cache.
func (r *run) k3s(o *bundle.Offer) (*os.File, error) {
	f, err := k3sFile(o)
	if err == nil || o.Manifest.K3s == nil {
		return f, err
	}
	if f, ok := r.Cache.Blob(hexSum(o.Manifest.K3s.SHA256)); ok {
		return f, nil
	}
	return nil, err
}
