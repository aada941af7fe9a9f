package scenarios

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/qemu/vm"
)

// settled shortens the hour that a version is known before others than servers take it.
var settled = edit{"init/upgrade/turns/state.go", "Settle = time.Hour", "Settle = time.Second"}

// TestUnattended is a server and a worker that upgrade themselves from a signed channel on a web
// server, one after the other, with turns that the server gives. A version that the server rolls
// back is stopped for both until a person goes on. FULL: six boots, two guests at a time.
func TestUnattended(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	l := newLaptop(t)
	site := t.TempDir()
	web := httptest.NewServer(http.FileServer(http.Dir(site)))
	defer web.Close()
	config := func(name, n, more string) string {
		return fmt.Sprintf("hostname: %s\nssh_authorized_keys:\n- %s\n- %s\n", name, public, l.public) +
			"network:\n  interfaces:\n  - {mac: '52:54:00:00:01:0" + n + "', addresses: [10.9.0." + n + "/24]}\n" +
			"upgrade: {auto: true, window: always, channel: '" + strings.Replace(web.URL, "127.0.0.1", vm.Host, 1) + "/shelf.channel'}\n" +
			"k3os:\n  token: a-long-random-word\n" + more
	}
	all := newReleases(t, config("shelf-server", "1", ""))
	words := []string{"board=rpi4", "role=server"}
	good := append(slices.Clone(words), k3s(t, "arm64"))
	v1 := all.build(t, "", good...)
	v2 := all.build(t, otherInit(t, "two", "arm64", named("two"), settled), good...)
	// Another k3s of the user's never comes to a server by itself: something else is bad.
	bad := all.build(t, otherInit(t, "bad", "arm64", noNetwork, edit{"images/server.yaml", "deadline: 600", "deadline: 5"}), good...)
	// offer makes the channel name a version, whose bundle has a delta from the one before.
	offer := func(t *testing.T, r, from release) {
		t.Helper()
		name := filepath.Join(site, filepath.Base(r.bundle))
		imgbuildMust(t, "", "bundle", r.image, "sign="+all.key, "floor=2", "from="+from.image, "out="+name)
		imgbuildMust(t, "", "bundle", "channel="+filepath.Join(site, "shelf.channel"), name, "sign="+all.key)
	}
	offer(t, v2, v1)

	// Server and worker have the same slot; what differs is on BOOT.
	worker := all
	worker.config = config("shelf-worker", "2", "  server_url: https://10.9.0.1:6443\n")
	w1 := worker.build(t, "", "board=rpi4", "role=worker", good[2])
	if w1.version != v1.version {
		t.Fatalf("the worker has the version %s, the server %s", w1.version, v1.version)
	}
	a, b, err := vm.NewLink("52:54:00:00:01:01", "52:54:00:00:01:02")
	if err != nil {
		t.Fatal(err)
	}
	_, lanA := testLAN(t)
	_, lanB := testLAN(t)
	both := boot(t, vm.Options{Image: v1.image, Name: "server", Machine: "virt", Size: 4 << 30, Memory: 2048, Links: []*vm.Link{lanA, a}},
		vm.Options{Image: w1.image, Name: "worker", Machine: "virt", Size: 4 << 30, Links: []*vm.Link{lanB, b}})
	one, two := both[0], both[1]
	one.up()
	two.up()
	on, at := one.login(), two.login()

	now, slot := v1, "a" // what both run
	const look = "sudo shelf upgrade auto 2>&1 || true"
	// acts makes the node look until it upgrades itself, and waits for the next boot. PID 1 looks
	// too, less often.
	acts := func(t *testing.T, s *shell, r release) {
		t.Helper()
		for end := time.Now().Add(patience); ; {
			out, err := s.try("sudo shelf upgrade auto now 2>&1 || true")
			if err != nil || strings.Contains(out, "upgrades to "+r.version+" now") {
				break // without an answer: it reboots
			}
			if strings.HasPrefix(out, "does not upgrade") || time.Now().After(end) {
				t.Fatalf("%s does not upgrade itself: %s", s.g.Name, out)
			}
			time.Sleep(2 * time.Second)
		}
		s.g.see(`shelf: booting slot`)
	}

	sub(t, "the worker waits for the server", func(t *testing.T) {
		on.until("sudo shelf status -o json || true", `"synced": true`)
		// PID 1 of the server may have looked already.
		wait := regexp.MustCompile("waits: for its turn to upgrade to " + v2.version + ": (servers have .* to say|shelf-server upgrades to )")
		if got := at.until("sudo shelf upgrade auto now 2>&1 || true", "for its turn"); !wait.MatchString(got) {
			t.Errorf("the worker: %q", got)
		}
	}, both...)
	sub(t, "first the server, then the worker", func(t *testing.T) {
		acts(t, on, v2)
		one.up()
		on = one.login()
		on.until("shelf status || true", "committed on")
		runs(t, on, v2, "b")
		// The server is at it until it has reported that it has committed.
		on.until("sudo shelf upgrade auto now 2>&1 || true", v2.version+" is what the channel names")
		now, slot = v2, "b"
		acts(t, at, v2)
		two.up()
		at = two.login()
		at.until("shelf status || true", "committed on")
		runs(t, at, v2, "b")
		at.until("sudo shelf upgrade auto now 2>&1 || true", v2.version+" is what the channel names")
		if got := at.run("shelf history"); !strings.Contains(got, v2.version+", from "+v1.version+", slot b, by auto: committed") {
			t.Errorf("history of the worker: %s", got)
		}
		if got := on.run("sudo shelf upgrade status"); !strings.Contains(got, "shelf-worker, worker: "+v2.version) || strings.Contains(got, "until") {
			t.Errorf("what the server knows: %s", got)
		}
	}, both...)
	sub(t, "a version that is rolled back", func(t *testing.T) {
		on, at := one.login(), two.login()
		offer(t, bad, now)
		acts(t, on, bad)
		one.see(`not healthy after 5s: .*no interface has an address`)
		one.see(`shelf: booting slot ` + slot)
		one.up()
		on = one.login()
		runs(t, on, now, slot)
		on.until("sudo shelf upgrade auto now 2>&1 || true", "was rolled back here")
		stopped := bad.version + " is stopped: shelf-server rolled it back: "
		at.until(look, stopped)
		if got := on.run("sudo shelf upgrade status"); !strings.Contains(got, stopped) {
			t.Errorf("what the server knows: %s", got)
		}
		if out, code := l.imgbuild(t, "upgrade", "resume", one.Forward[22], "key=accept-new"); code != 0 || !strings.Contains(out, bad.version) {
			t.Errorf("imgbuild upgrade resume: code %d: %s", code, out)
		}
		at.until(look, "asks for the turn to upgrade to "+bad.version)
		if got := on.run(look); !strings.Contains(got, "was rolled back here") {
			t.Errorf("the server, which rolled it back: %s", got)
		}
	}, both...)
	off(one.login(), two.login())
}
