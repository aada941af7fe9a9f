package serve

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/shares"
	"imgbuild/init/supervise"
)

// lasting are the databases that belong to the data: accounts with their numbers, and the machine's
// own identity.
var lasting = []string{"passdb.tdb", "secrets.tdb"}

// samba makes Samba's accounts those of the plan. smbd works on copies in memory, so that an idle
// box writes nothing to its disk; what lasts is copied to the disk here. The probe account is only
// in memory.
func (s *Server) samba(ctx context.Context, p shares.Plan, state string) error {
	kept, private := filepath.Join(state, "samba"), filepath.Join(shares.SambaDir, "private")
	want := state + "\n" + p.Passdb("")
	if s.passdb == want {
		return nil
	}
	ops := []mount.Op{mount.Dir{Path: kept, Mode: 0o700}, mount.Dir{Path: shares.SambaDir, Mode: 0o755}, mount.Dir{Path: private, Mode: 0o700}}
	for _, sub := range []string{"state", "cache", "lock", "ncalrpc"} {
		ops = append(ops, mount.Dir{Path: filepath.Join(shares.SambaDir, sub), Mode: 0o755})
	}
	if err := mount.Do(ops...); err != nil {
		return err
	}
	for _, name := range append(lasting, accountsSum) {
		to := filepath.Join(private, name)
		if _, err := os.Stat(to); err == nil {
			continue // of this boot
		}
		if data, err := os.ReadFile(filepath.Join(kept, name)); err == nil {
			if err := atomicfile.WriteAs(to, data, 0o600, 0, 0); err != nil {
				return err
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Each of Samba's programs takes seconds on a small board: nothing is asked twice.
	if s.probed { // of this boot alone: not to be copied
		if _, err := pdbedit(ctx, "-x", shares.Probe); err != nil {
			return err
		}
		s.probed = false
	}
	if err := s.people(ctx, p, private); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(private, "secrets.tdb")); err != nil { // draws the machine's SID
		if _, err := supervise.Run(ctx, supervise.Cmd("net", "--configfile="+sambaFile, "getlocalsid")); err != nil {
			return fault.Wrap(err, fault.Internal, "", "Samba's identity")
		}
	}
	for _, name := range append(lasting, accountsSum) {
		data, err := os.ReadFile(filepath.Join(private, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // no account yet
		}
		if err != nil {
			return err
		}
		if old, err := os.ReadFile(filepath.Join(kept, name)); err == nil && string(old) == string(data) {
			continue
		}
		if err := atomicfile.WriteAs(filepath.Join(kept, name), data, 0o600, 0, 0); err != nil {
			return err
		}
	}
	probe := shares.Plan{}.Passdb(config.NTHash(s.password))
	if err := s.enlist(ctx, probe, private); err != nil {
		return err
	}
	s.probed = true
	have, err := s.listed(ctx)
	if err != nil {
		return err
	}
	for line := range strings.Lines(p.Passdb("") + probe) {
		if name, _, _ := strings.Cut(line, ":"); !slices.Contains(have, name) {
			return fault.New(fault.Internal, "see `shelf logs smbd`", "Samba does not take the account %s", name)
		}
	}
	s.passdb = want
	return nil
}

// accountsSum is a file with the hash of what the accounts were made of.
const accountsSum = "accounts.sum"

// people makes the users' accounts those of the plan, unless they are.
func (s *Server) people(ctx context.Context, p shares.Plan, private string) error {
	text := p.Passdb("")
	mark := filepath.Join(private, accountsSum)
	if was, err := os.ReadFile(mark); err == nil && string(was) == sum(text) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(private, "passdb.tdb")); err == nil {
		have, err := s.listed(ctx)
		if err != nil {
			return err
		}
		for _, name := range have {
			if u, ok := p.User(name); !ok || u.NT == "" {
				if _, err := pdbedit(ctx, "-x", name); err != nil {
					return err
				}
			}
		}
	}
	if err := s.enlist(ctx, text, private); err != nil {
		return err
	}
	return atomicfile.WriteAs(mark, []byte(sum(text)), 0o600, 0, 0)
}

// enlist imports accounts in the form of smbpasswd. The import ends without an error at the first
// that it cannot take: the caller looks at the list.
func (s *Server) enlist(ctx context.Context, text, private string) error {
	if text == "" {
		return nil
	}
	file := filepath.Join(private, "import")
	if err := atomicfile.WriteAs(file, []byte(text), 0o600, 0, 0); err != nil {
		return err
	}
	defer os.Remove(file)
	if _, err := pdbedit(ctx, "-i", "smbpasswd:"+file, "-e", "tdbsam:"+filepath.Join(private, "passdb.tdb")); err != nil {
		return err
	}
	return nil
}

// listed are the accounts that Samba has.
func (s *Server) listed(ctx context.Context) ([]string, error) {
	out, err := pdbedit(ctx, "-L")
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(out) {
		if f := strings.SplitN(line, ":", 3); len(f) == 3 && !strings.Contains(f[0], " ") {
			names = append(names, f[0])
		}
	}
	return names, nil
}

func pdbedit(ctx context.Context, args ...string) (string, error) {
	res, err := supervise.Run(ctx, supervise.Cmd(append([]string{"pdbedit", "--configfile=" + sambaFile}, args...)...))
	return string(res.Output), fault.Wrap(err, fault.Internal, "see `shelf logs smbd`", "Samba's accounts")
}
