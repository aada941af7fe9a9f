package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/disks"

	"golang.org/x/sys/unix"
)

// Share is a share that is backed up.
type Share struct {
	Name string
	Dir  string // absolute
	Disk string // the mount point of its disk
}

// from is where the snapshots of the share are that transfers begin from.
func (s Share) from() tree {
	return tree(filepath.Join(s.Disk, disks.Own, ownDir, snapsDir, s.Name))
}

// Job is what backups of a node need. It runs in a process of its own, as root.
type Job struct {
	Own     string // the directory .shelfos of the first disk in use
	Host    string
	Shares  []Share // to back up
	All     []Share // to restore
	Remotes map[string]config.BackupPlace
	Left    []error // why shares that the configuration names cannot be backed up
	Keep    []config.SnapshotRule
	Devices func() ([]disks.Device, error) // those of the machine
	Say     func(format string, a ...any)
	Now     func() time.Time

	partSize int64 // of the stream in a part at a server; 0: as the package does
}

// Run makes a backup to a place. How it went is in the State.
func (j *Job) Run(ctx context.Context, name string) error {
	unlock, err := j.lock()
	if err != nil {
		return err
	}
	defer unlock()
	s, err := Load(j.Own)
	if err != nil {
		return err
	}
	if _, ok := s.Places[name]; !ok && !j.remote(name) {
		return unknown(name)
	}
	s = s.without(j.remote)
	if len(j.Shares)+len(j.Left) == 0 {
		return fault.New(fault.Input, "run `sudo shelf storage convert SHARE`", "no share can be backed up: that needs a btrfs subvolume on a disk that is in use")
	}
	if s.ID == "" {
		s.ID = newID(j.Host)
	}
	now := j.Now().UTC().Truncate(time.Second)
	s, sent, err := j.run(ctx, s, name, now)
	s = s.with(name, func(p *Place) {
		p.Tried = now
		if err != nil {
			p.Error, p.Fails = err.Error(), p.Fails+1
			return
		}
		p.Good, p.Error, p.Fails, p.Sent = now, "", 0, sent
	})
	return errors.Join(err, s.save(j.Own))
}

// Servers are the names of the servers, sorted.
func (j *Job) Servers() []string { return sortedKeys(j.Remotes) }

// remote reports whether a place is one of the configuration.
func (j *Job) remote(name string) bool { _, ok := j.Remotes[name]; return ok }

func unknown(name string) error {
	return fault.New(fault.Usage, "run `sudo shelf backup`, which lists them", "no place for backups has the name %q", name)
}

// run sends every share. The others go on when one fails.
func (j *Job) run(ctx context.Context, s State, name string, now time.Time) (State, int64, error) {
	v, err := j.open(ctx, s, name)
	if err != nil {
		return s, 0, err
	}
	errs := slices.Clone(j.Left)
	var sent int64
	for _, share := range j.Shares {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			break
		}
		base, n, err := j.share(ctx, v, share, s.Places[name].Bases[share.Name], now)
		sent += n
		errs = append(errs, fault.Wrap(err, fault.Device, "", "the share %s", share.Name))
		if base != "" {
			s = s.with(name, func(p *Place) {
				if p.Bases == nil {
					p.Bases = map[string]string{}
				}
				p.Bases[share.Name] = base
			})
		}
		errs = append(errs, s.save(j.Own), j.tidy(ctx, s, share))
	}
	errs = append(errs, v.close())
	return s, sent, errors.Join(errs...)
}

// share sends one share to an open place. It returns the stream of the newest snapshot that both
// sides have, empty where it is as it was.
func (j *Job) share(ctx context.Context, v *vault, share Share, before string, now time.Time) (base string, sent int64, err error) {
	own := share.from()
	if err := own.clean(ctx); err != nil {
		return "", 0, err
	}
	have, err := own.list(false)
	if err != nil {
		return "", 0, err
	}
	pending := ""
	if v.pending != nil {
		pending = v.pending(share.Name)
	}
	pending = kept(have, pending)
	if list := byAge(have); len(list) == 0 || pending == "" && changed(share.Dir, own.path(list[len(list)-1].Name)) {
		if err := own.make(ctx, share.Dir, NameAt(have, now)); err != nil {
			return "", 0, err
		}
		if have, err = own.list(false); err != nil {
			return "", 0, err
		}
	}
	there, err := v.list(ctx, share.Name)
	if err != nil {
		return "", 0, err
	}
	if err := v.prune(ctx, share.Name, there, before); err != nil {
		return "", 0, err
	}
	send, from := Next(upTo(have, pending), there)
	if send == nil {
		if from == nil {
			return "", 0, fault.New(fault.Internal, "", "there is no snapshot of it")
		}
		j.Say("%s: nothing was written since the last backup", share.Name)
		return from.Stream, 0, nil
	}
	how := "whole"
	if from != nil {
		how = "what has changed since " + from.Name
	}
	j.Say("%s: sending %s, %s", share.Name, send.Name, how)
	sent, err = transfer(func(w io.Writer) error { return own.send(ctx, *send, from, w) },
		func(r io.Reader) error { return v.put(ctx, share.Name, *send, from, r) })
	if err != nil {
		return "", sent, err
	}
	j.Say("%s: %.1f MB were sent", share.Name, float64(sent)/1e6)
	return send.Stream, sent, nil
}

// transfer has one side write a stream that the other one reads, and returns its length in bytes.
func transfer(from func(io.Writer) error, to func(io.Reader) error) (int64, error) {
	r, w := io.Pipe()
	count := counter{w: w}
	sent := make(chan error, 1)
	guard.Go(func() {
		err := from(&count)
		_ = w.CloseWithError(err)
		sent <- err
	})
	err := to(r)
	_ = r.CloseWithError(errors.Join(errors.New("the other side has ended"), err))
	serr := <-sent
	if err != nil && serr != nil && !errors.Is(serr, io.ErrClosedPipe) {
		return count.n, fmt.Errorf("%w (%w)", err, serr)
	}
	if err == nil && serr != nil {
		return count.n, serr
	}
	return count.n, err
}

// tidy deletes the snapshots of a share that no transfer will begin from.
func (j *Job) tidy(ctx context.Context, s State, share Share) error {
	own := share.from()
	have, err := own.list(false)
	if err != nil {
		return err
	}
	return own.drop(ctx, Unneeded(have, append(s.Bases(share.Name), j.pendings(share.Name)...)))
}

// changed reports whether a share was written since a snapshot of it was made. One that cannot be
// asked has changed.
func changed(share, snapshot string) bool {
	if syncFS(share) != nil { // what was written lately has no generation before it is committed
		return true
	}
	now, err := infoOf(share)
	then, err2 := infoOf(snapshot)
	return err != nil || err2 != nil || now.gen > then.gen
}

// open opens a place.
func (j *Job) open(ctx context.Context, s State, name string) (*vault, error) {
	if r, ok := j.Remotes[name]; ok {
		return j.openRemote(ctx, s, name, r)
	}
	root, done, err := j.attach(s.Places[name], name)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, vaultDir, s.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, errors.Join(err, done())
	}
	at := func(share string) tree { return tree(filepath.Join(dir, share)) }
	return &vault{
		list: func(_ context.Context, share string) ([]Snap, error) { return at(share).list(true) },
		put: func(ctx context.Context, share string, s Snap, _ *Snap, stream io.Reader) error {
			return at(share).receive(ctx, s, stream)
		},
		prune: func(ctx context.Context, share string, there []Snap, base string) error {
			return at(share).drop(ctx, append(Cut(there), Surplus(j.Keep, there, base, j.Now())...))
		},
		close: done,
	}, nil
}

// lock keeps a second run out.
func (j *Job) lock() (unlock func(), err error) {
	dir := filepath.Join(j.Own, ownDir)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fault.Wrap(err, fault.Device, "run `shelf storage`", "no disk is in use that can be written")
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fault.New(fault.Usage, "wait until it is done", "a backup is made or restored already")
	}
	return func() { f.Close() }, nil
}

// Forget removes a place: nothing is kept for it any more. What is there stays.
func (j *Job) Forget(ctx context.Context, name string) error {
	unlock, err := j.lock()
	if err != nil {
		return err
	}
	defer unlock()
	s, err := Load(j.Own)
	if err != nil {
		return err
	}
	if _, ok := s.Places[name]; !ok {
		return unknown(name)
	}
	delete(s.Places, name)
	if err := s.save(j.Own); err != nil {
		return err
	}
	var errs []error
	for _, share := range j.Shares {
		errs = append(errs, j.tidy(ctx, s, share))
	}
	return errors.Join(errs...)
}

// shareNamed returns one of the shares.
func (j *Job) shareNamed(name string) (Share, error) {
	i := slices.IndexFunc(j.All, func(s Share) bool { return s.Name == name })
	if i < 0 {
		return Share{}, fault.New(fault.Usage, "run `shelf storage`, which lists the shares", "there is no share %q on a disk that is in use", name)
	}
	return j.All[i], nil
}
