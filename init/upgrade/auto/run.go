package auto

import (
	"context"
	"errors"
	"fmt"
	"time"

	"imgbuild/init/contract/channel"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/upgrade/ledger"
	"imgbuild/init/upgrade/turns"
)

// Memory is what a node keeps between looks.
type Memory struct {
	Issued   int64            `json:"issued,omitempty"`   // of the newest channel that was seen
	Wants    string           `json:"wants,omitempty"`    // version that was reported to the server
	Holding  *Holding         `json:"holding,omitempty"`  // a turn that was asked for, and whose end was not reported
	Reported map[string]int64 `json:"reported,omitempty"` // by version, when the last rollback ended that was reported
	Decision Decision         `json:"decision"`
	At       time.Time        `json:"at,omitzero"` // of the decision
	Failed   string           `json:"failed,omitempty"`
}

// Holding is a turn.
type Holding struct {
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Settles bool      `json:"settles,omitempty"` // the rollback was reported, and whom to blame was not
}

// Node is what a look needs of a node.
type Node struct {
	Facts   func(ctx context.Context) (Facts, error)            // without what is below
	Channel func(ctx context.Context) (*channel.Channel, error) // signed by a trusted key
	Family  string
	Arch    string
	Step    func(ctx context.Context, k3s string) *k3sstep.Change      // nil: no k3s, or the one that runs
	Send    func(context.Context, turns.Request) (turns.Answer, error) // nil: no turns are taken
	// Upgrade installs a system and orders the reboot; renew is called from time to time until
	// then, and an error of it ends the upgrade. After an error the running system is as it was.
	Upgrade func(ctx context.Context, s channel.System, renew func() error) error
	Load    func() (Memory, error)
	Save    func(Memory) error
	Now     func() time.Time
}

// renewEvery is how often a node that writes renews its turn.
const renewEvery = 2 * time.Minute

// Look looks once whether the node upgrades itself, and does so. The decision is kept.
func (n Node) Look(ctx context.Context) (Decision, error) {
	f, err := n.Facts(ctx)
	if err != nil {
		return Decision{}, err
	}
	m, err := n.Load()
	if err != nil {
		return Decision{}, err
	}
	n.channel(ctx, &f, &m)
	f.Away = n.report(ctx, &f, &m)
	d := f.Decide()
	if d.Do == Ask {
		d = n.ask(ctx, &f, &m)
	}
	if soon := f.Now.Add(turnPause); f.Auto && (f.Problem != nil || f.Away != nil) && (d.Next.IsZero() || soon.Before(d.Next)) {
		d.Next = soon // what was lost is asked for again before others stop waiting for this node
	}
	m.Decision, m.At = d, n.Now()
	if err := n.Save(m); err != nil || d.Do != Upgrade {
		return d, err
	}
	renewed := n.Now()
	uerr := n.Upgrade(ctx, *f.Channel, func() error {
		if !f.Locked || n.Now().Sub(renewed) < renewEvery {
			return nil
		}
		renewed = n.Now()
		a, err := n.Send(ctx, n.request(turns.Renew, f, f.Channel.Version))
		if err == nil && !a.Granted {
			return fault.New(fault.Interrupted, "it asks again", "the server has ended this node's turn: %s", a.Wait)
		}
		return nil // one that is away cannot be asked; the turn lasts
	})
	if m.Failed = ""; uerr == nil {
		return d, n.Save(m)
	}
	m.Failed = uerr.Error()
	// Others must not wait for a turn that has come to nothing.
	if again, err := n.Facts(ctx); err == nil {
		again.Channel = f.Channel
		_ = n.report(ctx, &again, &m) // else the next look does
	}
	return d, errors.Join(uerr, n.Save(m))
}

// channel adds what the channel has for this node.
func (n Node) channel(ctx context.Context, f *Facts, m *Memory) {
	if !f.Auto {
		return
	}
	c, err := n.Channel(ctx)
	if err == nil && c.Issued < m.Issued {
		err = fault.New(fault.Verify, "", "the channel is from %s, and a newer one was seen before", time.Unix(c.Issued, 0).UTC().Format(time.DateTime))
	}
	if err != nil {
		f.Problem = err
		return
	}
	m.Issued, f.Issued = c.Issued, time.Unix(c.Issued, 0)
	if f.Channel = c.For(n.Family, n.Arch, f.Role); f.Channel != nil && f.Channel.K3s != "" {
		f.Step = n.Step(ctx, f.Channel.K3s)
	}
}

func (n Node) request(do string, f Facts, version string) turns.Request {
	return turns.Request{Do: do, Role: f.Role, Running: f.Version, Version: version, Deadline: f.Deadline}
}

// report reports what has become of a turn and of attempts by hand, and what the node wants, and
// learns which versions are stopped. The error is why the server could not be
// asked.
func (n Node) report(ctx context.Context, f *Facts, m *Memory) error {
	if !f.Locked {
		m.Holding = nil
		return nil
	}
	if n.Send == nil {
		return errNoCertificate
	}
	if q, due, over := n.outcome(*f, *m); due {
		a, err := n.Send(ctx, q)
		if err != nil {
			return err
		}
		f.Stopped = a.Stopped
		m.note(q, over)
		if err := n.Save(*m); err != nil {
			return err
		}
	}
	return n.look(ctx, f, m)
}

// look reports to the server what the node wants, and learns which versions are stopped.
func (n Node) look(ctx context.Context, f *Facts, m *Memory) error {
	if n.Send == nil {
		return errNoCertificate
	}
	switch d, wanted := f.Wanted(); {
	case wanted:
		m.Wants = f.Channel.Version
	case d.Do != Wait || m.Wants == f.Version && !f.Trial: // what only waits is wanted all the same: nobody overtakes it
		m.Wants = ""
	}
	q := n.request(turns.Look, *f, "")
	q.Wants = m.Wants
	a, err := n.Send(ctx, q)
	if err == nil {
		f.Stopped = a.Stopped
	}
	return err
}

var errNoCertificate = errors.New("this node has no certificate of the cluster yet")

// note remembers that a report has arrived.
func (m *Memory) note(q turns.Request, over bool) {
	if q.Do == turns.RolledBack && q.Blame != turns.Open {
		reported := map[string]int64{}
		for version, at := range m.Reported {
			reported[version] = at
		}
		reported[q.Version] = q.At
		if len(reported) > 64 { // what is old is not asked for any more
			reported = map[string]int64{q.Version: q.At}
		}
		m.Reported = reported
	}
	switch {
	case over:
		m.Holding = nil
	case m.Holding != nil && q.Blame == turns.Open:
		h := *m.Holding
		h.Settles = true
		m.Holding = &h
	}
}

// outcome is the report that is due: of the turn that the node has, else of a rollback of the
// channel's version by hand. over: the turn ends with it.
func (n Node) outcome(f Facts, m Memory) (q turns.Request, due, over bool) {
	h := m.Holding
	if h == nil {
		if f.Channel == nil {
			return q, false, false
		}
		a := last(f.Ledger, f.Channel.Version, time.Time{})
		if a == nil || a.Result != ledger.RolledBack || a.Blame == ledger.Open || m.Reported[a.Version] >= a.Ended.Unix() {
			return q, false, false
		}
		return n.rolledBack(f, a), true, false
	}
	if f.Booting || f.Trial || f.Armed {
		return q, false, false // it is not over yet
	}
	if f.Version == h.Version {
		return n.request(turns.Committed, f, h.Version), true, true
	}
	if a := last(f.Ledger, h.Version, h.Since); a != nil && a.Result == ledger.RolledBack {
		q = n.rolledBack(f, a)
		return q, q.Blame != turns.Open || !h.Settles, q.Blame != turns.Open
	}
	return n.request(turns.Released, f, h.Version), true, true
}

func (n Node) rolledBack(f Facts, a *ledger.Attempt) turns.Request {
	q := n.request(turns.RolledBack, f, a.Version)
	q.Blame, q.Reason, q.At = string(a.Blame), a.Reason, a.Ended.Unix()
	return q
}

// last is the newest attempt of a version that has ended and was armed since a moment.
func last(l ledger.Ledger, version string, since time.Time) *ledger.Attempt {
	for i := len(l.History) - 1; i >= 0; i-- {
		if a := &l.History[i]; a.Version == version && !a.Armed.Before(since.Add(-time.Minute)) {
			return a
		}
	}
	return nil
}

// ask asks for the turn. That it was asked for is kept first: a node that loses its power right
// after the answer knows that it has something to report.
func (n Node) ask(ctx context.Context, f *Facts, m *Memory) Decision {
	m.Holding = &Holding{Version: f.Channel.Version, Since: n.Now()}
	if err := n.Save(*m); err != nil {
		m.Holding = nil
		return Decision{Do: Wait, Why: fmt.Sprintf("what is under way cannot be kept: %v", err), Version: f.Channel.Version}
	}
	a, err := n.Send(ctx, n.request(turns.Take, *f, f.Channel.Version))
	if err != nil {
		f.Away = err // the turn may have been given: the next look reports
		return f.Decide()
	}
	if f.Turn = &a; !a.Granted {
		m.Holding = nil
	}
	if a.Stopped != nil {
		f.Stopped = a.Stopped
	}
	return f.Decide()
}
