package backup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/sftpd"

	"golang.org/x/sys/unix"
)

func put(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// idle is a database that nobody has open, in the old journal mode, as far as the copy looks at it.
func idle(mode byte, rows string) string {
	b := make([]byte, sqliteHead)
	copy(b, sqliteMagic)
	b[18], b[19] = mode, mode
	return string(b) + rows
}

// server makes a server's root with a job that backs it up to an sftp server.
func server(t *testing.T) (*Job, *sftpd.Server, string) {
	t.Helper()
	root, dir := t.TempDir(), t.TempDir()
	const k = "var/lib/rancher/k3s/server/"
	for name, text := range map[string]string{
		"k3os/config/system.yaml": "hostname: one", "var/lib/rancher/k3os/hostname": "one", "var/lib/rancher/k3os/node/password": "secret",
		"var/lib/rancher/k3os/ssh/ssh_host_ed25519_key": "key", "var/lib/shelf/machine-id": "id", k + "token": "K10::x", k + "tls/server-ca.crt": "ca",
		k + "cred/passwd": "p", k + "db/state.db": idle(1, "rows"), k + "db/lock": "no", k + "manifests/mine.yaml": "m",
		"var/lib/rancher/k3s/agent/containerd/big": "no", "var/lib/rancher/k3s/storage/pv": "no",
	} {
		put(t, root, name, text)
	}
	s := sftpd.Start(t, dir)
	c := config.Default()
	c.Shelf.Role, c.Backup.Keep = "server", 3
	c.Backup.To = "sftp://backup@" + s.Address + "/~/shelf/one"
	j := &Job{Config: c, Host: "One", K3s: "v1.35.0+k3s1", Root: root, Say: t.Logf, pause: time.Millisecond}
	_, line, err := j.Key()
	if err != nil {
		t.Fatal(err)
	}
	s.Allow(line)
	return j, s, filepath.Join(dir, "shelf/one")
}

func contents(t *testing.T, path string) (archive.Header, map[string]string) {
	t.Helper()
	got := map[string]string{}
	var head archive.Header
	err := archive.ReadFile(path, func(h archive.Header) error { head = h; return nil }, func(h *tar.Header, r io.Reader) error {
		if h.Typeflag == tar.TypeReg {
			text, err := io.ReadAll(r)
			got[h.Name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return head, got
}

func TestRun(t *testing.T) {
	j, _, dir := server(t)
	st, err := j.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, err := j.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != st.Name || list[0].Size != st.Size || !strings.HasPrefix(st.Name, "one-2") {
		t.Fatalf("%+v, %+v, %v", st, list, err)
	}
	head, got := contents(t, filepath.Join(dir, st.Name))
	if head.Kind != archive.Backup || head.Hostname != "One" || head.Role != "server" || head.K3s != "v1.35.0+k3s1" || !head.Has(archive.Datastore) || !head.Has(archive.Identity) {
		t.Errorf("%+v", head)
	}
	const s = "k3os/data/var/lib/rancher/k3s/server/"
	for name, want := range map[string]string{
		"k3os/config/system.yaml": "hostname: one", "k3os/data/var/lib/rancher/k3os/hostname": "one", "k3os/data/var/lib/rancher/k3os/node/password": "secret",
		"k3os/data/var/lib/rancher/k3os/ssh/ssh_host_ed25519_key": "key", "k3os/data/var/lib/shelf/machine-id": "id", s + "token": "K10::x",
		s + "tls/server-ca.crt": "ca", s + "cred/passwd": "p", s + "db/state.db": idle(1, "rows"), s + "manifests/mine.yaml": "m",
	} {
		if got[name] != want {
			t.Errorf("%s: %q", name, got[name])
		}
		delete(got, name)
	}
	for name := range got {
		if !strings.HasPrefix(name, "k3os/data"+Dir) {
			t.Errorf("%s is in the backup", name)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, st.Name)); err != nil || info.Mode() != 0o600 {
		t.Error("anybody may read it:", info, err)
	}
	if kept, err := Load(j.path(Dir)); err != nil || kept.Name != st.Name || kept.Fails != 0 || !kept.Last.Equal(st.Last) {
		t.Errorf("%+v, %v", kept, err)
	}
	if left, _ := filepath.Glob(j.path(Dir) + "/*" + suffix); len(left) > 0 {
		t.Errorf("left on the node: %v", left)
	}
}

// The newest are kept; what is not ours is not touched; halves of earlier runs go.
func TestKeep(t *testing.T) {
	j, _, dir := server(t)
	for day := 1; day < 6; day++ {
		put(t, dir, fmt.Sprintf("one-2020010%dT000000Z.tar.zst", day), "old")
	}
	others := []string{"two-20200101T000000Z.tar.zst", "one-more-20200101T000000Z.tar.zst", "notes.txt", "one-20200101.tar.zst"}
	for _, name := range others {
		put(t, dir, name, "other")
	}
	put(t, dir, ".one-20200106T000000Z.tar.zst.part", "half")
	put(t, dir, ".one-more-20200106T000000Z.tar.zst.part", "being sent by another node")
	st, err := j.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{".one-more-20200106T000000Z.tar.zst.part", "notes.txt", "one-20200101.tar.zst", "one-20200104T000000Z.tar.zst", "one-20200105T000000Z.tar.zst", st.Name, "one-more-20200101T000000Z.tar.zst", "two-20200101T000000Z.tar.zst"}
	if !reflect.DeepEqual(names, want) {
		t.Errorf("got  %q\nwant %q", names, want)
	}
}

// A clock that was wrong once, in either direction, changes nothing about which backup is the
// newest and which one goes.
func TestWrongClock(t *testing.T) {
	j, _, dir := server(t)
	j.Config.Backup.Keep = 2
	put(t, dir, "one-20200101T000000Z.tar.zst", "old")
	put(t, dir, "one-20991231T235959Z.tar.zst", "made when the clock was ahead")
	for _, want := range []string{"one-21000101T000000Z.tar.zst", "one-21000101T000001Z.tar.zst"} {
		st, err := j.Run(t.Context())
		if err != nil || st.Name != want {
			t.Fatalf("%+v, %v", st, err)
		}
		list, err := j.List(t.Context())
		if err != nil || len(list) != 2 || list[0].Name != want || list[0].Size != st.Size {
			t.Errorf("%v, %v", list, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "one-20991231T235959Z.tar.zst")); err == nil {
		t.Error("the oldest stays")
	}
	if got := after("one-99991231T235959Z.tar.zst"); got != "one-99991231T235959Z.tar.zst" {
		t.Error(got)
	}
}

// A connection that breaks is tried again, without a second look at the database; in the end there
// is an error and the state.
func TestRetry(t *testing.T) {
	j, s, dir := server(t)
	s.Drop(attempts - 1)
	if _, err := j.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Drop(attempts)
	_, err := j.Run(t.Context())
	kept, _ := Load(j.path(Dir))
	if fault.Code(err) != int(fault.Network) || kept.Fails != 1 || kept.Error == "" || kept.Last.IsZero() {
		t.Errorf("%v, %+v", err, kept)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("%v, want length 1", entries)
	}
}

func TestStrangers(t *testing.T) {
	j, s, _ := server(t)
	if _, err := j.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Another machine at the same address.
	known, err := os.ReadFile(j.path(Dir + "/" + knownName))
	if err != nil {
		t.Fatal(err)
	}
	s2 := sftpd.Start(t, t.TempDir())
	_, line, _ := j.Key()
	s2.Allow(line)
	port := func(a string) string { return a[strings.LastIndexByte(a, ':')+1:] }
	put(t, j.Root, Dir+"/"+knownName, strings.ReplaceAll(string(known), port(s.Address), port(s2.Address)))
	j.Config.Backup.To = strings.ReplaceAll(j.Config.Backup.To, s.Address, s2.Address)
	if _, err := j.Run(t.Context()); fault.Code(err) != int(fault.Verify) || !strings.Contains(err.Error(), "shelf backup forget") {
		t.Error(err)
	}
	if s2.Seen() > 0 {
		t.Error("the node logged in at a stranger")
	}
	if err := errors.Join(j.Forget()); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Run(t.Context()); err != nil {
		t.Error(err)
	}
	// The configured key counts more than the one that was seen.
	j.Config.Backup.HostKey = s.Host
	if _, err := j.Run(t.Context()); fault.Code(err) != int(fault.Verify) {
		t.Errorf("got code %v, %v, want %v", fault.Code(err), err, int(fault.Verify))
	}
	j.Config.Backup.HostKey = s2.Host
	if _, err := j.Run(t.Context()); err != nil {
		t.Error(err)
	}
	// Without the key in authorized_keys the error shows the line to add.
	s2.Allow(s.Host)
	if _, err := j.Run(t.Context()); fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), line) {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	j, _, dir := server(t)
	unlock, err := exclusive(j.path(Dir + "/" + lockName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "already") {
		t.Error(err)
	}
	unlock()
	j.Config.Shelf.Role = "worker"
	if _, err := j.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no datastore") {
		t.Error(err)
	}
	j.Config.Shelf.Role = "server"
	// No database at all is no backup, unless it is somewhere else.
	if err := os.Remove(filepath.Join(j.Root, "var/lib/rancher/k3s/server/db/state.db")); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "would be empty") {
		t.Error("a server without a database makes a backup:", err)
	}
	put(t, j.Root, "etc/rancher/k3s/config.yaml", "datastore-endpoint: postgres://db/k3s\n")
	st, err := j.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if head, _ := contents(t, filepath.Join(dir, st.Name)); head.Has(archive.Datastore) {
		t.Error("the backup claims a datastore that it does not have")
	}
	if err := os.RemoveAll(filepath.Join(j.Root, "var/lib/rancher/k3s/server")); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "k3s has no data yet") {
		t.Error("an empty server makes a backup:", err)
	}
}

// A server with etcd brings its snapshot, and the note that makes k3s begin from it.
func TestEtcd(t *testing.T) {
	j, _, dir := server(t)
	const k = "var/lib/rancher/k3s/"
	put(t, j.Root, k+"server/db/etcd/member", "no")
	j.Snapshot = func(_ context.Context, name string) (string, error) {
		put(t, j.Root, k+"server/db/snap/"+name+"-one-1", "snapshot")
		return filepath.Join(j.Root, k+"server/db/snap/"+name+"-one-1"), nil
	}
	made := j.Snapshot
	j.Snapshot = func(ctx context.Context, name string) (string, error) {
		path, err := made(ctx, name)
		return path, errors.Join(err, os.Truncate(path, 0))
	}
	if _, err := j.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "snapshot of etcd is empty") {
		t.Error("an empty snapshot is a backup:", err)
	}
	if err := os.RemoveAll(filepath.Join(j.Root, k+"server/db/snap")); err != nil {
		t.Fatal(err)
	}
	j.Snapshot = made
	st, err := j.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, got := contents(t, filepath.Join(dir, st.Name))
	note := strings.TrimSpace(got["k3os/data/var/lib/shelf/etcd-restore"])
	if got["k3os/data/"+k+note] != "snapshot" || got["k3os/data/"+k+"server/db/etcd/member"] != "" || got["k3os/data/"+k+"server/db/state.db"] != "" {
		t.Errorf("note %q of %v", note, got)
	}
	if left, _ := os.ReadDir(filepath.Join(j.Root, k+"server/db/snap")); len(left) > 0 {
		t.Error("the snapshot stays on the node")
	}
}

// A password that somebody wrote into the URL is shown and kept nowhere.
func TestPasswordInURL(t *testing.T) {
	j, _, _ := server(t)
	j.Config.Backup.To = "sftp://b:hunter22@nas/x"
	st, err := j.Run(t.Context())
	if err == nil || strings.Contains(err.Error(), "hunter22") {
		t.Error(err)
	}
	kept, _ := os.ReadFile(j.path(Dir + "/" + stateName))
	if strings.Contains(st.To+string(kept), "hunter22") || !strings.Contains(string(kept), "sftp://b:xxxxx@nas/x") {
		t.Errorf("%q\n%s", st.To, kept)
	}
	for _, bad := range []string{"sftp://b:hunter22@nas:x/x", "://b:hunter22@nas/%zz"} {
		if got := Shown(bad); strings.Contains(got, "hunter22") {
			t.Error(got)
		}
	}
}

// Errors that a person has to correct on the server are reported, and not tried again immediately.
func TestUnsent(t *testing.T) {
	for err, want := range map[error]string{
		&os.PathError{Op: "open", Path: "x", Err: unix.EACCES}: "lets nobody write there", &os.PathError{Op: "open", Path: "x", Err: unix.EROFS}: "lets nobody write there",
		&os.PathError{Op: "write", Path: "x", Err: unix.ENOSPC}: "does not fit", &os.PathError{Op: "close", Path: "x", Err: unix.EDQUOT}: "does not fit",
	} {
		if got := unsent(err); !strings.Contains(got.Error(), want) || again(got) || !errors.Is(got, err) {
			t.Error(got)
		}
	}
	if got := unsent(unix.EIO); !again(got) {
		t.Error(got)
	}
}

func TestSource(t *testing.T) {
	for in, want := range map[string]string{"nfs://nas/x": "nas:/x", "nfs://[fd00::1]/x": "[fd00::1]:/x"} {
		if got, err := parseTarget(in); err != nil || got.source() != want {
			t.Error(got.source(), err)
		}
	}
}

func TestDue(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		s    State
		want bool
	}{
		"never":                {State{}, true},
		"an hour ago":          {State{To: "x", Last: ago(time.Hour)}, false},
		"a day ago":            {State{To: "x", Last: ago(24 * time.Hour)}, true},
		"to another place":     {State{To: "y", Last: ago(time.Hour)}, true},
		"by a wrong clock":     {State{To: "x", Last: now.AddDate(1, 0, 0)}, true},
		"a little ahead":       {State{To: "x", Last: now.Add(time.Minute)}, false},
		"failed elsewhere":     {State{To: "y", Fails: 9, Tried: ago(time.Second)}, true},
		"failed just now":      {State{To: "x", Last: ago(25 * time.Hour), Fails: 1, Tried: ago(time.Minute)}, false},
		"failed":               {State{To: "x", Last: ago(25 * time.Hour), Fails: 1, Tried: ago(2 * time.Minute)}, true},
		"failed thrice":        {State{To: "x", Fails: 3, Tried: ago(7 * time.Minute)}, false},
		"failed thrice, later": {State{To: "x", Fails: 3, Tried: ago(8 * time.Minute)}, true},
		"failed often":         {State{To: "x", Fails: 1000, Tried: ago(time.Hour)}, true},
		"failed in the future": {State{To: "x", Fails: 1, Tried: now.AddDate(1, 0, 0)}, true},
	} {
		if got := due(c.s, "x", now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestKeeper(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	c := config.Default()
	started := make(chan bool, 10)
	k := &Keeper{Dir: dir, Look: time.Millisecond, Config: func() *config.Config { return c }, Failed: func(error) {}}
	k.Ready = func() bool { return true }
	k.Start = func(context.Context) error {
		started <- true
		return State{To: c.Backup.To, Last: time.Now()}.save(dir)
	}
	c.Backup.To = "sftp://b@nas/x"
	done := make(chan bool)
	go func() { k.Run(ctx); close(done) }()
	<-started
	stop()
	<-done
	if len(started) > 0 {
		t.Error("it was made again immediately")
	}
}

// An error is reported once, as a whole, and until a backup succeeds, whatever made it.
func TestKeeperReportsWhatHoldsNow(t *testing.T) {
	now := time.Now()
	const to = "sftp://b@nas/x"
	cut, whole := errors.New("shelf: exit status 1: the end of a sen"), "the whole sentence"
	for name, c := range map[string]struct {
		s      State
		to     string
		failed error
		want   string
	}{
		"none yet":                     {State{}, to, nil, ""},
		"it failed":                    {State{To: to, Fails: 1, Error: whole, Tried: now}, to, cut, whole},
		"it failed in an earlier boot": {State{To: to, Fails: 3, Error: whole, Tried: now, Last: now}, to, nil, whole},
		"one was made by hand":         {State{To: to, Last: now}, to, cut, ""},
		"to another place":             {State{To: "sftp://b@old/x", Fails: 3, Error: whole}, to, nil, ""},
		"no longer wanted":             {State{To: to, Fails: 3, Error: whole}, "", cut, ""},
		"it could not be started":      {State{To: "sftp://b@old/x", Last: now}, to, cut, cut.Error()},
	} {
		got := ""
		if err := wrong(c.s, nil, c.to, c.failed); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}

	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	c := config.Default()
	c.Backup.To = to
	reported := make(chan error, 10)
	k := &Keeper{Dir: dir, Look: time.Millisecond, Config: func() *config.Config { return c }, Ready: func() bool { return true }, Failed: func(err error) { reported <- err }}
	k.Start = func(context.Context) error {
		if err := (State{To: to, Fails: 1, Error: whole, Tried: time.Now()}).save(dir); err != nil {
			t.Error(err)
		}
		return cut
	}
	go k.Run(ctx)
	if err := <-reported; err == nil || err.Error() != whole {
		t.Errorf("got %v", err)
	}
	if err := (State{To: to, Last: time.Now()}).save(dir); err != nil { // `shelf backup now` of a person
		t.Fatal(err)
	}
	if err := <-reported; err != nil {
		t.Errorf("the old error is still reported: %v", err)
	}
}
