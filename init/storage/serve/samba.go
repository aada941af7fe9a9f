package serve

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
	for _, name := range lasting {
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
	if err := s.enlist(ctx, p.Passdb(""), private); err != nil {
		return err
	}
	// Draws the machine's SID, if it has none.
	if _, err := supervise.Run(ctx, supervise.Cmd("net", "--configfile="+sambaFile, "getlocalsid")); err != nil {
		return fault.Wrap(err, fault.Internal, "", "Samba's identity")
	}
	for _, name := range lasting {
		data, err := os.ReadFile(filepath.Join(private, name))
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
	if err := s.enlist(ctx, shares.Plan{}.Passdb(config.NTHash(s.password)), private); err != nil {
		return err
	}
	s.passdb = want
	return nil
}

// enlist imports accounts in the form of smbpasswd and checks that all of them are there: the
// import ends without an error at the first that it cannot take.
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
	have, err := s.listed(ctx)
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, ":")
		found := false
		for _, h := range have {
			found = found || h == name
		}
		if !found {
			return fault.New(fault.Internal, "see `shelf logs smbd`", "Samba does not take the account %s", name)
		}
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
