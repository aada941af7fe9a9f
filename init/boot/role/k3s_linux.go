// Package role runs what a node is for.
package role

import (
	"context"
	"fmt"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/base/guard"
	"imgbuild/init/base/report"
	"imgbuild/init/base/uevent"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s"
	"imgbuild/init/k3s/backup"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/status"
	"imgbuild/init/supervise"
)

// K3s is k3s on a node, with its data disk and its backups. Its fields are not changed after it was
// made; all methods may be called from any goroutine.
type K3s struct {
	Config   func() *config.Config // the newest one
	Units    *supervise.Supervisor
	Groups   *cgroup.Tree
	Disk     *datadisk.Disk
	Reporter report.Reporter
	Save     func()                      // the report
	Reload   func(reason string)         // the configuration
	Time     func(context.Context) error // waits for the right time
	Before   func(context.Context) error // when k3s' data are there, before it starts
}

// diskLimit is how long after the kernel's start a data disk may still be on its way; a USB disk
// spins up within 15 s. The rest of the boot does not wait for it.
const diskLimit = 30 * time.Second

// stopLimit is how long k3s has to end when its data are gone.
const stopLimit = 90 * time.Second

// Handle takes an event of the kernel: the data disk comes and goes.
func (r *K3s) Handle(ev uevent.Event) {
	switch state := r.Disk.Status().State; {
	case ev["SUBSYSTEM"] != "block":
	case ev["ACTION"] == "remove" && state == datadisk.Mounted:
		guard.Go(r.removed)
	case state == datadisk.Absent && ev["ACTION"] != "remove":
		r.Units.Recheck()
	}
}

// Data is called before k3s starts: it prepares k3s' data, or returns what is awaited.
func (r *K3s) Data(ctx context.Context, say supervise.Say) error {
	cfg := r.Config()
	t := r.Reporter.For("data disk")
	was := r.Disk.Status().State
	for {
		err := r.Disk.Ready(ctx, cfg.Data.Device, k3s.DataDir(cfg))
		switch {
		case err == nil:
			if t.Report.Drop(t.Step); r.Disk.Status().State == datadisk.Mounted && was != datadisk.Mounted {
				r.Reporter.Say("data disk: %s holds k3s' data", r.Disk.Status().Path)
				r.Reload("data disk") // files that the configuration puts into k3s' directories belong on the disk
			}
			if was == datadisk.Absent || was == datadisk.Refused {
				r.Save()
			}
			return r.Before(ctx)
		case ctx.Err() != nil:
			return ctx.Err()
		case datadisk.IsAbsent(err) && time.Since(status.Started()) < diskLimit:
			say.Progress(fmt.Sprintf("for %v", err))
			select {
			case <-time.After(250 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		t.Report.Drop(t.Step)
		t.Problem(err)
		r.Save()
		return &supervise.Waiting{What: err.Error()}
	}
}

// removed ends what lived on a data disk that was pulled out. k3s starts again when it is back.
func (r *K3s) removed() {
	if r.Disk.Alive() {
		return // another disk
	}
	r.Reporter.Say("data disk: it was pulled out while it was in use; k3s and its pods are stopped")
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	for _, do := range []func() error{
		func() error { return r.Units.StopUnit(ctx, k3s.Name) },
		func() error { return k3s.StopPods(ctx, r.Groups) },
		func() error { return r.Units.StartUnit(k3s.Name) },
	} {
		if err := do(); err != nil {
			r.Reporter.Say("%v", err)
		}
	}
}

// routeStop is how long k3s has to end before it starts again.
const routeStop = 2 * time.Minute

// Restart starts k3s again if it is running, or is about to.
func Restart(units *supervise.Supervisor, problem func(error)) {
	ctx, over := context.WithTimeout(context.Background(), routeStop)
	defer over()
	if s, ok := units.State(k3s.Name); ok && s.Phase != supervise.Stopped {
		problem(units.RestartUnit(ctx, k3s.Name))
	}
}

// backupLimit ends a backup that does not come to an end.
const backupLimit = 2 * time.Hour

// KeepBackups has a server make its backups, from now on.
func (r *K3s) KeepBackups() {
	t := r.Reporter.For("backup")
	k := &backup.Keeper{
		Dir: backup.Dir, Config: r.Config,
		Ready: func() bool { s, ok := r.Units.State(k3s.Name); return ok && s.Ready },
		Start: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, backupLimit)
			defer cancel()
			_ = r.Time(ctx) // names have dates
			_, err := supervise.Run(ctx, supervise.Cmd("/usr/bin/shelf", "backup", "now"))
			if err == nil {
				r.Reporter.Log("a backup was made")
			}
			return err
		},
		Failed: func(err error) {
			t.Report.Drop(t.Step)
			if err != nil {
				t.Problem(fault.Wrap(err, fault.Unhealthy, "see `sudo shelf backup`", "the backup failed and is tried again"))
			}
			r.Save()
		},
	}
	guard.Go(func() { k.Run(context.Background()) })
}

// Backups is how a server's backups go; false where none are to be made.
func Backups(cfg *config.Config) (backup.State, bool) {
	if cfg.Backup.To == "" || cfg.RoleOf("") != k3s.Server {
		return backup.State{}, false
	}
	s, _ := backup.Load(backup.Dir)
	return s.For(backup.Shown(cfg.Backup.To)), true
}
