package backup

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	k3sbackup "imgbuild/init/k3s/backup"
	"imgbuild/init/storage/backup/parts"
	"imgbuild/init/storage/snapshots"

	"filippo.io/age"
)

// Of the backups on a server each but the first of a chain needs the ones before it. A new chain
// begins after chainAge, with a whole backup; the newest chains are kept.
const (
	chainAge   = 90 * 24 * time.Hour
	chainsKept = 2
	journalDir = "parts"
)

// server is an sftp server with backups.
type server struct {
	*k3sbackup.Folder
	to     []age.Recipient
	seed   []byte // of the key that signs
	signer ed25519.PublicKey
	size   int64
}

// Login is the part of a Job that logs in to a server, with the key of this node's backups.
func (j *Job) login(p config.BackupPlace) *k3sbackup.Job {
	c := &config.Config{Backup: config.Backup{To: p.URL, HostKey: p.HostKey}}
	return &k3sbackup.Job{Config: c, Host: j.Host, Root: filepath.Join(j.Own, ownDir, "ssh"), Say: j.Say,
		FixHost: "if it was reinstalled, set storage.backup.to.NAME.host_key to its new key"}
}

// Key is the line for the authorized_keys of servers.
func (j *Job) Key() (string, error) {
	_, line, err := j.login(config.BackupPlace{}).Key()
	return line, err
}

func (j *Job) dial(ctx context.Context, p config.BackupPlace) (*server, error) {
	s := &server{size: j.partSize}
	for _, text := range p.Recipients {
		r, err := age.ParseX25519Recipient(text)
		if err != nil {
			return nil, fault.Wrap(err, fault.Input, "make one with `imgbuild keygen backup`", "the recipient %s", text)
		}
		s.to = append(s.to, r)
	}
	var err error
	if s.seed, err = base64.StdEncoding.DecodeString(p.SigningKey); err != nil || len(s.seed) != ed25519.SeedSize || len(s.to) == 0 {
		return nil, fault.New(fault.Input, "make them with `imgbuild keygen backup`", "recipients or signing_key are missing or bad")
	}
	s.signer = ed25519.NewKeyFromSeed(s.seed).Public().(ed25519.PublicKey)
	s.Folder, err = j.login(p).OpenFolder(ctx)
	return s, err
}

// lists reads the lists of a share's backups that are complete, and the names of the others.
func (s *server) lists(node, share string, signer ed25519.PublicKey) (all []parts.List, cut []string, err error) {
	dirs, err := s.List(path.Join(node, share))
	if err != nil {
		return nil, nil, err
	}
	for name := range dirs {
		if _, ok := snapshots.Time(name); !ok {
			continue
		}
		files, err := s.List(path.Join(node, share, name))
		if err != nil {
			return nil, nil, err
		}
		if _, ok := files[parts.ListName]; !ok {
			cut = append(cut, name)
			continue
		}
		l, err := s.list(path.Join(node, share, name), signer)
		if err != nil {
			return nil, nil, err
		}
		if l.Node != node || l.Share != share || l.Name != name {
			return nil, nil, fault.New(fault.Verify, "look at the server: somebody has moved it there", "%s is a backup of %s, and not of %s", path.Join(node, share, name), path.Join(l.Node, l.Share, l.Name), share)
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b parts.List) int { return strings.Compare(a.Name, b.Name) })
	return all, cut, nil
}

func (s *server) list(dir string, signer ed25519.PublicKey) (parts.List, error) {
	f, err := s.Open(path.Join(dir, parts.ListName))
	if err != nil {
		return parts.List{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 64<<20))
	if err != nil {
		return parts.List{}, fault.Wrap(err, fault.Network, "", "reading %s", dir)
	}
	l, err := parts.Open(data, signer)
	if err != nil {
		return l, fault.Wrap(err, fault.Verify, "", "%s", dir)
	}
	return l, nil
}

// goOn are the backups that an increment may follow: those of the newest chain, unless it is old.
func goOn(all []parts.List, now time.Time) (snaps []Snap) {
	if len(all) == 0 {
		return nil
	}
	chain, err := parts.Chain(all, all[len(all)-1].Name)
	if err != nil {
		return nil
	}
	if t, ok := snapshots.Time(chain[0].Name); !ok || now.Sub(t) >= chainAge {
		return nil
	}
	for _, l := range chain {
		snaps = append(snaps, Snap{Name: l.Name, Stream: l.Stream, Whole: true})
	}
	return snaps
}

// journal is what is known of a transfer that is not at its end.
type journal struct {
	Name, Stream, Base string
	Parts              []parts.Part
}

func (j *Job) journalFile(place, share string) string {
	return filepath.Join(j.Own, ownDir, journalDir, place, share+".json")
}

// journal returns the zero value where there is none.
func readJournal(file string) (g journal) {
	data, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(data, &g) != nil {
		return journal{}
	}
	return g
}

func (g journal) save(file string) error {
	data, err := json.Marshal(g)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(file, data, 0o600)
}

// pendings are the streams of a share's snapshots whose transfers were cut.
func (j *Job) pendings(share string) (streams []string) {
	for name := range j.Remotes {
		if g := readJournal(j.journalFile(name, share)); g.Stream != "" {
			streams = append(streams, g.Stream)
		}
	}
	return streams
}

// openRemote opens a server.
func (j *Job) openRemote(ctx context.Context, st State, name string, p config.BackupPlace) (*vault, error) {
	s, err := j.dial(ctx, p)
	if err != nil {
		return nil, err
	}
	found, cuts := map[string][]parts.List{}, map[string][]string{} // by share
	return &vault{
		list: func(_ context.Context, share string) (snaps []Snap, err error) {
			if found[share], cuts[share], err = s.lists(st.ID, share, s.signer); err != nil {
				return nil, err
			}
			return goOn(found[share], j.Now()), nil
		},
		put: func(ctx context.Context, share string, sn Snap, base *Snap, stream io.Reader) error {
			l := parts.List{Node: st.ID, Share: share, Name: sn.Name, Stream: sn.Stream}
			if base != nil {
				l.Base = base.Name
			}
			return s.put(ctx, j.journalFile(name, share), l, stream)
		},
		prune: func(_ context.Context, share string, _ []Snap, _ string) error {
			drop := parts.Surplus(found[share], chainsKept)
			for _, c := range cuts[share] {
				if c != readJournal(j.journalFile(name, share)).Name {
					drop = append(drop, c)
				}
			}
			for _, d := range drop {
				if err := s.Remove(path.Join(st.ID, share, d), parts.ListName); err != nil {
					return fault.Wrap(err, fault.Network, "", "removing the backup %s", d)
				}
			}
			return nil
		},
		pending: func(share string) string { return readJournal(j.journalFile(name, share)).Name },
		close:   s.Close,
	}, nil
}

// put sends what a server does not have of a backup yet: parts first, the list last.
func (s *server) put(ctx context.Context, file string, l parts.List, stream io.Reader) error {
	dir := path.Join(l.Node, l.Share, l.Name)
	g := readJournal(file)
	if g.Name != l.Name || g.Stream != l.Stream || g.Base != l.Base {
		g = journal{Name: l.Name, Stream: l.Stream, Base: l.Base}
	}
	there, err := s.List(dir)
	if err != nil {
		return err
	}
	if missing := parts.Missing(g.Parts, there); len(missing) > 0 {
		g.Parts = g.Parts[:missing[0]]
	}
	if err := g.save(file); err != nil {
		return err
	}
	w := parts.Writer{To: s.to, Size: s.size,
		Put:  func(i int, r io.Reader) error { return s.Put(path.Join(dir, parts.FileOf(i)), r) },
		Note: func(done []parts.Part) error { g.Parts = done; return g.save(file) },
	}
	done, err := w.Write(ctx, stream, g.Parts)
	if errors.Is(err, parts.ErrDiffers) {
		return errors.Join(err, os.Remove(file))
	}
	if err != nil {
		return err
	}
	for _, p := range done {
		p.Plain = "" // nobody there needs to compare contents
		l.Parts = append(l.Parts, p)
	}
	data, err := l.Sign(s.seed)
	if err != nil {
		return err
	}
	if err := s.Put(path.Join(dir, parts.ListName), strings.NewReader(string(data))); err != nil {
		return err
	}
	return os.Remove(file)
}
