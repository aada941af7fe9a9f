package role

import (
	"context"
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/boot/record"
	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s"
	"imgbuild/init/upgrade/datastore"
	"imgbuild/init/upgrade/ledger"
)

// Datastore keeps a server's datastore safe while another k3s is on trial.
type Datastore struct {
	Config   func() *config.Config
	Record   *record.Record
	Upgrades *upgrades.Keeper
	Bundle   string                    // names the running system
	Patience func(limit time.Duration) // of the watchdog, while the datastore is copied
	Reporter report.Reporter
}

// copyLimit is how long a copy may take, surveyLimit how long the API may take to give the nodes of
// the cluster.
const (
	copyLimit   = 20 * time.Minute
	surveyLimit = 30 * time.Second
)

func (d *Datastore) store() datastore.Store {
	return datastore.Store{Data: k3s.DataDir(d.Config()), Note: k3s.ResetPath}
}

// Hooks are its part in upgrades.
func (d *Datastore) Hooks() upgrades.Hooks {
	return upgrades.Hooks{Arm: d.arm, Leave: d.leave, Commit: d.commit, Withdrawn: d.withdrawn}
}

// arm decides what becomes of the datastore, and notes it, before the slot is armed.
func (d *Datastore) arm(a ledger.Attempt) error {
	ctx, cancel := context.WithTimeout(context.Background(), surveyLimit)
	defer cancel()
	if a.Restore != nil {
		return d.goBack(ctx, a)
	}
	s, err := datastore.Survey(ctx, d.Config(), a.FromK3s, a.K3s, a.Keep)
	if err != nil {
		return err
	}
	copied, err := s.Decide()
	if err != nil {
		return err
	}
	if s.Kind == datastore.None {
		return d.store().Drop()
	}
	return d.store().Arm(datastore.Plan{Bundle: a.Bundle, Slot: a.Slot, From: s.From, To: s.To, Kind: s.Kind, Copy: copied})
}

// goBack notes that the system before starts with the data of a backup, which lie staged.
func (d *Datastore) goBack(ctx context.Context, a ledger.Attempt) error {
	b, err := datastore.SurveyBack(ctx, d.Config(), a.K3s, datastore.Backup{K3s: a.Restore.K3s, Reset: a.Restore.Reset})
	if err != nil {
		return err
	}
	if _, err := b.Decide(); err != nil {
		return err
	}
	from := k3s.Ran(d.Config())
	if from == "" {
		from = a.FromK3s
	}
	return d.store().Arm(datastore.Plan{Bundle: a.Bundle, Slot: a.Slot, From: from, To: a.K3s, Kind: b.Kind, Copy: true, Bring: true, Reset: a.Restore.Reset})
}

// leave copies the datastore: k3s has stopped, and the next boot is the trial.
func (d *Datastore) leave(ledger.Attempt) error {
	d.Patience(copyLimit + 2*time.Minute)
	ctx, cancel := context.WithTimeout(context.Background(), copyLimit)
	defer cancel()
	return d.store().Leave(ctx)
}

func (d *Datastore) commit(a ledger.Attempt) {
	d.Reporter.Problem(d.store().Committed(a.Bundle))
}

func (d *Datastore) withdrawn(ledger.Attempt) { d.Reporter.Problem(d.store().Drop()) }

// Crossed reports whether the commit of the running system crosses a minor version of k3s.
func (d *Datastore) Crossed() bool {
	if d == nil {
		return false
	}
	crossed, err := d.store().Crossed(d.Bundle)
	d.Reporter.Problem(err)
	return crossed
}

// Before is called before k3s starts. An error keeps it from starting.
func (d *Datastore) Before(ctx context.Context) error {
	s := d.store()
	st, err := s.Observe()
	if err != nil {
		return err
	}
	st.Bundle, st.Trial = d.Bundle, d.Upgrades.Trialing()
	if p := st.Plan; p != nil {
		if r, err := d.Record.Read(); err == nil {
			st.Read, st.Armed, st.State = true, r.Trial == p.Slot, r.State(p.Slot)
		}
	}
	if st.Plan != nil && d.Bundle == "" {
		return fault.New(fault.Device, "reboot; replace the card if it comes again", "what runs cannot be determined, and an upgrade of k3s is in progress")
	}
	what := st.Decide()
	if err := s.Carry(ctx, st); err != nil {
		return err
	}
	if p := st.Plan; p != nil && p.Bring && !st.Started && (what == datastore.Copy || what == datastore.Begin) {
		d.Reporter.Say("k3s: the data are those of the backup; what was there is kept as *%s next to them", datastore.BeforeRollback)
	}
	switch what {
	case datastore.Copy:
		d.Reporter.Say("k3s: the datastore was copied before k3s %s starts with it", st.Plan.To)
	case datastore.Restore:
		d.Reporter.Say("k3s: the datastore is that of before the upgrade again; what k3s %s made of it is kept as *%s next to it", st.Plan.To, datastore.BeforeFallback)
	case datastore.Aside:
		d.Reporter.Say("k3s: nobody knows whether the upgrade was committed; the copy of the datastore is kept in %s", s.AsidePath())
	}
	return nil
}
