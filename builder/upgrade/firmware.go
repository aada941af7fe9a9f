package upgrade

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"imgbuild/builder/remote"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
)

// firmwareCommand has a node ask for the firmware of its bundle.
const firmwareCommand = "sudo shelf firmware upgrade --serve"

// firmware upgrades the firmware of a node that has committed its bundle, and waits until it has
// booted with it.
func (r *run) firmware(ctx context.Context, n *node) error {
	c, err := remote.Dial(ctx, n.host, pinned(r.Login, n.conn))
	if err != nil {
		return err
	}
	n.conn.Close()
	n.conn = c
	if err := r.talkTo(ctx, n, firmwareCommand); err != nil {
		return fault.Wrap(err, fault.Internal, "", "the firmware of %s", n.name())
	}
	if n.done.Result == dialogue.Same {
		r.say("%s: the firmware of %s is there already", n.name(), n.done.Version)
		return nil
	}
	want := n.done.Slot
	r.say("%s: reboots with the firmware of %s; the one before stays in the other place", n.name(), n.done.Version)
	limit := booting
	if r.Limit > 0 {
		limit = r.Limit
	}
	whole := ctx
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	var last error
	for {
		select {
		case <-ctx.Done():
			if whole.Err() != nil {
				return fault.Wrap(context.Cause(whole), fault.Interrupted, "the node goes on by itself", "%s was not waited for", n.name())
			}
			return fault.New(fault.Unhealthy, "take its card out and run imgbuild firmware DEVICE, which makes the old firmware boot again", "%s did not come back with the new firmware within %v: %w", n.name(), limit, cmp.Or(last, errSilent))
		case <-time.After(r.Pause):
		}
		up, err := r.booted(ctx, n, want)
		if up {
			r.say("%s: boots with the firmware of %s", n.name(), n.offer.Manifest.Version)
			return nil
		}
		if err != nil {
			last = err
		}
	}
}

// booted logs in once and reports whether the node has booted from a place of BOOT.
func (r *run) booted(ctx context.Context, n *node, want string) (bool, error) {
	c, err := remote.Dial(ctx, n.host, pinned(r.Login, n.conn))
	if err != nil {
		return false, err
	}
	defer c.Close()
	st, err := status(ctx, c)
	if err != nil || st.Health == "starting" {
		return false, err
	}
	out, err := c.Output(ctx, "sudo shelf firmware -o json", nil)
	if err != nil {
		return false, err
	}
	var is struct {
		Boot  string `json:"boot"`
		Waits bool   `json:"waits"`
	}
	if err := json.Unmarshal(out, &is); err != nil {
		return false, fault.Wrap(err, fault.Network, "", "%s returns no firmware", n.name())
	}
	return is.Boot == want && !is.Waits, nil
}

// talkTo runs one dialogue of another command than the upgrade of the slot. It is not repeated:
// nothing was written before the last byte has arrived.
func (r *run) talkTo(ctx context.Context, n *node, command string) error {
	n.command = command
	defer func() { n.command = "" }()
	_, err := r.once(ctx, n, "", nil)
	return err
}
