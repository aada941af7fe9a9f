package scenarios

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/qemu/vm"
)

// Edits of the init for bad versions. watchdogSoon shortens the time of a hang.
var (
	stepOfInit   = "	n.Pre().Watchdog.Limit(s.Limit)\n"
	watchdogSoon = edit{"init/start/preinit/watchdog.go", "const watchdogSeconds = 60", "const watchdogSeconds = 10"}
)

// noNetwork is a system that never starts its network.
var noNetwork = edit{"init/boot/services_linux.go", "	n.online.Start(context.Background())\n", ""}

// soon is a deadline that a trial of a server does not meet. A node has no setting for it: the
// deadline is the new system's own.
var soon = edit{"images/server.yaml", "deadline: 600", "deadline: 40"}

// serverConfig is the configuration of a server that a laptop may log in to.
func (l laptop) serverConfig() string {
	return fmt.Sprintf("hostname: shelf-server\nssh_authorized_keys:\n- %s\n- %s\nk3os:\n  token: a-long-random-word\n", public, l.public)
}

// TestUpgrade upgrades a server over ssh through the public command, U-Boot choosing what boots.
// The good version comes through three power cuts. Of bad ones, one is refused before it is
// written, and one is left again after each way to fail: its init panics, it hangs, and its role is
// never ready.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	l := newLaptop(t)
	all := newReleases(t, l.serverConfig())
	words := []string{"board=rpi4", "role=server"}
	good := append(slices.Clone(words), k3s(t, "arm64"))
	v1 := all.build(t, "", good...)
	v2 := all.build(t, otherInit(t, "two", "arm64", named("two")), good...)
	bad := all.build(t, otherInit(t, "bad", "arm64", soon, watchdogSoon, edit{"init/boot/steps_linux.go", stepOfInit, stepOfInit + `
	switch left := n.Pre().Cmdline["shelf.left"]; {
	case number == 1:
	case left == "2":
		go func() { panic("the init of a bad version") }()
		select {}
	case left == "1":
		n.Pre().Watchdog.Limit(time.Second)
		select {}
	}
`}), append(slices.Clone(words), standinThat(t, "never", neverReady))...)
	_, cable := testLAN(t)
	g := boot(t, vm.Options{Image: v1.image, Name: "server", Machine: "virt", Size: 4 << 30, Memory: 2048, Links: []*vm.Link{cable}})[0]
	g.up()
	s := g.login()
	runs(t, s, v1, "a")
	s.run("echo kept >/home/rancher/kept; sync")

	sub(t, "through three power cuts", func(t *testing.T) {
		u := l.begin(t, g, v2, "from="+v1.image)
		u.see(`\bwrite\b`)
		g.Reset() // while the slot is written
		u.see(`is written to slot b`)
		g.Reset() // when it is armed, before the reboot
		g.see(`shelf: booting slot b`)
		g.see(`shelf: step config ok`)
		g.Reset() // in the trial
		g.see(`shelf: booting slot b`)
		if code := u.code(); code != 0 || !strings.Contains(u.String(), "is committed") || !strings.Contains(u.String(), "making the delta") {
			t.Fatalf("got code %d", code)
		}
		s = g.login()
		runs(t, s, v2, "b")
		if got := s.run("cat /home/rancher/kept; sudo shelf history"); !strings.HasPrefix(got, "kept\n") || !strings.Contains(got, v2.version+", from "+v1.version+", slot b, by ssh: committed") {
			t.Errorf("after the upgrade: %q", got)
		}
		if out, code := l.upgrade(t, g, v2); code != 0 || !strings.Contains(out, "already") {
			t.Errorf("once more: code %d: %s", code, out)
		}
	}, g)
	sub(t, "refused", func(t *testing.T) {
		other := newReleases(t, "")
		for name, r := range map[string]release{"a flipped byte": flipped(t, v1), "another key": again(t, v1, other.key), "below the floor": again(t, v1, all.key, "floor=1")} {
			if out, code := l.upgrade(t, g, r); code != 5 || strings.Contains(out, "reboots into") {
				t.Errorf("%s: got code %d, want 5", name, code)
			}
		}
	}, g)
	sub(t, "panics, hangs, is never ready", func(t *testing.T) {
		before := len(g.Output())
		out, code := l.upgrade(t, g, bad, "from="+v2.image)
		if code != 7 || !regexp.MustCompile(`rolled back .*k3s`).MatchString(out) {
			t.Errorf("got code %d, want 7 for k3s", code)
		}
		console := g.Output()[before:]
		events := regexp.MustCompile(`booting slot [ab]|panic: the init of a bad version|\] Kernel panic - not syncing|not healthy after 40s: [^;]*`).FindAllString(console, -1)
		want := []string{"booting slot a", "panic: the init of a bad version", "] Kernel panic - not syncing", "booting slot a", "booting slot a", "not healthy after 40s: k3s is starting", "booting slot b"}
		if !slices.Equal(events, want) {
			t.Errorf("on the console:\n%q, want\n%q", events, want)
		}
		s = g.login()
		runs(t, s, v2, "b")
		if got := s.run("sudo shelf history"); !strings.Contains(got, "rolled back") {
			t.Errorf("history: %s", got)
		}
		if got := s.run("cat /home/rancher/kept"); got != "kept" {
			t.Errorf("after the cuts: %q", got)
		}
	}, g)
	s = g.login()
	s.off()
	if r := records(t, g.Disk); r.Active != bootstate.B || r.Trial != "" || r.B != bootstate.Good {
		t.Errorf("the boot record is %+v", r)
	}
}

// neverReady keeps a stand-in for k3s from coming up.
var neverReady = edit{"qemu/fixtures/standin/main.go", "		err = run(ctx, args[0], args[1:])\n", "		<-ctx.Done()\n"}

// TestUpgrade32 upgrades a 32-bit node. FULL: it costs what the others do.
func TestUpgrade32(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	l := newLaptop(t)
	all := newReleases(t, fmt.Sprintf("hostname: shelf-worker\nssh_authorized_keys:\n- %s\n- %s\n", public, l.public))
	words := []string{"board=qemu-arm", "role=worker", k3s(t, "arm")}
	v1 := all.build(t, "", words...)
	v2 := all.build(t, otherInit(t, "two32", "arm", named("two")), words...)
	g := boot(t, vm.Options{Image: v1.image, Name: "worker32"})[0]
	g.up()
	if out, code := l.upgrade(t, g, v2, "from="+v1.image); code != 0 || !strings.Contains(out, "is committed") {
		t.Fatalf("got code %d", code)
	}
	s := g.login()
	runs(t, s, v2, "b")
	s.off()
}
