package scenarios

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/qemu/fixtures/sftpd"
	"imgbuild/qemu/vm"
)

// database is a server's datastore.
const database = "/var/lib/rancher/k3s/server/db/state.db"

// setData makes a datastore of two pages whose content is a word.
func (s *shell) setData(word string) {
	s.g.t.Helper()
	s.run(`sudo mkdir -p ` + filepath.Dir(database) + ` && (printf 'SQLite format 3\000\020\000\001\001 data:` + word + `.'; head -c 8192 /dev/zero) | head -c 8192 | sudo tee ` + database + ` >/dev/null; sudo sync`)
}

// dataOf is the word in a datastore.
func (s *shell) dataOf(file string) string {
	s.g.t.Helper()
	return s.run("sudo grep -aoE 'data:[a-z-]+' " + file + " || true")
}

// nextMinor has the stand-in be of the next minor version of k3s, which changes the datastore when
// it starts.
var nextMinor = []edit{
	{"qemu/fixtures/standin/main.go", `"v1.35.0+k3s1"`, `"v1.36.0+k3s1"`},
	{"qemu/fixtures/standin/main.go", "		ctx, stop := signal.NotifyContext(", `		if text, rerr := os.ReadFile("` + database + `"); rerr == nil {
			_ = os.WriteFile("` + database + `", append(text[:20], " data:migrated."...), 0o600)
			say("info", "migrated")
		}
		ctx, stop := signal.NotifyContext(`},
}

// TestUpgradeDatastore takes a server to another minor version of k3s, whose trial fails first,
// through power cuts, and back with a backup. FULL: about seven boots.
func TestUpgradeDatastore(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	l := newLaptop(t)
	dir, site := t.TempDir(), t.TempDir()
	d := sftpd.Start(t, dir)
	_, port, _ := strings.Cut(d.Address, ":")
	web := httptest.NewServer(http.FileServer(http.Dir(site)))
	defer web.Close()
	all := newReleases(t, l.serverConfig()+"backup: {to: 'sftp://backup@"+vm.Host+":"+port+"/~/backups'}\n")
	words := []string{"board=rpi4", "role=server"}
	v1 := all.build(t, "", append(slices.Clone(words), k3s(t, "arm64"))...)
	bad := all.build(t, otherInit(t, "bad", "arm64", soon, named("bad")), append(slices.Clone(words), standinThat(t, "never", append(slices.Clone(nextMinor), neverReady)...))...)
	v2 := all.build(t, "", append(slices.Clone(words), standinThat(t, "next", nextMinor...))...)
	// address is where the bundle is, with a delta from the first version.
	address := func(r release) string {
		t.Helper()
		name := filepath.Base(r.bundle)
		imgbuildMust(t, "", "bundle", r.image, "sign="+all.key, "floor=2", "from="+v1.image, "out="+filepath.Join(site, name))
		return strings.Replace(web.URL, "127.0.0.1", vm.Host, 1) + "/" + name
	}
	_, cable := testLAN(t)
	g := boot(t, vm.Options{Image: v1.image, Name: "server", Machine: "virt", Size: 4 << 30, Memory: 2048, Links: []*vm.Link{cable}})[0]
	g.up()
	s := g.login()
	s.until("sudo k3s kubectl get --raw /readyz", "ok")
	s.setData("of-the-backup")
	d.Allow(s.run("sudo shelf backup key"))
	s.until("sudo shelf backup now", "is at sftp://") // the node may be at it by itself

	sub(t, "a trial that fails, through power cuts", func(t *testing.T) {
		if got := s.run("sudo shelf upgrade reboot=no " + address(bad) + " 2>&1"); !strings.Contains(got, "the next boot tries it") {
			t.Fatalf("got %q", got)
		}
		s.setData("after-arming")
		s.try("sudo shelf reboot") // the connection may go before the status comes
		g.see(`shelf: booting slot b`)
		g.see(`shelf: step config ok`)
		g.Reset() // in the trial
		g.see(`shelf: booting slot b`)
		g.see(`not healthy after 40s`)
		g.see(`shelf: booting slot a`)
		g.see(`shelf: step config ok`)
		g.Reset() // where the datastore comes back
		g.see(`shelf: booting slot a`)
		g.up()
		s = g.login()
		s.until("sudo k3s kubectl get --raw /readyz", "ok")
		runs(t, s, v1, "a")
		if got := s.dataOf(database); got != "data:after-arming" {
			t.Errorf("the datastore has %q, want what was written after arming", got)
		}
		if got := s.dataOf(filepath.Dir(database) + ".before-fallback/state.db"); got != "data:migrated" {
			t.Errorf("what was replaced has %q", got)
		}
	}, g)
	sub(t, "committed, through power cuts", func(t *testing.T) {
		s := g.login()
		s.run("sudo shelf upgrade " + address(v2) + " 2>&1")
		g.see(`shelf: booting slot b`)
		g.up()
		s = g.login()
		s.until("shelf status || true", "committed on")
		for range 3 {
			g.Reset()
			g.see(`shelf: booting slot b`)
		}
		g.up()
		s = g.login()
		runs(t, s, v2, "b")
		if got := s.dataOf(database); got != "data:migrated" {
			t.Errorf("the datastore has %q", got)
		}
	}, g)
	sub(t, "back with a backup", func(t *testing.T) {
		s := g.login()
		archives, _ := filepath.Glob(filepath.Join(dir, "backups", "shelf-server-*.tar.zst"))
		if len(archives) != 1 {
			t.Fatalf("%d backups, want 1: %v", len(archives), archives)
		}
		out, err := s.try("sudo shelf rollback 2>&1")
		if err == nil || !strings.Contains(out+err.Error(), "the last backup is "+filepath.Base(archives[0])) {
			t.Errorf("without a backup: %q, %v", out, err)
		}
		data, err := os.ReadFile(archives[0])
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), patience)
		defer stop()
		if _, err := s.RunInput(ctx, "cat >back.tar.zst", data); err != nil {
			t.Fatal(err)
		}
		s.try("sudo shelf rollback restore=back.tar.zst 2>&1")
		g.see(`shelf: booting slot a`)
		g.up()
		s = g.login()
		s.until("shelf status || true", "committed on")
		runs(t, s, v1, "a")
		if got := s.dataOf(database); got != "data:of-the-backup" {
			t.Errorf("the datastore has %q", got)
		}
		if got := s.dataOf("/var/lib/rancher/k3s/server.before-rollback/db/state.db"); got != "data:migrated" {
			t.Errorf("what was replaced has %q", got)
		}
	}, g)
	g.login().off()
	if r := records(t, g.Disk); r.Active != bootstate.A || r.Trial != "" || r.A != bootstate.Good {
		t.Errorf("the boot record is %+v", r)
	}
}
