package upgrade

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"imgbuild/builder/remote"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// Beyond the time that a trial has, a node needs some for booting: three attempts and the way back
// on a slow board.
const booting = 15 * time.Minute

// attempt is an entry of `shelf history -o json`, as far as it is read here.
type attempt struct {
	Bundle  string `json:"bundle"`
	Version string `json:"version"`
	Result  string `json:"result"` // committed, rolled back, withdrawn; empty while it is under way
	Reason  string `json:"reason"`
	Blame   string `json:"blame"`
	Ended   time.Time
}

// history is the answer of `shelf history -o json`.
type history struct {
	Attempt *attempt  `json:"attempt"`
	History []attempt `json:"history"` // oldest first
}

// outcome finds how the attempt with a bundle ended; nil while it is under way.
func (h history) outcome(bundle string) *attempt {
	if h.Attempt != nil && h.Attempt.Bundle == bundle {
		return nil
	}
	if n := len(h.History); n > 0 && h.History[n-1].Bundle == bundle && h.History[n-1].Result != "" {
		return &h.History[n-1]
	}
	return nil
}

// ask returns the history of a node.
func ask(ctx context.Context, n *remote.Node) (h history, err error) {
	out, err := n.Output(ctx, "sudo shelf history -o json", nil)
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(out, &h); err != nil {
		return h, fault.Wrap(err, fault.Network, "", "%s returns no history", n.Host)
	}
	return h, nil
}

// errSilent is why a node was not waited for any longer that answers, and has not come to an end.
var errSilent = errors.New("it answers, and is still where it was")

// wait waits through the reboot until the node has committed the new system or gone back. It logs
// in again and again; a node that cannot be reached is waited for until the time is over.
func (r *run) wait(ctx context.Context, n *node) error {
	limit := time.Duration(n.done.Seconds)*time.Second + booting
	if r.Limit > 0 {
		limit = r.Limit
	}
	whole := ctx
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	up := false
	var last error
	for {
		o, trial, err := r.look(ctx, n)
		switch {
		case o != nil:
			return r.ended(n, o)
		case err != nil:
			last = err
		case !up && trial:
			up = true
			r.say("%s: %s is up, under trial", n.name(), n.done.Version)
		}
		select {
		case <-ctx.Done():
			if whole.Err() != nil {
				return fault.Wrap(context.Cause(whole), fault.Interrupted, "the node goes on by itself", "%s was not waited for", n.name())
			}
			return fault.New(fault.Unhealthy, "look at its console, or at BOOT/report.txt on its card", "%s neither committed %s nor went back within %v: %w", n.name(), n.done.Version, limit, cmp.Or(last, errSilent))
		case <-time.After(r.Pause):
		}
	}
}

// underTrial waits until a node has ended the trial that it is in, which an earlier run may have
// begun. One that it rolls back is reported, and the node is upgraded from where it then is.
func (r *run) underTrial(ctx context.Context, n *node, s nodeStatus) error {
	if s.Upgrade.State != "trial" {
		return nil
	}
	r.say("%s: %s is under trial there; waiting for its end", n.name(), s.Upgrade.Version)
	n.hello.Version = s.Upgrade.From
	n.done = &dialogue.Done{Bundle: s.Upgrade.Bundle, Version: s.Upgrade.Version, Seconds: int64(max(s.Upgrade.Left, unsaid))}
	err := r.wait(ctx, n)
	var back rolledBack
	if errors.As(err, &back) {
		r.say("%v", err)
		return nil
	}
	return err
}

// rolledBack marks the error of a node that went back.
type rolledBack struct{ error }

func (e rolledBack) Unwrap() error { return e.error }

// look logs in once and asks how the attempt ended, or whether its system is under trial now. The
// version is no sign of that: two bundles may have the same one.
func (r *run) look(ctx context.Context, n *node) (o *attempt, trial bool, err error) {
	c, err := remote.Dial(ctx, n.host, pinned(r.Login, n.conn))
	if err != nil {
		return nil, false, err
	}
	h, err := ask(ctx, c)
	if err != nil {
		c.Close()
		return nil, false, err
	}
	n.conn.Close()
	n.conn = c
	st, err := status(ctx, c)
	if err != nil {
		return nil, false, err
	}
	return h.outcome(n.done.Bundle), st.Upgrade.State == "trial" && st.Upgrade.Bundle == n.done.Bundle, nil
}

// ended reports how it ended.
func (r *run) ended(n *node, o *attempt) error {
	switch o.Result {
	case "committed":
		r.say("%s: %s is committed", n.name(), terminal.Text(n.done.Version))
		return nil
	case "rolled back":
		fix := "build a better one; the node runs " + n.hello.Version
		if o.Blame == "external" {
			fix = "repair what is outside and run it again; the node runs " + n.hello.Version
		}
		return rolledBack{fault.New(fault.Unhealthy, fix, "%s rolled back %s: %s", n.name(), n.done.Version, o.Reason)}
	}
	return fault.New(fault.Unhealthy, "run it again", "%s: %s was taken back before it was tried", n.name(), n.done.Version)
}

// nodeStatus is the part of `shelf status -o json` that is read here.
type nodeStatus struct {
	Hostname string   `json:"hostname"`
	Role     string   `json:"role"`
	Version  string   `json:"version"`
	Health   string   `json:"health"` // good, starting, waiting, bad
	Why      []string `json:"why"`
	Degraded bool     `json:"degraded"`
	Upgrade  struct { // the last one
		State   string  `json:"state"` // armed, trial, committed, rolled back, withdrawn
		Bundle  string  `json:"bundle"`
		Version string  `json:"version"`
		From    string  `json:"from"`
		Left    float64 `json:"left"` // seconds until a trial is given up
	} `json:"upgrade"`
}

// status asks a node how it is; an unhealthy one answers too. One whose init program is too busy to
// answer is of kind Unhealthy.
func status(ctx context.Context, n *remote.Node) (s nodeStatus, err error) {
	out, err := n.Output(ctx, "sudo shelf status -o json", nil)
	if err != nil && (fault.Code(err) != int(fault.Unhealthy) || len(out) == 0) {
		return s, err
	}
	if err := json.Unmarshal(out, &s); err != nil {
		return s, fault.Wrap(err, fault.Network, "", "%s returns no status", n.Host)
	}
	return s, nil
}
