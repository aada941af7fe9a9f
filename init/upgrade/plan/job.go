package plan

import (
	"context"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/status/control"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/source"
)

// Places in the container. The controller mounts the node's root at HostDir.
const (
	HostDir   = "/host"
	BundleDir = "/bundles"
)

// Job upgrades the node whose root is at Host, from one of the bundles in Bundles.
type Job struct {
	Host, Bundles string
	// Shelf starts a command of the node's own shelf, in the node's root. Its standard error is the
	// job's.
	Shelf func(ctx context.Context, words ...string) (Process, error)
	Pause time.Duration // between two looks at the node
	Say   func(text string)
	Show  func(dialogue.Progress) // may be nil
	// Rebooting is called when the node reboots. It returns only if the job is not to wait for the
	// end.
	Rebooting func()
}

// Process is a command that runs.
type Process struct {
	In   io.WriteCloser
	Out  io.ReadCloser
	Wait func() error
}

// Run returns nil when the node runs the bundle's system and has committed it, at once if it does
// already. It never returns nil before the reboot. Errors that are RolledBack do not go away by
// another run.
func (j Job) Run(ctx context.Context) error {
	said := ""
	for {
		f, b, err := j.look(ctx)
		if err != nil {
			return err
		}
		d := Decide(f)
		switch d.Do {
		case Over:
			j.Say(f.Version + " runs on this node and is committed")
			return nil
		case Failed:
			return d.Err
		case Wait:
			if d.Why != said {
				said = d.Why
				j.Say("waiting: " + d.Why)
			}
		case Install:
			done, err := j.install(ctx, b)
			if err != nil {
				return err
			}
			if done.Reboot {
				j.Say(done.Version + " is in slot " + done.Slot + "; the node reboots into it now. The container that starts then waits for the commit")
				j.Rebooting()
				return fault.New(fault.Interrupted, "", "the node reboots into %s", done.Version)
			}
		}
		select {
		case <-ctx.Done():
			return fault.Wrap(context.Cause(ctx), fault.Interrupted, "", "before %s was committed", f.Version)
		case <-time.After(j.Pause):
		}
	}
}

// look asks PID 1 about the node, and finds the bundle that is for it.
func (j Job) look(ctx context.Context) (Facts, *carried, error) {
	var f Facts
	socket := filepath.Join(j.Host, control.Socket)
	if _, err := os.Stat(socket); err != nil {
		return f, nil, fault.Wrap(err, fault.Usage, "run it by a Plan of the system-upgrade-controller, on a ShelfOS node", "%s is not the root of a node", j.Host)
	}
	if err := control.Call(socket, control.Request{Verb: upgrades.Facts}, &f.Node); err != nil {
		return f, nil, err
	}
	b, err := choose(ctx, j.Bundles, f.Node)
	if err != nil {
		return f, nil, err
	}
	f.Want, f.Version = b.manifest.Slot.Manifest, b.manifest.Version
	// A slot whose manifest cannot be read is one more reason to upgrade.
	if sum, err := install.RunningSum(filepath.Join(j.Host, install.SystemDir)); err == nil {
		f.Running = hex.EncodeToString(sum[:])
	}
	return f, b, nil
}

// install has the node's shelf upgrade it from a bundle of this container.
func (j Job) install(ctx context.Context, b *carried) (*dialogue.Done, error) {
	file, err := source.OpenFile(b.name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p, err := j.Shelf(ctx, "upgrade", "--serve", "by="+source.FromPlan)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "run the container privileged, with the node's root at "+HostDir, "starting the node's shelf")
	}
	l := dialogue.Laptop{
		Range: file.Range, Ask: func(string) error { return nil },
		File: func(ctx context.Context, name string) (io.ReadCloser, int64, error) {
			if name != dialogue.K3sFile || b.manifest.K3s == nil {
				return nil, 0, fs.ErrNotExist
			}
			return file.K3s(ctx, b.manifest.K3s, b.manifest.Arch)
		},
		Receive: func(m dialogue.Message) {
			if m.Note != "" {
				j.Say(m.Note)
			} else if m.Progress != nil && j.Show != nil {
				j.Show(*m.Progress)
			}
		},
	}
	done, err := l.Serve(ctx, p.Out, p.In)
	p.In.Close()
	p.Out.Close()
	_ = p.Wait() // how it ended is in the dialogue
	return done, err
}
