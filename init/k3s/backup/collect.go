package backup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s"
	"imgbuild/init/k3s/datadisk"
)

// holdLimit is how long a database may be in the way of being held.
const holdLimit = time.Minute

// data is where the node's / is on its data partition.
const data = "k3os/data"

// trees are what a backup takes along next to the datastore: where they are, and under which name.
var trees = []struct{ from, as string }{
	{"/k3os/config", "k3os/config"},                                         // the imported configuration, with its secrets
	{"/var/lib/rancher/k3os", data + "/var/lib/rancher/k3os"},               // hostname, node password, ssh host keys, k3OS's own files, /etc/rancher
	{"/var/lib/shelf/machine-id", data + "/var/lib/shelf/machine-id"},       //
	{datadisk.KnownPath, data + datadisk.KnownPath},                         // so that the restored node knows its data disk again
	{path.Join(Dir, keyName), data + path.Join(Dir, keyName)},               // so that it goes on making backups
	{path.Join(Dir, keyName+".pub"), data + path.Join(Dir, keyName+".pub")}, //
	{path.Join(Dir, knownName), data + path.Join(Dir, knownName)},           //
}

// sqliteFile is k3s' database, relative to its data directory.
const sqliteFile = "server/db/state.db"

func (j *Job) there(name string) bool {
	_, err := os.Stat(j.path(name))
	return err == nil
}

// collect writes the archive.
func (j *Job) collect(ctx context.Context, file string, now time.Time) error {
	h := archive.Header{Kind: archive.Backup, Created: now, Hostname: j.Host, Role: k3s.Server, K3s: j.K3s, From: "shelf backup",
		Contents: []string{archive.Identity, archive.Config, archive.Datastore}}
	dir := k3s.DataDir(j.Config)
	etcd, err := j.etcd(ctx, dir, now)
	if err != nil {
		return err
	}
	if etcd != "" {
		defer os.Remove(j.path(path.Join(dir, etcd)))
	}
	if etcd == "" && !j.there(path.Join(dir, sqliteFile)) && k3s.Elsewhere(j.Config, j.path("/")) {
		h.Contents = []string{archive.Identity, archive.Config}
	}
	return archive.Create(file, h, func(w *archive.Writer) error {
		if err := j.identity(w); err != nil {
			return err
		}
		return j.datastore(ctx, w, dir, etcd)
	})
}

func (j *Job) identity(w *archive.Writer) error {
	for _, t := range trees {
		from := j.path(t.from)
		if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if _, err := w.AddTree(from, t.as, nil); err != nil {
			return err
		}
	}
	return nil
}

// datastore adds k3s' server. etcd is the snapshot, relative to dir; empty for SQLite and for
// databases elsewhere.
func (j *Job) datastore(ctx context.Context, w *archive.Writer, dir, etcd string) error {
	server, as := j.path(path.Join(dir, "server")), data+path.Join(dir, "server")
	if _, err := os.Stat(filepath.Join(server, "tls")); err != nil {
		return fault.New(fault.Unhealthy, "wait until k3s has started", "k3s has no data yet")
	}
	keep := func(name string, info fs.FileInfo) bool {
		return name != "db" && !atomicfile.Unfinished(name) && !strings.HasSuffix(name, ".sock")
	}
	if _, err := w.AddTree(server, as, keep); err != nil {
		return err
	}
	if etcd != "" {
		if _, err := w.AddTree(j.path(path.Join(dir, etcd)), data+path.Join(dir, etcd), nil); err != nil {
			return err
		}
		note := etcd + "\n"
		return w.File(data+k3s.ResetPath, archive.Meta{Mode: 0o600}, int64(len(note)), strings.NewReader(note))
	}
	if !j.there(path.Join(dir, sqliteFile)) {
		if !k3s.Elsewhere(j.Config, j.path("/")) {
			return fault.New(fault.Unhealthy, "wait until k3s has started", "%s has neither SQLite's database nor etcd's: a backup would be empty", path.Join(dir, "server/db"))
		}
		j.say("k3s keeps its database elsewhere; the backup holds certificates and tokens only")
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, holdLimit)
	defer cancel()
	return fault.Wrap(AddDatabase(ctx, w, j.path(path.Join(dir, sqliteFile)), path.Join(data+dir, sqliteFile)), fault.Unhealthy, "", "k3s' database")
}

// etcd has a snapshot made on a server whose database is etcd, and returns its path relative to
// k3s' data directory; empty where there is no etcd.
func (j *Job) etcd(ctx context.Context, dir string, now time.Time) (string, error) {
	if !k3s.HasEtcd(j.path(dir)) {
		return "", nil
	}
	if j.Snapshot == nil {
		return "", fault.New(fault.Internal, "", "nobody makes a snapshot of etcd")
	}
	made, err := j.Snapshot(ctx, "shelf-"+strings.ToLower(now.Format(stampForm)))
	if err != nil {
		return "", fault.Wrap(err, fault.Unhealthy, "", "the snapshot of etcd")
	}
	if st, err := os.Stat(made); err != nil || st.Size() == 0 {
		return "", fault.New(fault.Unhealthy, "look at `shelf logs k3s`", "the snapshot of etcd is empty")
	}
	rel, err := filepath.Rel(j.path(dir), made)
	if err != nil || strings.HasPrefix(rel, "..") {
		return "", fault.New(fault.Internal, "", "the snapshot of etcd is at %s, outside of %s", made, dir)
	}
	return rel, nil
}
