package command

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/k3s"
	"imgbuild/init/status/control"
	"imgbuild/init/upgrade/datastore"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/ledger"
)

// FromBackup is the source of an attempt that goes back with a backup.
const FromBackup = "rollback"

// GoBack has this server try the system of the other slot with the data of a backup, file, and
// reboots into it. A trial that fails brings back this system with the data that it has now. After
// an error nothing has changed. It is for root.
func GoBack(ctx context.Context, file string, o Options) (*dialogue.Done, error) {
	return goBack(ctx, here, file, o)
}

func goBack(ctx context.Context, p place, file string, o Options) (*dialogue.Done, error) {
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
	if err := f.Ready(); err != nil {
		return nil, err
	}
	if err := backable(f); err != nil {
		return nil, err
	}
	m, bundle, err := otherSystem(f)
	if err != nil {
		return nil, err
	}
	if m.K3s.Source == "firstboot" {
		if err := k3s.Stored(p.store, m.K3s); err != nil {
			return nil, err
		}
	}
	store := datastore.Store{Data: k3s.DataDir(o.Config), Note: k3s.ResetPath}
	staged, err := store.Stage(ctx, file, f.Hostname, k3s.ResetPath)
	if err != nil {
		return nil, err
	}
	if err := p.armBack(ctx, f, m, bundle, filepath.Base(file), staged, o); err != nil {
		_ = store.Unstage() // the first error counts
		return nil, err
	}
	done := &dialogue.Done{Result: dialogue.Armed, Bundle: bundle, Version: m.Version, Slot: bootstate.Other(f.Slot), Seconds: f.Deadline, Reboot: true}
	return done, control.Call(p.socket, control.Request{Verb: "reboot", Reason: "rollback"}, nil)
}

// armBack judges what was staged, and has PID 1 arm the other slot with it.
func (p place) armBack(ctx context.Context, f install.Facts, m *manifest.Manifest, bundle, name string, staged datastore.Backup, o Options) error {
	if err := token(o.Config, staged.Token); err != nil {
		return err
	}
	b, err := datastore.SurveyBack(ctx, o.Config, m.K3s.Version, staged)
	if err != nil {
		return err
	}
	unknown, err := b.Decide()
	if err != nil {
		return err
	}
	if unknown != "" && o.Note != nil {
		o.Note(unknown)
	}
	return p.orders(o).Arm(ledger.Attempt{
		System: ledger.System{Bundle: bundle, Version: m.Version, K3s: m.K3s.Version},
		Slot:   bootstate.Other(f.Slot), From: f.Version, FromK3s: f.K3s, Source: FromBackup, Armed: time.Now().UTC(),
		Restore: &ledger.Restore{Name: name, K3s: staged.K3s, Reset: staged.Reset},
	})
}

// backable reports why a node cannot go back with a backup, whatever it is.
func backable(f install.Facts) error {
	switch {
	case f.Role != k3s.Server:
		return fault.New(fault.Usage, "leave restore= out", "a %s has no datastore that a backup could be restored to", f.Role)
	case f.Armed:
		return fault.New(fault.Unhealthy, "reboot into it, or take it back with shelf rollback", "an upgrade waits for the next boot")
	}
	return nil
}

// token reports why k3s would not start with the data of a backup: they were made with another
// token than this server has now.
func token(cfg *config.Config, made string) error {
	now, err := k3s.NodeTokens.Rotated()
	if err != nil {
		return err
	}
	if now == "" {
		now = cfg.K3OS.Token
	}
	if k3sstep.Token(now, made) != nil {
		return fault.New(fault.Input, "take a backup from after the change of the token, or set k3os.token to the one of then", "the backup was made with another token than this server has now")
	}
	return nil
}

// otherSystem reads the slot that does not run, every byte of its files, and names it as bundles
// do.
func otherSystem(f install.Facts) (*manifest.Manifest, string, error) {
	d, err := os.Open(f.Target)
	if err != nil {
		return nil, "", fault.Wrap(err, fault.Device, "", "the slot that does not run")
	}
	defer d.Close()
	m, sum, err := install.Held(d)
	if err != nil {
		return nil, "", fault.Wrap(err, fault.Device, "install an upgrade, or make a card of the backup", "slot %s holds no whole system to go back to", bootstate.Other(f.Slot))
	}
	switch {
	case m.Family != f.Family || !slices.Contains(m.Roles, f.Role):
		return nil, "", fault.New(fault.Input, "", "slot %s holds %s for %s and %v, this node is a %s of family %s", bootstate.Other(f.Slot), m.Version, m.Family, m.Roles, f.Role, f.Family)
	case m.K3s == nil || m.K3s.Source == "none":
		return nil, "", fault.New(fault.Input, "", "slot %s holds %s, which has no k3s", bootstate.Other(f.Slot), m.Version)
	}
	return m, sum, nil
}
