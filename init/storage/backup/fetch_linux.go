package backup

import (
	"context"
	"io"
	"path"
	"slices"

	"imgbuild/init/contract/backupkey"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/backup/parts"
	"imgbuild/init/storage/snapshots"
)

// versions lists the complete backups on a server by the names of its files.
func (s *server) versions() (list []Version, err error) {
	nodes, err := s.List(".")
	if err != nil {
		return nil, err
	}
	for _, node := range sortedKeys(nodes) {
		of, err := s.List(node)
		if err != nil {
			return nil, err
		}
		for _, share := range sortedKeys(of) {
			names, err := s.List(path.Join(node, share))
			if err != nil {
				return nil, err
			}
			for _, name := range sortedKeys(names) {
				t, ok := snapshots.Time(name)
				if !ok {
					continue
				}
				files, err := s.List(path.Join(node, share, name))
				if err != nil {
					return nil, err
				}
				if _, whole := files[parts.ListName]; whole {
					list = append(list, Version{node, share, name, t})
				}
			}
		}
	}
	return list, nil
}

// fetch restores from a server: the backups that lead to the one that is wanted are received into
// the snapshots of the share, and copied from there.
func (j *Job) fetch(ctx context.Context, p config.BackupPlace, w Wish, to string) (v Version, aside string, err error) {
	if w.Identity == nil {
		return v, "", fault.New(fault.Usage, "add identity=FILE, or identity=- for standard input", "backups on a server are encrypted")
	}
	share, err := j.shareNamed(w.Share)
	if err != nil {
		return v, "", err
	}
	unlock, err := j.lock()
	if err != nil {
		return v, "", err
	}
	defer unlock()
	st, err := Load(j.Own)
	if err != nil {
		return v, "", err
	}
	s, err := j.dial(ctx, p)
	if err != nil {
		return v, "", err
	}
	defer s.Close()
	there, err := s.versions()
	if err != nil {
		return v, "", err
	}
	if v, err = Pick(there, w.Node, st.ID, w.Share, w.At); err != nil {
		return v, "", err
	}
	all, _, err := s.lists(v.Node, v.Share, w.Identity.Signer)
	if err != nil {
		return v, "", err
	}
	chain, err := parts.Chain(all, v.Name)
	if err != nil {
		return v, "", err
	}
	own := share.from()
	snap, err := j.receive(ctx, s, own, chain, w.Identity)
	if err != nil {
		return v, "", err
	}
	if aside, err = j.bring(own.path(snap), to, v, w); err != nil {
		return v, "", err
	}
	return v, aside, j.tidy(ctx, st, share)
}

// receive brings a chain of backups into a tree, and returns the name of the last one there.
func (j *Job) receive(ctx context.Context, s *server, own tree, chain []parts.List, id *backupkey.Identity) (name string, err error) {
	if err := own.clean(ctx); err != nil {
		return "", err
	}
	for _, l := range chain {
		have, err := own.list(false)
		if err != nil {
			return "", err
		}
		if i := slices.IndexFunc(have, func(s Snap) bool { return s.Whole && s.Stream == l.Stream }); i >= 0 {
			name = have[i].Name
			continue
		}
		dir := path.Join(l.Node, l.Share, l.Name)
		j.Say("receiving %s of %s", l.Name, l.Share)
		_, err = transfer(func(w io.Writer) error {
			return l.Read(ctx, id.Keys, func(i int) (io.ReadCloser, error) { return s.Open(path.Join(dir, parts.FileOf(i))) }, w)
		}, func(r io.Reader) error { return own.receive(ctx, Snap{Name: l.Name, Stream: l.Stream}, r) })
		if err != nil {
			return "", err
		}
		name = l.Name
	}
	return name, nil
}
