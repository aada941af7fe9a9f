package datastore

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
)

// stageSuffix ends the name of the directory where a backup is unpacked, next to this package's.
const stageSuffix = ".staged"

func (s Store) staged() string { return s.path() + stageSuffix }

// Unstage removes what Stage has left.
func (s Store) Unstage() error {
	return errors.Join(os.RemoveAll(s.staged()), os.RemoveAll(s.staged()+".part"))
}

// Backup is a backup of this server that was unpacked.
type Backup struct {
	K3s   string `json:"k3s"`             // whose data they are; empty if that is not known
	Reset string `json:"reset,omitempty"` // the snapshot that etcd is made from, relative to k3s' data directory
	Token string `json:"-"`               // that they were made with; a secret
}

// maxText bounds the small files of a backup that are looked into, in bytes.
const maxText = 64 << 10

// Stage unpacks k3s' server out of a backup of the node host, onto the file system of the
// datastore. reset is where a backup has the name of its snapshot of etcd, see k3s.ResetPath.
// Nothing is replaced: that is for Arm and Bring. After an error nothing is left.
func (s Store) Stage(ctx context.Context, file, host, reset string) (b Backup, err error) {
	part := s.staged() + ".part"
	if err := s.Unstage(); err != nil {
		return b, err
	}
	defer func() {
		if err != nil {
			_ = s.Unstage() // the first error counts
		}
	}()
	const root = "k3os/data" // where the node's / is on its data partition
	server := path.Join(root, s.Data, "server")
	found := false
	err = archive.ReadFile(file, func(h archive.Header) error {
		b.K3s = h.K3s
		return fits(h, host)
	}, func(h *tar.Header, content io.Reader) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if h.Name == path.Join(root, reset) {
			text, err := io.ReadAll(io.LimitReader(content, maxText))
			b.Reset = strings.TrimSpace(string(text))
			return err
		}
		rel, ok := strings.CutPrefix(h.Name, server)
		if !ok || rel != "" && rel[0] != '/' {
			return nil
		}
		if rel == "/token" {
			text := &strings.Builder{}
			content = io.TeeReader(content, text)
			defer func() { b.Token = strings.TrimSpace(text.String()) }()
			if h.Size > maxText {
				return fault.New(fault.Input, "make the backup again", "the token in the backup has %d bytes", h.Size)
			}
		}
		found = found || rel == "/tls" || strings.HasPrefix(rel, "/tls/")
		return unpack(h, content, filepath.Join(part, rel), func(name string) (string, bool) {
			rel, ok := strings.CutPrefix(name, server+"/")
			return filepath.Join(part, rel), ok
		})
	})
	if err != nil {
		return b, fault.Wrap(err, fault.Input, "give the path of a whole backup of this server", "the backup")
	}
	if !found {
		return b, fault.New(fault.Input, "give a backup of this server", "the backup has no data of k3s in %s", s.Data)
	}
	database := filepath.Join("db", "state.db")
	if b.Reset != "" {
		rel, ok := strings.CutPrefix(b.Reset, "server/")
		if !ok || archive.CheckName(rel) != nil {
			return b, fault.New(fault.Input, "make the backup again", "the backup names the snapshot %q", b.Reset)
		}
		database = rel
	}
	if st, err := os.Lstat(filepath.Join(part, database)); err != nil || !st.Mode().IsRegular() || st.Size() == 0 {
		return b, fault.New(fault.Input, "give another backup", "the backup holds no database (server/%s)", database)
	}
	if err := syncDirs(part); err != nil {
		return b, fault.Wrap(err, fault.Device, "", "unpacking the backup")
	}
	return b, fault.Wrap(atomicfile.Rename(part, s.staged()), fault.Device, "", "unpacking the backup")
}

// fits reports why a backup is not one of this server's data.
func fits(h archive.Header, host string) error {
	switch {
	case h.Kind != archive.Backup:
		return fault.New(fault.Input, "give what `shelf backup` has made", "the archive is of the kind %s, and a rollback takes a backup", h.Kind)
	case !strings.EqualFold(h.Hostname, host):
		return fault.New(fault.Input, "give a backup of this server", "the backup is one of %s, this server is %s", h.Hostname, host)
	case !h.Has(archive.Datastore):
		return fault.New(fault.Input, "restore the database where it is", "the backup holds no datastore: its k3s had it on another machine")
	}
	return nil
}

// unpack writes one member under a path, flushed. link finds the path of another one.
func unpack(h *tar.Header, content io.Reader, to string, link func(name string) (string, bool)) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	mode := fs.FileMode(h.Mode).Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		return errors.Join(os.Chmod(to, mode), os.Lchown(to, h.Uid, h.Gid))
	case tar.TypeSymlink:
		return errors.Join(os.Symlink(h.Linkname, to), os.Lchown(to, h.Uid, h.Gid))
	case tar.TypeLink:
		from, ok := link(h.Linkname)
		if !ok {
			return fault.New(fault.Input, "make the backup again", "%s is a link out of k3s' data", h.Name)
		}
		return os.Link(from, to)
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	err = errors.Join(err, f.Chown(h.Uid, h.Gid), f.Chmod(mode), f.Sync(), f.Close())
	return fault.Wrap(err, fault.Device, "look whether the data partition is full", "unpacking %s", path.Base(h.Name))
}

// Back is what is known when a server is about to go back to another system with the data of a
// backup.
type Back struct {
	Kind       Kind
	Data       string // k3s that the backup's data are of
	To         string // k3s of the other system
	Etcd       bool   // the backup holds a snapshot of etcd
	Size, Free int64  // bytes of what would be copied, and of its file system
}

// Decide reports why a server must not go back; unknown is a warning where a version is not that of
// a release.
func (b Back) Decide() (unknown string, err error) {
	a := Arming{Size: b.Size, Free: b.Free}
	switch {
	case b.Kind == None:
		return "", fault.New(fault.Input, "make a card of the backup: imgbuild board=... role=server restore=FILE", "this server has no data yet that a backup could take the place of")
	case b.Kind == External:
		return "", fault.New(fault.Input, "restore the database where it is", "the datastore is on another machine")
	case b.Kind == Several:
		return "", fault.New(fault.Input, "take the other servers out of the cluster first; they join again when this one is back", "etcd of several servers cannot be replaced on one of them")
	case b.Etcd != (b.Kind == Etcd):
		return "", fault.New(fault.Input, "make a card of the backup: imgbuild board=... role=server restore=FILE", "the backup holds %s and this server runs with %s", database(b.Etcd), database(b.Kind == Etcd))
	}
	if unknown, err = (k3sstep.Change{From: b.Data, To: b.To, Data: true}).Judge(); err != nil {
		return "", err
	}
	if b.Free < a.Need() {
		return "", fault.New(fault.Device, "remove what is not needed", "the copy of the present data needs %d MiB, and there are %d MiB", a.Need()>>20+1, b.Free>>20)
	}
	return unknown, nil
}

func database(etcd bool) string {
	if etcd {
		return "etcd"
	}
	return "SQLite"
}
