package boot

import (
	"context"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s"
	"imgbuild/init/k3s/backup"
	"imgbuild/init/supervise"
)

// backupLimit ends a backup that does not come to an end.
const backupLimit = 2 * time.Hour

// keepBackups has a server make its backups, from now on.
func (n *Node) keepBackups() {
	t := n.base.For("backup")
	k := &backup.Keeper{
		Dir: backup.Dir, Config: n.current,
		Ready: func() bool { s, ok := n.units.State(k3s.Name); return ok && s.Ready },
		Start: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, backupLimit)
			defer cancel()
			_ = n.clock.Wait(ctx, n.current().Time.Wait) // names have dates
			_, err := supervise.Run(ctx, supervise.Cmd("/usr/bin/shelf", "backup", "now"))
			if err == nil {
				n.base.Log("a backup was made")
			}
			return err
		},
		Failed: func(err error) {
			t.Report.Drop(t.Step)
			if err != nil {
				t.Problem(fault.Wrap(err, fault.Unhealthy, "see `sudo shelf backup`", "the backup failed and is tried again"))
			}
			n.saveReport()
		},
	}
	guard.Go(func() { k.Run(context.Background()) })
}

// backups is how they go; false where none are to be made.
func (n *Node) backups() (backup.State, bool) {
	if n.lay.Degraded || n.current().Backup.To == "" || n.current().RoleOf("") != k3s.Server {
		return backup.State{}, false
	}
	s, _ := backup.Load(backup.Dir)
	return s.For(backup.Shown(n.current().Backup.To)), true
}
