package shares

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/config"
	"imgbuild/qemu/tool"
)

const nt = "8846F7EAEE8FB117AD06BDD830B7586C"

var crypted = config.HashPassword("password", []byte("0123456789abcdef"))

// everything is a configuration in which each key of a share, a user and a server counts.
var everything = `
disks: [{name: data, device: auto}, {name: media, device: LABEL=media}]
users:
  ann: {uid: 1500, gid: 1600, password_hash: '` + crypted + `', smb_nt_hash: ` + nt + `}
  bob: {uid: 1501, password_hash: '` + crypted + `', smb_nt_hash: ` + nt + `}
shares:
  photos: {disk: media, path: pictures/all, read: [bob], write: [ann], via: [nfs, smb, ftp], networks: [192.168.1.0/24, 'fd00::/64'], nfs_as: ann, guest: true, recycle: true, time_machine: true, snapshots: [24 hourly, 7 daily], quota: 1G}
  root: {write: ['*'], via: [nfs], networks: [10.0.0.1], nfs_root: true}
  My Films: {read: ['*'], via: [smb, ftp]}
nfs: {threads: 16, grace: 60s, v3: true}
smb: {workgroup: SHELF}
ftp: {tls: optional, ports: 31000-31009}
`

func read(t *testing.T, tree any) config.Storage {
	t.Helper()
	text, err := yaml.Marshal(map[string]any{"storage": tree})
	if err != nil {
		t.Fatal(err)
	}
	l, problems := config.Parse("f.yaml", text)
	c, more := config.Merge(l)
	for _, p := range append(problems, more...) {
		t.Fatalf("%s\n%s", p, text)
	}
	return c.Storage
}

func tree(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := yaml.Unmarshal([]byte(everything), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

var mounts = Mounts{"data": {At: "/srv/data", UUID: "aaaa"}, "media": {At: "/srv/media", UUID: "bbbb"}}

// all is everything that a plan makes.
func all(p Plan) string {
	a, b, c := p.Accounts("P")
	var acl []string
	for _, s := range p.Shares {
		acl = append(acl, fmt.Sprintf("%s %x %d", s.Name, p.ACL(s), s.Quota))
	}
	return fmt.Sprint(p.Exports(mounts), p.Samba("nas", mounts), p.FTP(), p.FTPNames(), p.Binds(mounts), p.Passdb("P"), a, b, c, acl, p.Settings.NFS)
}

// Each key of users, shares and servers changes what is made; without it, it is as if it had never
// been there, because all is made of the configuration alone.
func TestEveryKeyCounts(t *testing.T) {
	whole := all(Make(read(t, tree(t))))
	if again := all(Make(read(t, tree(t)))); again != whole {
		t.Errorf("the same configuration gives two results: got %v, want %v", again, whole)
	}
	n := 0
	for _, k := range config.Table() {
		parts := strings.Split(k.Path, ".")
		if parts[0] != "storage" || len(parts) != 3 || parts[1] == "disks" || parts[1] == "backup" {
			continue
		}
		v := tree(t)
		section := v[parts[1]].(map[string]any)
		holders := []map[string]any{section}
		if parts[1] == "users" || parts[1] == "shares" {
			holders = nil
			for _, entry := range section {
				holders = append(holders, entry.(map[string]any))
			}
		}
		removed := false
		for _, h := range holders {
			if _, ok := h[parts[2]]; ok {
				delete(h, parts[2])
				removed = true
			}
		}
		if !removed {
			t.Errorf("%s is not in the test's configuration", k.Path)
			continue
		}
		if n++; all(Make(read(t, v))) == whole {
			t.Errorf("%s has no effect", k.Path)
		}
	}
	if n < 15 {
		t.Errorf("only %d keys were looked at", n)
	}
}

func TestExports(t *testing.T) {
	p := Make(read(t, tree(t)))
	a, b := FSID("bbbb", "pictures/all"), FSID("aaaa", "root")
	want := "# Written by shelf; what is changed here does not last.\n" +
		"/srv/media/pictures/all 127.0.0.1(ro,insecure,all_squash,sync,no_subtree_check,sec=sys,fsid=" + a + ")" +
		" 192.168.1.0/24(rw,crossmnt,sync,no_subtree_check,sec=sys,fsid=" + a + ",all_squash,anonuid=1500,anongid=1600)" +
		" fd00::/64(rw,crossmnt,sync,no_subtree_check,sec=sys,fsid=" + a + ",all_squash,anonuid=1500,anongid=1600)\n" +
		"/srv/data/root 127.0.0.1(ro,insecure,all_squash,sync,no_subtree_check,sec=sys,fsid=" + b + ") 10.0.0.1(rw,sync,no_subtree_check,sec=sys,fsid=" + b + ",no_root_squash)\n"
	if got := p.Exports(mounts); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// A disk that is away takes its shares along and no others.
	if got := p.Exports(Mounts{"data": mounts["data"]}); strings.Contains(got, "media") || !strings.Contains(got, "/srv/data/root") {
		t.Errorf("without media: %s", got)
	}
	if FSID("BBBB", "x") != FSID("bbbb", "x") || FSID("bbbb", "x") == FSID("bbbb", "y") || a == "0" || len(a) > 10 {
		t.Errorf("file system numbers: %s", a)
	}
}

// testparm, Samba's own reader, takes what is written and knows every word of it.
func TestSambaReads(t *testing.T) {
	p := Make(read(t, tree(t)))
	dir := t.TempDir()
	file := filepath.Join(dir, "smb.conf")
	text := strings.ReplaceAll(p.Samba("a-very-long-host-name.lan", mounts), SambaDir, dir)
	for _, sub := range []string{"private", "state", "cache", "lock", "ncalrpc"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool.Path(t, "testparm"), "-s", "-v", file)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if w := said.String(); err != nil || strings.Contains(w, "nknown") || strings.Contains(w, "WARNING") || strings.Contains(w, "ERROR") {
		t.Fatalf("%v\n%s", err, w)
	}
	for _, want := range []string{"workgroup = SHELF", "netbios name = A-VERY-LONG-HOS", "map to guest = Bad User", "[My Films]", "valid users = ann bob", "write list = ann", "disable netbios = Yes", "obey pam restrictions = Yes"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in what testparm reads", want)
		}
	}
}

// Rights: no user gets more than is written, in smb.conf, in the directories of FTP users
// and in the ACL.
func TestRights(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	names := []string{"ann", "bob", "eve"}
	for range 2000 {
		s := config.Storage{Disks: []config.StorageDisk{{Name: "data", Device: "auto"}}, Users: map[string]config.StorageUser{}, Shares: map[string]config.Share{}}
		for i, n := range names {
			if r.IntN(4) > 0 {
				s.Users[n] = config.StorageUser{UID: 1500 + i, SMBNTHash: nt, PasswordHash: crypted}
			}
		}
		list := func() []string {
			var out []string
			for _, n := range append(names, "*") {
				if r.IntN(4) == 0 {
					out = append(out, n)
				}
			}
			return out
		}
		sh := config.Share{Read: list(), Write: list(), Via: []string{"smb", "ftp"}, Guest: r.IntN(5) == 0}
		s.Shares["x"] = sh
		p := Make(s)
		unknown := slices.ContainsFunc(slices.Concat(sh.Read, sh.Write), func(n string) bool { _, ok := s.Users[n]; return !ok && n != "*" })
		if unknown != (len(p.Shares) == 0) {
			t.Fatalf("%+v with %v is served: %v", sh, s.Users, p.Shares)
		}
		if unknown {
			continue
		}
		conf, binds, acl := p.Samba("nas", mounts), fmt.Sprint(p.Binds(mounts)), p.ACL(p.Shares[0])
		perms := map[uint32]uint16{}
		for at := 4; at < len(acl); at += 8 {
			if binary.LittleEndian.Uint16(acl[at:]) == aUser {
				perms[binary.LittleEndian.Uint32(acl[at+4:])] = binary.LittleEndian.Uint16(acl[at+2:])
			}
		}
		for n, u := range s.Users {
			writes := slices.Contains(sh.Write, n) || slices.Contains(sh.Write, "*")
			reads := writes || slices.Contains(sh.Read, n) || slices.Contains(sh.Read, "*")
			if got := slices.Contains(words(conf, "write list"), n); got != writes {
				t.Fatalf("%+v: %s writes by SMB: %v", sh, n, got)
			}
			if got := slices.Contains(words(conf, "valid users"), n); !sh.Guest && got != reads {
				t.Fatalf("%+v: %s reads by SMB: %v", sh, n, got)
			}
			if got := strings.Contains(binds, fmt.Sprintf("/%s/x %v}", n, writes)); got != reads {
				t.Fatalf("%+v: %s by FTP: %v in %s", sh, n, got, binds)
			}
			if got := perms[uint32(u.UID)]; (got&2 != 0) != writes || (got&4 != 0) != reads {
				t.Fatalf("%+v: %s has %o in the ACL", sh, n, got)
			}
		}
		if strings.Contains(conf, "guest ok = yes") != sh.Guest || strings.Contains(conf, "read only = no") {
			t.Fatalf("%+v:\n%s", sh, conf)
		}
	}
}

// words are those of a key in smb.conf.
func words(conf, key string) []string {
	for line := range strings.Lines(conf) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), key+" = "); ok {
			return strings.Fields(v)
		}
	}
	return nil
}

// Users come and go in the files of accounts, and those of the system stay as they are.
func TestReplace(t *testing.T) {
	system := "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/x\n"
	now := []string{"ann:x:1500:1500::/x:/y", "bob:x:1501:1501::/x:/y"}
	one := Replace(system, nil, now)
	if want := system + now[0] + "\n" + now[1] + "\n"; one != want {
		t.Errorf("got %q, want %q", one, want)
	}
	if two := Replace(one, []string{"ann", "bob"}, now[1:]); two != system+now[1]+"\n" {
		t.Errorf("got %q", two)
	}
	if three := Replace(one, []string{"ann", "bob"}, nil); three != system {
		t.Errorf("got %q, want the system's alone", three)
	}
	if four := Replace(system, nil, []string{"root:x:0:0::/:/evil"}); four != system {
		t.Errorf("a user of the system was changed: %q, want %v", four, system)
	}
}

// Passwords of users without one are locked, and the probe account is there everywhere.
func TestAccounts(t *testing.T) {
	v := tree(t)
	delete(v["users"].(map[string]any)["bob"].(map[string]any), "password_hash")
	p := Make(read(t, v))
	passwd, group, shadow := p.Accounts("$6$x")
	if want := []string{"ann:" + crypted + ":::::::", "bob:!:::::::", Probe + ":$6$x:::::::"}; !slices.Equal(shadow, want) {
		t.Errorf("shadow: got %q, want %q", shadow, want)
	}
	if len(passwd) != 3 || !strings.HasPrefix(passwd[0], "ann:x:1500:1600:") || !strings.HasSuffix(passwd[2], ":/usr/sbin/nologin") || !slices.Contains(group, "ann:x:1600:") {
		t.Errorf("got %q and %q", passwd, group)
	}
	if got := p.FTPNames(); got != "ann\n"+Probe+"\n" {
		t.Errorf("FTP lets in %q", got)
	}
	if got := p.Passdb(""); strings.Count(got, "\n") != 2 || strings.Contains(got, "LCT-00000000") || strings.Contains(got, Probe) {
		t.Errorf("passdb: %q", got)
	}
}
