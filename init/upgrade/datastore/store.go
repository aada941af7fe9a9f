package datastore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
)

// dirName is the directory of this package in k3s' data directory: on the same file system as the
// datastore, so that the copy is put back by a rename, and on the same disk, if that is another
// one.
const dirName = "shelf-datastore"

// Behind the name of what was replaced.
const (
	BeforeFallback = ".before-fallback"
	BeforeRollback = ".before-rollback"
)

// Names in the directory. A copy is whole when sums is there.
const (
	planName    = "plan.json"
	copyName    = "copy"
	sumsName    = "copy.json"
	startedName = "started" // k3s of the trial was started with the data
	swapName    = "swap"    // the copy is being put back
	bringName   = "bring"   // data of a backup, for the trial
)

// Store is the datastore of a server and its copy. Every method may be cut off by a power cut at
// any moment, and called again.
type Store struct {
	Data string                  // k3s' data directory
	Note string                  // the file that has k3s make etcd from a snapshot, see k3s.ResetPath
	at   func(step string) error // of tests: called between the steps; an error ends the method there
}

func (s Store) path(names ...string) string {
	return filepath.Join(append([]string{s.Data, dirName}, names...)...)
}

func (s Store) step(name string) error {
	if s.at == nil {
		return nil
	}
	return s.at(name)
}

// unit is what is copied and replaced as a whole, relative to k3s' data directory.
func (p Plan) unit() string {
	switch {
	case p.Bring: // certificates and tokens belong to the data of a backup
		return "server"
	case p.Kind == Etcd:
		return "server/db/etcd"
	}
	return "server/db"
}

// left are directories that stay out of a copy: they hold snapshots for people.
var left = []string{"snapshots", "shelf-snapshot"}

// stays are those of them that move on when the unit is replaced, relative to it.
func (p Plan) stays() []string {
	if p.Bring { // what is staged may have a snapshot of its own
		return []string{"db/snapshots"}
	}
	return left
}

// Arm notes a plan, in place of whatever an earlier trial left. The trial is armed after it. With
// Bring, what Stage has left becomes part of the plan.
func (s Store) Arm(p Plan) error {
	if err := s.Drop(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.path(), 0o700); err != nil {
		return err
	}
	if p.Bring {
		if err := errors.Join(os.Rename(s.staged(), s.path(bringName)), s.step("taken over"), atomicfile.SyncDir(s.Data)); err != nil {
			return err
		}
	}
	return s.replace(planName, p)
}

func (s Store) replace(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return atomicfile.WriteAs(s.path(name), append(data, '\n'), 0o600, os.Getuid(), os.Getgid())
}

// Plan reads what was noted; nil if nothing was.
func (s Store) Plan() (*Plan, error) {
	data, err := os.ReadFile(s.path(planName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var p Plan
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "if this server runs the k3s that its data are of, remove that file", "the plan of the datastore %s", s.path(planName))
	}
	return &p, nil
}

// Observe returns what the directory has about a start; the rest is the caller's.
func (s Store) Observe() (st Start, err error) {
	if st.Plan, err = s.Plan(); err != nil || st.Plan == nil {
		return st, err
	}
	there := func(name string) bool {
		_, err := os.Lstat(s.path(name))
		return err == nil
	}
	st.Complete, st.Started, st.Swapping = there(sumsName), there(startedName), there(swapName)
	return st, nil
}

// file is one file of a copy.
type file struct {
	Path   string `json:"path"` // relative to the copy
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Copy copies the datastore. k3s must not run. A copy that is there already is kept.
func (s Store) Copy(ctx context.Context, p Plan) error {
	if _, err := os.Lstat(s.path(sumsName)); err == nil {
		return nil
	}
	if err := os.RemoveAll(s.path(copyName)); err != nil { // one that was cut off
		return err
	}
	if err := s.step("begin to copy"); err != nil {
		return err
	}
	var files []file
	from, to := filepath.Join(s.Data, p.unit()), s.path(copyName)
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch {
		case e.IsDir() && slices.Contains(left, e.Name()):
			return fs.SkipDir
		case e.IsDir():
			if err := os.MkdirAll(filepath.Join(to, rel), 0o700); err != nil {
				return err
			}
			return os.Chmod(filepath.Join(to, rel), info.Mode().Perm())
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, filepath.Join(to, rel))
		case !e.Type().IsRegular():
			return nil // sockets
		}
		if err := s.step("copy " + rel); err != nil {
			return err
		}
		f, err := copyFile(ctx, path, filepath.Join(to, rel), info.Mode().Perm())
		f.Path = rel
		files = append(files, f)
		return err
	})
	if err != nil {
		return fault.Wrap(err, fault.Device, "", "copying k3s' datastore")
	}
	if err := syncDirs(to); err != nil {
		return err
	}
	if err := errors.Join(atomicfile.SyncDir(s.path()), s.step("copied")); err != nil {
		return err
	}
	return s.replace(sumsName, files)
}

// copyFile copies one file and sums what it read. What is on the disk afterwards is flushed.
func copyFile(ctx context.Context, from, to string, mode fs.FileMode) (f file, err error) {
	in, err := os.Open(from)
	if err != nil {
		return f, err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return f, err
	}
	h := sha256.New()
	f.Size, err = io.Copy(io.MultiWriter(out, h), &reader{ctx, in})
	f.SHA256 = hex.EncodeToString(h.Sum(nil))
	return f, errors.Join(err, out.Chmod(mode), out.Sync(), out.Close())
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// syncDirs makes the names in a tree durable.
func syncDirs(root string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return atomicfile.SyncDir(path)
	})
}

// Begin notes that k3s of the trial starts with the data, and gives it those of a backup if the
// plan requires it.
func (s Store) Begin(p Plan) error {
	if err := atomicfile.WriteAs(s.path(startedName), nil, 0o600, os.Getuid(), os.Getgid()); err != nil {
		return err
	}
	if err := s.step("begun"); err != nil || !p.Bring {
		return err
	}
	return s.Bring(p)
}

// Bring restores the data of a backup for the trial. It does nothing once they are there.
func (s Store) Bring(p Plan) error {
	if _, err := os.Lstat(s.path(bringName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// The order first, and only as long as the data are not there: k3s follows it once, and what it
	// has written since must not be replaced.
	if p.Reset != "" {
		if err := os.MkdirAll(filepath.Dir(s.Note), 0o700); err != nil {
			return err
		}
		if err := errors.Join(atomicfile.WriteAs(s.Note, []byte(p.Reset+"\n"), 0o600, os.Getuid(), os.Getgid()), s.step("ordered")); err != nil {
			return err
		}
	}
	if err := errors.Join(s.note(p.To), s.step("to be brought")); err != nil {
		return err
	}
	return s.swap(p, s.path(bringName), BeforeRollback)
}

// recall takes back the order that Bring has given to k3s.
func (s Store) recall(p Plan) error {
	if p.Reset == "" {
		return nil
	}
	if err := os.Remove(s.Note); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(s.Note))
}

// swap puts what was staged in the place of the plan's unit, which gets another name. Both are on
// one file system. At every moment staged or the unit is whole, and it may be called again.
func (s Store) swap(p Plan, staged, before string) error {
	target := filepath.Join(s.Data, p.unit())
	if _, err := os.Lstat(staged); errors.Is(err, fs.ErrNotExist) {
		return nil // done
	} else if err != nil {
		return err
	}
	if _, err := os.Lstat(target); err == nil {
		for _, name := range p.stays() { // go on with what comes
			if _, err := os.Lstat(filepath.Join(staged, name)); err == nil {
				continue
			}
			if err := os.Rename(filepath.Join(target, name), filepath.Join(staged, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		// As long as the target is there, a replaced one is of an earlier event.
		if err := errors.Join(os.RemoveAll(target+before), s.step("removed the older one")); err != nil {
			return err
		}
		if err := errors.Join(os.Rename(target, target+before), s.step("put aside"), atomicfile.SyncDir(filepath.Dir(target))); err != nil {
			return err
		}
	}
	if err := errors.Join(s.step("before the swap"), os.Rename(staged, target), s.step("swapped")); err != nil {
		return err
	}
	return errors.Join(atomicfile.SyncDir(filepath.Dir(target)), atomicfile.SyncDir(filepath.Dir(staged)))
}

// note notes which k3s had the data last.
func (s Store) note(version string) error {
	if version == "" {
		return nil
	}
	return atomicfile.WriteAs(filepath.Join(s.Data, k3sstep.NoteName), []byte(version+"\n"), 0o600, os.Getuid(), os.Getgid())
}

// Restore puts the copy back. What it replaces is kept next to it.
func (s Store) Restore(ctx context.Context, p Plan) error {
	if _, err := os.Lstat(s.path(swapName)); errors.Is(err, fs.ErrNotExist) {
		if err := s.verify(ctx); err != nil {
			return err
		}
		if err := s.step("verified"); err != nil {
			return err
		}
		if err := atomicfile.WriteAs(s.path(swapName), nil, 0o600, os.Getuid(), os.Getgid()); err != nil {
			return err
		}
	}
	if err := s.swap(p, s.path(copyName), BeforeFallback); err != nil {
		return err
	}
	if err := errors.Join(s.recall(p), s.note(p.From), s.step("noted")); err != nil {
		return err
	}
	return s.Drop()
}

// verify compares the copy with its sums.
func (s Store) verify(ctx context.Context) error {
	damaged := func(why string, args ...any) error {
		return fault.New(fault.Verify, "restore a backup of this server onto a new card; what the upgrade left is untouched", "the copy of the datastore is damaged: %s", fmt.Sprintf(why, args...))
	}
	data, err := os.ReadFile(s.path(sumsName))
	if err != nil {
		return damaged("%v", err)
	}
	var files []file
	if err := json.Unmarshal(data, &files); err != nil {
		return damaged("%v", err)
	}
	for _, want := range files {
		in, err := os.Open(s.path(copyName, want.Path))
		if err != nil {
			return damaged("%v", err)
		}
		h := sha256.New()
		n, err := io.Copy(h, &reader{ctx, in})
		in.Close()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return damaged("%v", err)
		case n != want.Size || hex.EncodeToString(h.Sum(nil)) != want.SHA256:
			return damaged("%s has another content", want.Path)
		}
	}
	return nil
}

// Drop removes the plan, and then what belongs to it. A swap that is under way is over by then.
func (s Store) Drop() error {
	if err := os.Remove(s.path(planName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if err == nil {
		if err := errors.Join(atomicfile.SyncDir(s.path()), s.step("dropped the plan")); err != nil {
			return err
		}
	}
	return os.RemoveAll(s.path())
}

// AsidePath is where Aside leaves the copy.
func (s Store) AsidePath() string { return s.path() + ".aside" }

// Aside keeps the copy for people, out of the way of the next one.
func (s Store) Aside() error {
	if err := os.RemoveAll(s.AsidePath()); err != nil {
		return err
	}
	if err := os.Rename(s.path(), s.AsidePath()); err != nil {
		return err
	}
	return atomicfile.SyncDir(s.Data)
}

// Size is how many bytes the datastore has.
func (s Store) Size(p Plan) (n int64, err error) {
	err = filepath.WalkDir(filepath.Join(s.Data, p.unit()), func(_ string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir() && slices.Contains(left, e.Name()):
			return fs.SkipDir
		case e.Type().IsRegular():
			info, err := e.Info()
			if err != nil {
				return err
			}
			n += info.Size()
		}
		return nil
	})
	return n, err
}
