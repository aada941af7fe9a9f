package datastore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/init/contract/config"
	"imgbuild/init/k3s"

	"golang.org/x/sys/unix"
)

// Survey gathers what is known of a server before an upgrade. running is the k3s of the running
// system, to that of the new one.
func Survey(ctx context.Context, cfg *config.Config, running, to string, keep bool) (a Arming, err error) {
	a = Arming{Kind: KindOf(ctx, cfg), From: k3s.Ran(cfg), To: to, Keep: keep}
	if a.From == "" || running == to { // the very binary that runs is no step, whatever its name shows
		a.From = running
	}
	if a.Kind != SQLite && a.Kind != Etcd {
		return a, nil
	}
	a.Size, a.Free, err = sizes(cfg, Plan{Kind: a.Kind})
	return a, err
}

// sizes returns the bytes that a plan copies, and those that its file system has.
func sizes(cfg *config.Config, p Plan) (size, free int64, err error) {
	data := k3s.DataDir(cfg)
	if size, err = (Store{Data: data}).Size(p); err != nil {
		return 0, 0, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(data, &st); err != nil {
		return 0, 0, err
	}
	return size, int64(st.Bavail) * int64(st.Bsize), nil
}

// SurveyBack gathers what is known of a server before it goes back to another system, whose k3s is
// to, with a backup that was staged.
func SurveyBack(ctx context.Context, cfg *config.Config, to string, staged Backup) (b Back, err error) {
	b = Back{Kind: KindOf(ctx, cfg), Data: staged.K3s, To: to, Etcd: staged.Reset != ""}
	if b.Kind != SQLite && b.Kind != Etcd {
		return b, nil
	}
	b.Size, b.Free, err = sizes(cfg, Plan{Kind: b.Kind, Bring: true})
	return b, err
}

// KindOf is where a server has its datastore.
func KindOf(ctx context.Context, cfg *config.Config) Kind {
	dir := k3s.DataDir(cfg)
	switch _, err := os.Lstat(filepath.Join(dir, "server", "db", "state.db")); {
	case !k3s.HasServerData(cfg):
		return None
	case k3s.Elsewhere(cfg, "/"):
		return External
	case k3s.HasEtcd(dir):
		return etcd(k3s.Members(ctx, cfg))
	case errors.Is(err, fs.ErrNotExist):
		return None
	}
	return SQLite
}

// etcd is that of one server only if the cluster reports that.
func etcd(members []k3s.Member, err error) Kind {
	parts := 0
	for _, m := range members {
		if m.Etcd {
			parts++
		}
	}
	if err != nil || parts != 1 {
		return Several
	}
	return Etcd
}
