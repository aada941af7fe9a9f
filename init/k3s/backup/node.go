package backup

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/k3s"
	"imgbuild/init/supervise"
)

// snapshotLimit is how long k3s may take for a snapshot of etcd.
const snapshotLimit = 10 * time.Minute

// OfNode is a run on this node with its configuration. say reports what is going on.
func OfNode(c *config.Config, say func(format string, args ...any)) *Job {
	host, _ := os.Hostname()
	j := &Job{Config: c, Host: host, K3s: k3sOf("/k3os/system"), Say: say}
	j.Snapshot = func(ctx context.Context, name string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, snapshotLimit)
		defer cancel()
		return k3s.Snapshot(ctx, c, name, supervise.RunCommand)
	}
	return j
}

// k3sOf is the version of k3s that a slot's manifest names; empty if it names none.
func k3sOf(system string) string {
	data, err := os.ReadFile(filepath.Join(system, manifest.Name))
	if err != nil {
		return ""
	}
	sum, err := os.ReadFile(filepath.Join(system, manifest.SumName))
	if err != nil {
		return ""
	}
	m, err := manifest.Parse(data, sum)
	if err != nil || m.K3s == nil {
		return ""
	}
	return m.K3s.Version
}

// Status gives how the backups of a configuration went, by what is noted in dir (Dir). A
// configuration without backups is an error of kind Input.
func Status(c *config.Config, dir string) (State, error) {
	if c.Backup.To == "" {
		return State{}, fault.New(fault.Input, "set backup.to, such as sftp://backup@nas/shelf", "there are no backups: the configuration names no place for them")
	}
	s, err := Load(dir)
	if err != nil {
		return State{}, err
	}
	return s.For(Shown(c.Backup.To)), nil
}

// Failure is why the last attempt failed, with its age; nil after a good one.
func (s State) Failure(now time.Time) error {
	if s.Error == "" {
		return nil
	}
	return fault.New(fault.Unhealthy, "", "the last attempt, %v ago, failed: %s", now.Sub(s.Tried).Round(time.Second), s.Error)
}
