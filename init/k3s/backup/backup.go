// Package backup copies what makes a k3s server that server, its datastore and its identity, once a
// day to another machine.
//
// A backup is a node archive (package archive) of the kind backup; the build option restore= makes
// a card of it. It is put together on the node's own disk, so that a slow or absent network neither
// holds k3s' database nor costs a second run, and goes to an sftp or an NFS server under a
// temporary name before it gets its own. It runs as a process of its own, `shelf backup now`, whose
// memory and mistakes are not PID 1's.
package backup

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"

	"golang.org/x/sys/unix"
)

// Dir is for backups alone: key, known hosts, state, and the archive while it is on its way.
const Dir = "/var/lib/shelf/backup"

// State is how backups went, as it is kept.
type State struct {
	To    string    `json:"to"`
	Last  time.Time `json:"last,omitzero"` // of the newest one that arrived
	Name  string    `json:"name,omitempty"`
	Size  int64     `json:"size,omitempty"`  // bytes
	Error string    `json:"error,omitempty"` // why the last attempt failed; empty after a good one
	Tried time.Time `json:"tried,omitzero"`
	Fails int       `json:"fails,omitempty"` // in a row
}

// Load reads the state; that of a node without a backup is the zero value.
func Load(dir string) (State, error) {
	var s State
	data, err := os.ReadFile(filepath.Join(dir, stateName))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	return s, err
}

// For returns the state of the backups to a place: what is known of another place does not count.
func (s State) For(to string) State {
	if s.To != to {
		return State{To: to}
	}
	return s
}

func (s State) save(dir string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, stateName), append(data, '\n'), 0o600)
}

// Job is one run.
type Job struct {
	Config *config.Config
	Host   string // the node's name
	K3s    string // version; may be empty
	Root   string // "" is /; tests have another one
	Say    func(format string, args ...any)
	// FixHost is what to do when the server shows another host key; empty: as for a k3s server.
	FixHost string
	// Snapshot makes a snapshot of etcd of this name and returns its path.
	Snapshot func(ctx context.Context, name string) (string, error)

	pause time.Duration // before the second attempt to send
}

// names in Dir.
const (
	stateName = "state.json"
	lockName  = "lock"
	suffix    = ".tar.zst"
)

func (j *Job) path(name string) string { return filepath.Join("/", j.Root, name) }

// attempts to send an archive, with pauses that grow fourfold.
const (
	attempts   = 4
	firstPause = 2 * time.Second
)

// Run makes a backup and removes those that are too many. The result is kept for Load.
func (j *Job) Run(ctx context.Context) (s State, err error) {
	if j.Config.Backup.To == "" {
		return s, fault.New(fault.Input, "set backup.to, such as sftp://backup@nas/shelf", "the configuration has no place for backups")
	}
	if role := j.Config.RoleOf(""); role != "server" {
		return s, fault.New(fault.Usage, "", "a %s has no datastore; the data to back up is on the server", role)
	}
	dir := j.path(Dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, err
	}
	unlock, err := exclusive(filepath.Join(dir, lockName))
	if err != nil {
		return s, err
	}
	defer unlock()
	if s, err = Load(dir); err != nil {
		j.say("what was known of earlier backups is lost: %v", err)
		s = State{}
	}
	now := time.Now().UTC().Truncate(time.Second)
	s.To, s.Tried = Shown(j.Config.Backup.To), now
	name := fmt.Sprintf("%s-%s%s", strings.ToLower(j.Host), now.Format(stampForm), suffix)
	name, size, err := j.run(ctx, dir, name, now)
	if err != nil {
		s.Error, s.Fails = err.Error(), s.Fails+1
		return s, errors.Join(err, s.save(dir))
	}
	s.Last, s.Name, s.Size, s.Error, s.Fails = now, name, size, "", 0
	return s, s.save(dir)
}

// run returns the name that the backup got there, and its size.
func (j *Job) run(ctx context.Context, dir, name string, now time.Time) (sent string, size int64, err error) {
	old, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
	half, _ := filepath.Glob(filepath.Join(dir, ".archive-*"))
	for _, path := range append(old, half...) { // of runs that a power cut ended
		_ = os.Remove(path)
	}
	file := filepath.Join(dir, name)
	defer os.Remove(file)
	if err := j.collect(ctx, file, now); err != nil {
		return "", 0, fmt.Errorf("putting the backup together: %w", err)
	}
	st, err := os.Stat(file)
	if err != nil {
		return "", 0, err
	}
	j.say("%s: %d KiB", name, st.Size()>>10)
	pause := cmp.Or(j.pause, firstPause)
	for try := 1; ; try++ {
		if sent, err = j.send(ctx, file, name); err == nil || try == attempts || ctx.Err() != nil || !again(err) {
			return sent, st.Size(), err
		}
		j.say("%v; trying again in %v", err, pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", 0, err
		}
		pause *= 4
	}
}

// again reports whether an error may go away by itself: a wrong key or a strange server does not.
func again(err error) bool {
	var f *fault.Error
	return !errors.As(err, &f) || f.Kind == fault.Network || f.Kind == fault.Device
}

// send puts the archive where it belongs, and then removes the oldest that are too many. It returns
// the name: clocks of boards are wrong at times, and the newest backup is to be the last by its
// name whatever the clock.
func (j *Job) send(ctx context.Context, file, name string) (string, error) {
	p, err := j.open(ctx)
	if err != nil {
		return "", err
	}
	defer p.close()
	in, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer in.Close()
	entries, err := p.list()
	if err != nil {
		return "", fault.Wrap(err, fault.Network, "", "the directory of backups cannot be read")
	}
	for _, old := range halves(entries, j.Host) {
		_ = p.remove(old) // of a run that was cut off
	}
	if there := ours(entries, j.Host); len(there) > 0 && there[0].Name >= name {
		name = after(there[0].Name)
	}
	if err := p.put(partName(name), name, in); err != nil {
		return "", unsent(err)
	}
	for _, old := range surplus(entries, j.Host, j.Config.Backup.Keep-1) {
		if err := p.remove(old); err != nil {
			j.say("%s is too old and could not be removed: %v", old, err)
		}
	}
	return name, nil
}

// after is the name of a backup with the time in it a second later.
func after(name string) string {
	rest := strings.TrimSuffix(name, suffix)
	host, stamp := rest[:max(0, len(rest)-len(stampForm))], rest[max(0, len(rest)-len(stampForm)):]
	t, err := time.Parse(stampForm, stamp)
	if err != nil || t.Year() == 9999 {
		return name
	}
	return host + t.Add(time.Second).Format(stampForm) + suffix
}

// partName is what a backup is called while it is sent: a name that nobody can know before, where
// others may write too.
func partName(name string) string { return "." + name + "." + rand.Text() + partSuffix }

// partSuffix ends the name of an incomplete file.
const partSuffix = ".part"

// stampForm is the time in a name: it sorts as text.
const stampForm = "20060102T150405Z"

// Entry is a file in the directory of backups.
type Entry struct {
	Name string
	Size int64
}

// List returns the backups of this node that are there, the newest first.
func (j *Job) List(ctx context.Context) ([]Entry, error) {
	p, err := j.open(ctx)
	if err != nil {
		return nil, err
	}
	defer p.close()
	all, err := p.list()
	if err != nil {
		return nil, fault.Wrap(err, fault.Network, "", "the directory of backups cannot be read")
	}
	return ours(all, j.Host), nil
}

// unsent reports why an archive was not sent. Errors that a person has to correct there are not
// tried again immediately.
func unsent(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return fault.Wrap(err, fault.Input, "let this node write to the directory; NFS takes its root for nobody (65534) unless exported with no_root_squash", "the backup server lets nobody write there")
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.Wrap(err, fault.Input, "free space there, or keep fewer (backup.keep); nothing that was there was touched", "the backup does not fit on its server")
	}
	return fault.Wrap(err, fault.Network, "", "sending the backup")
}

// named is the form of the names of one host's backups; another host's name may begin as this one's
// does.
func named(host string) string {
	return regexp.QuoteMeta(strings.ToLower(host)) + `-[0-9]{8}T[0-9]{6}Z` + regexp.QuoteMeta(suffix)
}

// halves are what runs of one host that were cut off left in a directory.
func halves(all []Entry, host string) []string {
	form := regexp.MustCompile(`^\.` + named(host) + `(\.[A-Z2-7]{26})?` + regexp.QuoteMeta(partSuffix) + `$`)
	var list []string
	for _, e := range all {
		if form.MatchString(e.Name) {
			list = append(list, e.Name)
		}
	}
	return list
}

// ours are the backups of one host among what is in a directory, the newest first.
func ours(all []Entry, host string) []Entry {
	form := regexp.MustCompile(`^` + named(host) + `$`)
	var list []Entry
	for _, e := range all {
		if form.MatchString(e.Name) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(b.Name, a.Name) })
	return list
}

// surplus returns the names after the newest keep.
func surplus(all []Entry, host string, keep int) []string {
	var names []string
	for i, e := range ours(all, host) {
		if i >= keep {
			names = append(names, e.Name)
		}
	}
	return names
}

func (j *Job) say(format string, args ...any) {
	if j.Say != nil {
		j.Say(format, args...)
	}
}

// exclusive keeps a second run out.
func exclusive(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fault.New(fault.Usage, "wait until it is done", "a backup is being made already")
	}
	return func() { f.Close() }, nil
}
