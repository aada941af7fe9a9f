package scenarios

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"imgbuild/builder/ubootscript"
	"imgbuild/qemu/long/soak/judge"
	"imgbuild/qemu/vm"
)

// TestSoak runs services of qemu/fixtures/rogue next to two that are well: the short form of make
// soak, one of each kind of trouble, and every one of them in the full suite. On the same node,
// before that, PID 1 fails, in the full suite in both ways in which a Go program can: it reports
// so, reboots, and shows it afterwards.
func TestSoak(t *testing.T) {
	t.Parallel()
	im := build(t, cloudConfig("shelf-soak", ""), "board=qemu-arm64", "role=worker", "k3s=none")
	disk := filepath.Join(t.TempDir(), "disk.img")
	duplicate(t, im.Image, disk)
	argument(t, disk, "shelf.test=panic")
	g := boot(t, vm.Options{Image: disk, Name: "soak", Size: 4 << 30})[0]
	g.up()

	sub(t, "panic in a goroutine", func(t *testing.T) {
		s := g.login()
		s.run("sudo touch /var/lib/acknowledged && sudo kill -40 1")
		g.see(`shelf: PROBLEM what went wrong: the init program failed: runtime error: invalid memory address`)
		g.see(`shelf: rebooting in 10 s`)
		g.see(`PROBLEM what went wrong: the init program failed in an earlier boot \(slot a, system .*: panic: runtime error`)
		g.see(`shelf: ready`)
		s = g.login()
		s.run("ls /var/lib/acknowledged") // it was not synced by its writer
		if got := s.run("sudo cat /var/log/shelf/crash.log"); !strings.Contains(got, "boot.failOn") {
			t.Errorf("crash.log:\n%s", got)
		}
		if got := s.run("sudo cat /boot/report.txt"); !strings.Contains(got, "the init program failed in an earlier boot") {
			t.Errorf("report.txt:\n%s", got)
		}
		if got := s.run("cat /proc/cmdline"); !strings.Contains(got, "shelf.last=panic") {
			t.Errorf("the boot record did not show it: %s", got)
		}
	}, g)
	broken := func(t *testing.T) {
		s := g.login()
		s.run("sudo rm /var/log/shelf/crash.log")
		s.try("sudo kill -41 1")
		g.see(`fatal error: sync: unlock of unlocked mutex`)
		g.see(`Kernel panic - not syncing: Attempted to kill init!.*`) // panic=10 reboots
		g.see(`PROBLEM what went wrong: the init program failed in an earlier boot \(slot a, system .*: error of the runtime in internal/sync.fatal`)
		g.see(`shelf: ready`)
		s = g.login()
		if got := s.run("sudo cat /var/log/shelf/crash.log"); !strings.Contains(got, "boot.failOn") {
			t.Errorf("crash.log:\n%s", got)
		}
	}
	if full {
		sub(t, "error of the runtime", broken, g)
	}
	sub(t, "clock", func(t *testing.T) {
		s := g.login()
		// This node gets no time, and its machine begins in 1970 with each boot.
		if now, _ := strconv.ParseInt(s.run("date +%s"), 10, 64); now < im.Slot.Date {
			t.Errorf("it is %d, the image is of %d", now, im.Slot.Date)
		}
		// The clock is set, as the first server that answers does it: what runs does not age by
		// that.
		s.run("sudo date -s @$(($(date +%s) + 400 * 86400))")
		shown := s.run("shelf services")
		s.run("sudo date -s @$(($(date +%s) - 400 * 86400))")
		if !strings.Contains(shown, "sshd") || strings.Contains(shown, "400 d") {
			t.Errorf("after a step of 400 days:\n%s", shown)
		}
	}, g)

	rogue, err := os.ReadFile(static(t, "arm64", "../fixtures/rogue"))
	if err != nil {
		t.Fatal(err)
	}
	units := judge.Rogues(1, "")
	if !full {
		kinds := []string{"crasher", "bomb", "deaf", "flood", "eat", "zombies"}
		units = slices.DeleteFunc(units, func(u judge.Unit) bool { return !slices.Contains(kinds, u.Name) })
	}
	c := judge.Case{VM: g.VM, Key: key, Rogue: rogue, Units: units, Seed: 1, Bear: 10 * time.Second, Patient: patience, Say: t.Logf}
	failures, err := c.Run(t.Context())
	for _, f := range failures {
		t.Error(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	ref(t, "e2fsck", "-fn", dataFS(g.Disk))
}

// argument puts a word onto the kernel's command line, in the boot script on BOOT of a disk.
func argument(t *testing.T, disk, word string) {
	t.Helper()
	im, err := vm.OpenImage(disk)
	if err != nil {
		t.Fatal(err)
	}
	data, err := im.ReadFile(vm.Boot, "boot.scr")
	im.Close()
	if err != nil {
		t.Fatal(err)
	}
	script, date, err := ubootscript.Parse(data)
	if err != nil || strings.Count(script, " panic=10 ") != 1 {
		t.Fatalf("boot.scr: %v\n%s", err, script)
	}
	onBoot(t, disk, "boot.scr", string(ubootscript.Image(strings.Replace(script, " panic=10 ", " panic=10 "+word+" ", 1), date)))
}
