package backup

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/backupkey"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/snapshots"
)

// Version is a backup of a share.
type Version struct {
	Node, Share, Name string
	Time              time.Time
}

// List returns what is at a place, of every node that made backups there. Of a server that is what
// it claims to have; the identity is not needed.
func (j *Job) List(ctx context.Context, name string) (list []Version, err error) {
	if p, ok := j.Remotes[name]; ok {
		s, err := j.dial(ctx, p)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return s.versions()
	}
	return list, j.look(name, func(_ State, root string) error {
		var err error
		list, err = versions(root)
		return err
	})
}

// look mounts the disk of a place for as long as do runs.
func (j *Job) look(name string, do func(s State, root string) error) error {
	unlock, err := j.lock()
	if err != nil {
		return err
	}
	defer unlock()
	s, err := Load(j.Own)
	if err != nil {
		return err
	}
	p, ok := s.Places[name]
	if !ok {
		return unknown(name)
	}
	root, done, err := j.attach(p, name)
	if err != nil {
		return err
	}
	return errors.Join(do(s, root), done())
}

// versions lists the whole backups below a disk's root, sorted.
func versions(root string) (list []Version, err error) {
	dirs, err := filepath.Glob(filepath.Join(root, vaultDir, "*", "*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		snaps, err := tree(dir).list(true)
		if err != nil {
			return nil, err
		}
		for _, s := range snaps {
			if t, ok := snapshots.Time(s.Name); ok && s.Whole {
				list = append(list, Version{filepath.Base(filepath.Dir(dir)), filepath.Base(dir), s.Name, t})
			}
		}
	}
	slices.SortFunc(list, func(a, b Version) int {
		return strings.Compare(a.Node+"/"+a.Share+"/"+a.Name, b.Node+"/"+b.Share+"/"+b.Name)
	})
	return list, nil
}

// Pick returns the newest backup of a share not younger than at, of all for the zero time. node is
// whose; empty for ours, own, or the only one that has the share.
func Pick(list []Version, node, own, share string, at time.Time) (Version, error) {
	var of []Version
	nodes := []string{}
	for _, v := range list {
		if v.Share == share && (node == "" || v.Node == node) {
			of = append(of, v)
			if !slices.Contains(nodes, v.Node) {
				nodes = append(nodes, v.Node)
			}
		}
	}
	if len(nodes) > 1 && slices.Contains(nodes, own) {
		of, nodes = slices.DeleteFunc(of, func(v Version) bool { return v.Node != own }), []string{own}
	}
	switch {
	case len(of) == 0:
		return Version{}, fault.New(fault.Input, "run `sudo shelf backup list NAME`", "there is no backup of the share %q", share)
	case len(nodes) > 1:
		return Version{}, fault.New(fault.Usage, "add node=NAME", "several nodes have backups of %q there: %s", share, strings.Join(nodes, ", "))
	}
	var best Version
	for _, v := range of {
		if (at.IsZero() || !v.Time.After(at)) && v.Name > best.Name {
			best = v
		}
	}
	if best.Name == "" {
		return best, fault.New(fault.Input, "the oldest is of "+of[0].Time.Local().Format(time.DateTime), "there is no backup of that time of the share %q", share)
	}
	return best, nil
}

// Wish is what a person wants back.
type Wish struct {
	Share string
	Path  string    // in the share; empty for all of it
	Node  string    // whose backup; empty for this node's
	At    time.Time // zero for the newest
	Into  string    // an absolute directory to put it into; empty for where it was

	Identity *backupkey.Identity // reads backups of a server
}

// Restore brings a share, or a path in it, back. A share must be empty: what is there is never
// written over. A path that is there is kept under another name, aside.
func (j *Job) Restore(ctx context.Context, place string, w Wish) (v Version, to, aside string, err error) {
	to = w.Into
	if to == "" {
		s, err := j.shareNamed(w.Share)
		if err != nil {
			return v, "", "", err
		}
		to = filepath.Join(s.Dir, w.Path)
	}
	if w.Path != "" && !filepath.IsLocal(w.Path) {
		return v, "", "", fault.New(fault.Usage, "give a path below the share", "%q leaves the share", w.Path)
	}
	if p, ok := j.Remotes[place]; ok {
		v, aside, err = j.fetch(ctx, p, w, to)
		return v, to, aside, err
	}
	err = j.look(place, func(s State, root string) error {
		list, err := versions(root)
		if err != nil {
			return err
		}
		if v, err = Pick(list, w.Node, s.ID, w.Share, w.At); err != nil {
			return err
		}
		aside, err = j.bring(tree(filepath.Join(root, vaultDir, v.Node, v.Share)).path(v.Name), to, v, w)
		return err
	})
	return v, to, aside, err
}

// bring copies what is wanted from a snapshot.
func (j *Job) bring(snap, to string, v Version, w Wish) (aside string, err error) {
	from := filepath.Join(snap, w.Path)
	st, err := os.Lstat(from)
	if err != nil {
		return "", fault.Wrap(err, fault.Input, "add at=TIME for another one", "the backup %s has no %s", v.Name, w.Path)
	}
	if w.Path != "" && w.Into == "" {
		return snapshots.Restore(snapshots.Version{Time: v.Time, Path: from}, to, j.Now())
	}
	if !st.IsDir() {
		return "", fault.New(fault.Usage, "leave into= out; what is there is kept under another name", "%s is a file", w.Path)
	}
	// A new node makes a backup of its empty shares as soon as a disk is enrolled: that is never
	// what somebody who names no time wants back.
	if w.Path == "" && w.At.IsZero() {
		if empty, err := holdsNothing(from); err != nil || empty {
			return "", fault.Wrap(cmp.Or(err, errEmpty), fault.Input, "run `sudo shelf backup list NAME` and add at=TIME for an older one", "the newest backup of %q, %s, cannot be what is wanted", v.Share, v.Name)
		}
	}
	return "", j.fill(from, to)
}

// errEmpty means that a backup has no files.
var errEmpty = errors.New("it is empty")

// holdsNothing reports whether a directory has nothing but where its snapshots are shown.
func holdsNothing(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	return !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() != snapshots.Shown }), err
}

// part is what is not copied whole yet, in the directory that is restored.
const part = ".shelf-restore"

// fill copies a directory's content to another one, which must be empty, or does not exist. What
// is not copied whole is in part until it is; a copy that was cut begins again.
func (j *Job) fill(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(to)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != part && e.Name() != snapshots.Shown {
			return fault.New(fault.Input, "add into=DIRECTORY, or name a path in the share", "%s is not empty; nothing was touched", to)
		}
	}
	in := filepath.Join(to, part)
	if err := os.RemoveAll(in); err != nil {
		return err
	}
	j.Say("copying to %s", to)
	if err := snapshots.CopyTree(from, in); err != nil {
		return errors.Join(err, os.RemoveAll(in))
	}
	if err := syncFS(to); err != nil {
		return err
	}
	copied, err := os.ReadDir(in)
	if err != nil {
		return err
	}
	for _, e := range copied {
		if e.Name() == snapshots.Shown { // a mount point, empty in a backup
			continue
		}
		if err := os.Rename(filepath.Join(in, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return errors.Join(os.RemoveAll(in), snapshots.CopyMeta(from, to), syncFS(to))
}
