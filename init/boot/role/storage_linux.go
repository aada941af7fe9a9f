package role

import (
	"context"
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/base/uevent"
	"imgbuild/init/net/clock"
	"imgbuild/init/status"
	"imgbuild/init/storage/backup"
	"imgbuild/init/storage/disks"
	"imgbuild/init/storage/serve"
	"imgbuild/init/supervise"
)

// Storage is the storage of a node. Its fields are not changed after it was made; all methods may
// be called from any goroutine.
type Storage struct {
	Server   *serve.Server
	Backups  *backup.Keeper
	Reporter report.Reporter
	Save     func() // the report
	kick     chan struct{}
}

// NewStorage makes one. wait waits for the right time, for as long as is configured.
func NewStorage(s *serve.Server, wait func(context.Context) error, t report.Reporter, save func()) *Storage {
	r := &Storage{Server: s, Reporter: t, Save: save, kick: make(chan struct{}, 1)}
	r.Backups = &backup.Keeper{Own: serve.Own, Servers: func() []string { return s.Config().Storage.Backup.Servers() }, Log: t.Log, Done: r.Kick, Start: func(ctx context.Context, place string) error {
		_ = wait(ctx) // names have dates
		return supervise.RunCommand(ctx, "/usr/bin/shelf", "backup", "now", place)
	}}
	return r
}

// Kick has it look at configuration and disks again.
func (r *Storage) Kick() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// Handle takes an event of the kernel: a disk comes or goes.
func (r *Storage) Handle(ev uevent.Event) {
	if ev["SUBSYSTEM"] == "block" && ev["ACTION"] != "change" {
		r.Kick()
	}
}

// lookEvery is how often disks are looked at without an event.
const lookEvery = 5 * time.Minute

// pause is how long to wait without an event: until something may be due by the wall clock, at
// most lookEvery.
func pause(now, next time.Time) time.Duration {
	if next.IsZero() {
		return lookEvery
	}
	return min(max(next.Sub(now), time.Second), lookEvery)
}

// Run keeps the storage as configuration and disks require. It does not return. A disk that appears
// late is awaited for diskLimit before its absence is reported. A clock that is set makes it look
// at once: what is due goes by the clock on the wall.
func (r *Storage) Run(ctx context.Context) {
	steps, err := clock.Steps()
	if err != nil {
		r.Reporter.Say("storage: a clock that is set is noticed late: %v", err)
	}
	settle := time.NewTimer(max(0, diskLimit-time.Since(status.Started())))
	for {
		err := r.Server.Update(ctx)
		early := time.Since(status.Started()) < diskLimit
		t := r.Reporter.For("storage")
		t.Report.Drop(t.Step)
		if err != nil {
			t.Problem(err)
		}
		for _, d := range r.Server.Disks.Status() {
			if d.State == disks.Refused || d.State == disks.Missing && !early || d.ReadOnly {
				t.Problem(d.Err())
			}
		}
		r.Backups.Look(context.WithoutCancel(ctx))
		t = r.Reporter.For("backup")
		t.Report.Drop(t.Step)
		t.Problem(r.Backups.Err())
		r.Save()
		now := time.Now().Round(0) // without what a step of the clock does not change
		select {
		case <-r.kick:
		case <-settle.C:
		case <-steps:
		case <-time.After(pause(now, r.Server.Next(now))):
		case <-ctx.Done():
			return
		}
	}
}
