// Package serve runs the servers of a storage node: the kernel's NFS server with its programs, smbd
// and vsftpd. Update brings disks, accounts, directories and files to the state of the
// configuration, at boot, when it changes, and when a disk comes or goes; sessions of other shares
// go on.
package serve

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/base/mount"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/care"
	"imgbuild/init/storage/disks"
	"imgbuild/init/storage/nfs"
	"imgbuild/init/storage/shares"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// Where the files of the servers are. All of them are made again at each boot; what lasts is in
// .shelfos of the first disk in use, to which the link leads.
const (
	runDir    = "/run/shelf/storage"
	stateLink = runDir + "/state"
	stateCopy = runDir + "/copy" // of .shelfos, while no disk can be written
	sambaFile = runDir + "/smb.conf"
	ftpFile   = runDir + "/vsftpd.conf"
	exports   = "/etc/exports"
)

// Server is the storage of a node. All methods may be called from any goroutine.
type Server struct {
	Config func() *config.Config // the newest one
	Host   string
	Disks  *disks.Disks
	Care   *care.Keeper
	Super  *supervise.Supervisor
	Load   func(module string, params ...string) error // loads a kernel module
	Edit   func(path string, change func(old string) string) error
	Sync   func() // makes the units run that Units and others list
	Say    func(format string, a ...any)

	work     sync.Mutex // held by Update
	password string     // of the probe account, for this boot
	hash     string     // crypt(5) of it
	names    []string   // of the accounts that were made
	binds    []shares.Bind
	written  map[string]string // path -> content of the files of the servers
	passdb   string            // what Samba's accounts were made of
	probed   bool              // the probe account is among them

	mu        sync.Mutex // of what follows
	now       shares.Plan
	paths     []string       // of the exports
	state     string         // the directory in the first disk; empty for none
	why       string         // why there is none
	namesOf   *config.Config // whose units have the names in unitNames
	unitNames []string

	good  map[string]time.Time // when the snapshots of a share were last up to date
	peers []nfs.Peer           // the clients of the NFS server, when they were looked at last
	lack  map[string]string    // what a server waits for besides it, by unit; empty for nothing
}

// secret is the password of the probe account.
func (s *Server) secret() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.password
}

func (s *Server) plan() shares.Plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *Server) exported() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.paths)
}

// lacks is why a server cannot start; empty if it can. mu is held.
func (s *Server) lacks(name string) string {
	switch {
	case s.state != "":
		return s.lack[name]
	case s.why != "":
		return s.why
	}
	return "the disks are looked at"
}

func sum(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:8])
}

// Update makes everything what the configuration and the disks require. Its errors do not stop it:
// what can be served is.
func (s *Server) Update(ctx context.Context) error {
	s.work.Lock()
	defer s.work.Unlock()
	if s.password == "" {
		var b [32]byte
		var salt [16]byte
		if _, err := rand.Read(b[:]); err != nil {
			return err
		}
		if _, err := rand.Read(salt[:]); err != nil {
			return err
		}
		s.mu.Lock()
		s.password = hex.EncodeToString(b[:])
		s.lack = map[string]string{smbd: "its accounts are made", vsftpd: "its certificate is made"}
		s.mu.Unlock()
		s.hash = config.HashSecret(s.password, salt[:])
		s.written = map[string]string{}
	}
	cfg := s.Config()
	plan := shares.Make(cfg.Storage)
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	list := s.Disks.Update(ctx, cfg)
	mounts, state, why := inUse(list)
	if first := firstDisk(list); state == "" && first != "" { // all that is there can only be read
		state = stateCopy
		note(copyState(filepath.Join(disks.MountPoint(first), disks.Own), stateCopy))
	}
	note(mount.Do(mount.Dir{Path: runDir, Mode: 0o711}, mount.Dir{Path: shares.FTPDir, Mode: 0o755}, mount.Dir{Path: shares.FTPEmpty, Mode: 0o755}))
	note(s.accounts(plan))
	plan, err := s.directories(ctx, plan, mounts)
	note(err)
	note(s.bind(plan, mounts))
	moved := false
	if state != "" {
		if have, err := os.Readlink(stateLink); err != nil || have != state {
			moved = err == nil
			note(mount.Do(mount.Symlink{Path: stateLink, Target: state}))
			s.loadPeers(state)
		}
	}
	note(s.snapshots(ctx, plan, mounts))
	restart, err := s.files(plan, mounts)
	note(err)

	s.mu.Lock()
	s.now, s.why, s.state = plan, why, state
	s.paths = nil
	for _, sh := range plan.Shares {
		if dir, ok := mounts.Path(sh); ok && sh.By("nfs") {
			s.paths = append(s.paths, dir)
		}
	}
	s.mu.Unlock()
	s.Sync()
	s.Super.Recheck() // NFS starts while the others' accounts and certificate are made
	note(s.ready(ctx, plan, state))
	if moved {
		note(s.restart(ctx, nfsd, mountd, statd, nfsdcld, smbd))
	}
	note(s.reload(ctx, restart))
	cared := careOf(cfg.Storage, list)
	note(s.limits(ctx, plan, cared, mounts))
	s.Care.Look(context.WithoutCancel(ctx), cared)
	return errors.Join(errs...)
}

// restart stops units in this order, and then starts those that ran: the kernel's server must not
// run while nfsdcld takes another database, for it records each client once.
func (s *Server) restart(ctx context.Context, names ...string) error {
	var errs []error
	var ran []string
	for _, name := range names {
		if st, ok := s.Super.State(name); ok && st.PID != 0 {
			ran = append(ran, name)
			errs = append(errs, s.Super.StopUnit(ctx, name))
		}
	}
	for _, name := range ran {
		errs = append(errs, s.Super.StartUnit(name))
	}
	return errors.Join(errs...)
}

// changes are what running servers have to read again.
type changes struct {
	exports, samba bool
	closed         []string // shares that SMB serves no more
}

// files writes what has changed of the servers' files, and reports who has to read them again.
func (s *Server) files(p shares.Plan, m shares.Mounts) (c changes, err error) {
	var errs []error
	before := s.written[sambaFile]
	for _, f := range []struct {
		path, text string
		mode       os.FileMode
	}{
		{exports, p.Exports(m), 0o644}, {sambaFile, p.Samba(s.Host, m), 0o644}, {ftpFile, p.FTP(), 0o600}, {shares.FTPUsers, p.FTPNames(), 0o600},
	} {
		if s.written[f.path] == f.text {
			continue
		}
		if err := atomicfile.WriteAs(f.path, []byte(f.text), f.mode, 0, 0); err != nil {
			errs = append(errs, err)
			continue
		}
		s.written[f.path] = f.text
		c.exports = c.exports || f.path == exports
		c.samba = c.samba || f.path == sambaFile
	}
	if c.samba {
		now := sections(p.Samba(s.Host, m))
		for _, name := range sections(before) {
			if name != "global" && !slices.Contains(now, name) {
				c.closed = append(c.closed, name)
			}
		}
	}
	return c, errors.Join(errs...)
}

// ready makes Samba's accounts and the certificate of FTP, which take long on a slow board, and
// lets each server start as soon as its own part is there.
func (s *Server) ready(ctx context.Context, p shares.Plan, state string) error {
	if state == "" {
		return nil
	}
	done := func(name string, err error) error {
		s.mu.Lock()
		s.lack[name] = "" // after an error too, which is reported: others may be served
		s.mu.Unlock()
		s.Super.Recheck()
		return err
	}
	made := make(chan error, 1)
	guard.Go(func() {
		if p.Any("ftp") && p.Settings.FTP.TLS != "off" {
			made <- done(vsftpd, certificate(filepath.Join(state, "ftp.pem"), s.Host))
		} else {
			made <- done(vsftpd, nil)
		}
	})
	var err error
	if p.Any("smb") {
		err = done(smbd, s.samba(ctx, p, state))
	}
	return errors.Join(err, <-made)
}

func sections(conf string) []string {
	var names []string
	for line := range strings.Lines(conf) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			names = append(names, line[1:len(line)-1])
		}
	}
	return names
}

// reload has running servers read what has changed. Clients of other shares see nothing of it.
func (s *Server) reload(ctx context.Context, c changes) error {
	var errs []error
	if st, ok := s.Super.State(nfsd); ok && st.Ready && c.exports {
		_, err := supervise.Run(ctx, supervise.Cmd("exportfs", "-ra"))
		errs = append(errs, fault.Wrap(err, fault.Internal, "", "publishing the exports"))
	}
	if st, ok := s.Super.State(smbd); ok && st.PID != 0 && c.samba {
		errs = append(errs, syscall.Kill(st.PID, syscall.SIGHUP))
		for _, name := range c.closed {
			_, err := supervise.Run(ctx, supervise.Cmd("smbcontrol", "--configfile="+sambaFile, "smbd", "close-share", name))
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// accounts makes the users of the plan those of the system.
func (s *Server) accounts(p shares.Plan) error {
	passwd, group, shadow := p.Accounts(s.hash)
	var errs []error
	for path, lines := range map[string][]string{"/etc/passwd": passwd, "/etc/group": group, "/etc/shadow": shadow} {
		errs = append(errs, s.Edit(path, func(old string) string { return shares.Replace(old, s.names, lines) }))
	}
	s.names = nil
	for _, line := range passwd {
		name, _, _ := strings.Cut(line, ":")
		s.names = append(s.names, name)
		errs = append(errs, mount.Do(mount.Dir{Path: filepath.Join(shares.FTPDir, name), Mode: 0o755}))
	}
	return errors.Join(errs...)
}

// bind shows every FTP user their shares, and removes those that are no longer theirs.
func (s *Server) bind(p shares.Plan, m shares.Mounts) error {
	want := p.Binds(m)
	var errs []error
	var have []shares.Bind
	for _, b := range s.binds {
		if slices.Contains(want, b) {
			have = append(have, b)
			continue
		}
		errs = append(errs, ignore(unix.Unmount(b.To, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW), unix.EINVAL, unix.ENOENT), ignore(os.Remove(b.To), unix.ENOENT))
	}
	for _, b := range want {
		if slices.Contains(have, b) {
			continue
		}
		if err := mount.Do(mount.Dir{Path: b.To, Mode: 0o755}, binding(b)); err != nil {
			errs = append(errs, err)
			continue
		}
		have = append(have, b)
	}
	s.binds = have
	return errors.Join(errs...)
}

func ignore(err error, kinds ...error) error {
	for _, k := range kinds {
		if errors.Is(err, k) {
			return nil
		}
	}
	return err
}
