package backup

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"strings"

	"imgbuild/init/contract/fault"

	"golang.org/x/sys/unix"
)

// place is an open directory of backups.
type place struct {
	list   func() ([]Entry, error)
	put    func(tmp, name string, r io.Reader) error // writes tmp, makes it durable, and renames it
	remove func(name string) error
	close  func()
}

// target is the place of backups that backup.to names.
type target struct {
	scheme, user, host, port, dir string
}

// Shown is backup.to as it may be shown and kept: a password that somebody wrote into it is left
// out.
func Shown(to string) string {
	u, err := url.Parse(to)
	switch {
	case err != nil && strings.Contains(to, "@"):
		return "(not a URL)"
	case err != nil:
		return to
	}
	return u.Redacted()
}

// parseTarget reads sftp://USER@HOST[:PORT]/DIR or nfs://HOST[:PORT]/DIR. A directory of sftp that
// begins with ~/ is in the user's home.
func parseTarget(text string) (target, error) {
	const form = "write it like sftp://backup@nas/shelf or nfs://nas/export/shelf"
	u, err := url.Parse(text)
	if err != nil {
		return target{}, fault.New(fault.Input, form, "backup.to is not a URL")
	}
	t := target{u.Scheme, u.User.Username(), u.Hostname(), u.Port(), path.Clean(u.Path)}
	_, secret := u.User.Password()
	switch {
	case t.scheme != "sftp" && t.scheme != "nfs":
		return t, fault.New(fault.Input, form, "backup.to: %q is neither sftp nor nfs", t.scheme)
	case t.host == "" || t.dir == "/" || t.dir == "." || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(u.Path+t.host, "\x00\n,"):
		return t, fault.New(fault.Input, form, "backup.to has to name a host and a directory")
	case t.scheme == "sftp" && t.user == "":
		return t, fault.New(fault.Input, form, "backup.to names no user")
	case secret:
		return t, fault.New(fault.Input, "take it out; `shelf backup key` prints the key to allow there", "backup.to has a password in it, which is not used")
	}
	if t.scheme == "sftp" {
		if t.port == "" {
			t.port = "22"
		}
		if rest, ok := strings.CutPrefix(t.dir, "/~/"); ok {
			t.dir = rest
		}
	}
	return t, nil
}

func (j *Job) open(ctx context.Context) (*place, error) {
	t, err := parseTarget(j.Config.Backup.To)
	if err != nil {
		return nil, err
	}
	if t.scheme == "nfs" {
		return j.openNFS(ctx, t)
	}
	return j.openSFTP(ctx, t)
}

// directory is a place that is mounted here. Others may write to it, and the server may show what
// it likes: names are taken below the directory alone, and links are followed nowhere.
func directory(dir string, close func()) (*place, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &place{
		list: func() ([]Entry, error) {
			entries, err := fs.ReadDir(root.FS(), ".")
			var list []Entry
			for _, e := range entries {
				if info, err := root.Lstat(e.Name()); err == nil && info.Mode().IsRegular() {
					list = append(list, Entry{e.Name(), info.Size()})
				}
			}
			return list, err
		},
		put: func(tmp, name string, r io.Reader) error {
			f, err := root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
			if err != nil {
				return err
			}
			_, err = io.Copy(f, r)
			if err == nil {
				err = f.Sync()
			}
			if err = errors.Join(err, f.Close()); err == nil {
				err = root.Rename(tmp, name)
			}
			if err != nil {
				_ = root.Remove(tmp)
				return err
			}
			return syncRoot(root)
		},
		remove: root.Remove,
		close:  func() { _ = root.Close(); close() },
	}, nil
}

// syncRoot makes a rename in a directory durable.
func syncRoot(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
