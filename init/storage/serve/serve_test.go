package serve

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/storage/shares"
)

func serverOf(s config.Storage) *Server {
	c := config.Default()
	c.Storage.Disks, c.Storage.Users, c.Storage.Shares = s.Disks, s.Users, s.Shares
	return &Server{Config: func() *config.Config { return c }}
}

// Only what a share names is started, and each unit can run with its needs.
func TestUnits(t *testing.T) {
	disk := []config.StorageDisk{{Name: "data", Device: "auto"}}
	nfs := config.Share{Via: []string{"nfs"}, Networks: []string{"10.0.0.0/8"}}
	for name, c := range map[string]struct {
		shares map[string]config.Share
		want   []string
	}{
		"nothing":       {nil, nil},
		"nfs":           {map[string]config.Share{"a": nfs}, []string{nfsdcld, mountd, nfsd}},
		"smb":           {map[string]config.Share{"a": {Via: []string{"smb"}}}, []string{smbd}},
		"ftp":           {map[string]config.Share{"a": {Via: []string{"ftp"}}}, []string{vsftpd}},
		"all":           {map[string]config.Share{"a": nfs, "b": {Via: []string{"smb", "ftp"}}}, []string{nfsdcld, mountd, nfsd, smbd, vsftpd}},
		"one is broken": {map[string]config.Share{"a": nfs, "b": {Path: "..", Via: []string{"smb"}}}, []string{nfsdcld, mountd, nfsd}},
	} {
		s := serverOf(config.Storage{Disks: disk, Shares: c.shares})
		if got := s.Names(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		for _, u := range s.Units() {
			if u.Prepare == nil || len(u.Command) == 0 || u.StopOrder >= 90 {
				t.Errorf("%s: %+v", name, u)
			}
			for _, need := range u.Needs {
				if !slices.Contains(c.want, need) {
					t.Errorf("%s: %s needs %s", name, u.Name, need)
				}
			}
		}
	}
}

// NFS 3 is served by fixed ports, and only when it is asked for.
func TestUnitsOfNFS3(t *testing.T) {
	s := serverOf(config.Storage{Disks: []config.StorageDisk{{Name: "data", Device: "auto"}}, Shares: map[string]config.Share{
		"a": {Via: config.Protocols, Networks: []string{"10.0.0.0/8"}},
	}})
	command := func(name string) string {
		for _, u := range s.Units() {
			if u.Name == name {
				return strings.Join(u.Command, " ") + " after " + strings.Join(u.Needs, " ")
			}
		}
		return ""
	}
	if got, want := command(nfsd), " nfsd -N 3 8 after mountd"; !strings.HasSuffix(got, want) {
		t.Errorf("without it: got %q, want %q", got, want)
	}
	v3 := *s.Config()
	v3.Storage.NFS.V3 = true
	s.Config = func() *config.Config { return &v3 }
	if got := s.Names(); !slices.Equal(got, config.StorageServices) {
		t.Errorf("got %q, want %q", got, config.StorageServices)
	}
	for name, want := range map[string]string{
		nfsd: " nfsd 8 after mountd statd", mountd: "rpc.mountd -F -N 2 -p 20048 after nfsdcld rpcbind",
		statd: "rpc.statd -F -p 32765 -o 32766 -P /run/shelf/storage/statd after rpcbind", rpcbind: "rpcbind -f after ",
	} {
		if got := command(name); !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// nfsdcld is ready when it waits for the kernel, and the kernel's server when it records its
// clients there: else their locks are lost at the next start.
func TestNfsdcldIsAwaited(t *testing.T) {
	s := serverOf(config.Storage{Disks: []config.StorageDisk{{Name: "data", Device: "auto"}}, Shares: map[string]config.Share{
		"a": {Via: []string{"nfs"}, Networks: []string{"10.0.0.0/8"}},
	}})
	for _, u := range s.Units() {
		if (u.Ready.Probe != nil) != (u.Name == nfsdcld || u.Name == nfsd) {
			t.Errorf("%s: it is asked whether it is ready: %v", u.Name, u.Ready.Probe != nil)
		}
	}
	// As Linux 6.12 writes them.
	proc := fstest.MapFS{
		"7/fdinfo/3": {Data: []byte("pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t10\ntfd:        6 events:       19 data: 0  pos:0 ino:8 sdev:e\n")},
		"8/fdinfo/0": {Data: []byte("pos:\t0\nflags:\t0100002\nmnt_id:\t25\nino:\t5\n")},
		"8/fdinfo/6": {Data: []byte("pos:\t0\nflags:\t00\nmnt_id:\t15\nino:\t1040\ninotify wd:1 ino:a sdev:2b mask:100 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:0a00000000000000\n")},
	}
	for pid, want := range map[int]bool{7: false, 8: true, 9: false, 0: false} {
		if err := watches(proc, pid); (err == nil) != want {
			t.Errorf("process %d: %v", pid, err)
		}
	}
	for name, c := range map[string]struct {
		root fstest.MapFS
		want bool
	}{
		"it is not there":         {fstest.MapFS{}, false},
		"its threads are started": {fstest.MapFS{"proc/fs/nfsd/threads": {Data: []byte("0\n")}, cldPipe[1:]: {}}, false},
		"without nfsdcld":         {fstest.MapFS{"proc/fs/nfsd/threads": {Data: []byte("8\n")}}, false},
		"it runs":                 {fstest.MapFS{"proc/fs/nfsd/threads": {Data: []byte("8\n")}, cldPipe[1:]: {}}, true},
	} {
		if err := running(c.root); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The FTP server's certificate works for its key, and is made again for another name, a year before
// its end, or when it is damaged.
func TestCertificate(t *testing.T) {
	now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	text, err := newCertificate("nas", now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := x509.ParseCertificate(pair.Certificate[0]); err != nil || c.VerifyHostname("nas.local") != nil {
		t.Errorf("%v, %v", c, err)
	}
	for name, c := range map[string]struct {
		text []byte
		host string
		at   time.Time
		want bool
	}{
		"new":             {text, "nas", now, true},
		"a clock of 1970": {text, "nas", time.Unix(0, 0), true},
		"another name":    {text, "box", now, false},
		"its last year":   {text, "nas", now.Add(certificateLife - certificateRenew + time.Hour), false},
		"cut":             {text[:len(text)/2], "nas", now, false},
		"nothing":         {nil, "nas", now, false},
	} {
		if got := good(c.text, c.host, c.at); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// Files get an ACL without the right to execute.
func TestOfFile(t *testing.T) {
	p := shares.Make(config.Storage{Disks: []config.StorageDisk{{Name: "data", Device: "auto"}}, Users: map[string]config.StorageUser{"ann": {UID: 1500}},
		Shares: map[string]config.Share{"a": {Write: []string{"ann"}, Via: []string{"smb"}}}})
	acl := p.ACL(p.Shares[0])
	file := ofFile(acl)
	if len(file) != len(acl) || file[4+2] != 6 || acl[4+2] != 7 {
		t.Errorf("got %x of %x", file, acl)
	}
}

// A share's directory is made with its rights; one that goes through a link, or is a file, is
// refused; one that was there keeps its mode.
func TestDirectory(t *testing.T) {
	at := t.TempDir()
	if err := os.MkdirAll(filepath.Join(at, "old"), 0o751); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(at, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(at, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	acl := shares.Plan{}.ACL(shares.Share{All: true})
	for name, ok := range map[string]bool{"old": true, "link/x": false, "link": false, "file": false} {
		if err := directory(t.Context(), at, filepath.Join(at, name), acl); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if st, err := os.Stat(filepath.Join(at, "old")); err != nil || st.Mode().Perm() != 0o751 {
		t.Errorf("a directory that was there: %v, %v", st.Mode(), err)
	}
}

func TestSections(t *testing.T) {
	if got, want := sections("# x\n[global]\n\ta = [b]\n[My Films]\n"), []string{"global", "My Films"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
