package scenarios

import (
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/qemu/vm"
)

// TestFirmware upgrades a slot and the firmware, one after the other, and goes back with each, so
// that both boot scripts boot both slots through U-Boot, from both places of BOOT. The user's words
// for the kernel go along. FULL: six boots.
func TestFirmware(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	const script = "shelf: the boot script of the second version"
	l := newLaptop(t)
	all := newReleases(t, l.serverConfig())
	words := []string{"board=rpi4", "role=server", k3s(t, "arm64")}
	v1 := all.build(t, "", words...)
	v2 := all.build(t, otherInit(t, "two", "arm64", named("two"),
		edit{"builder/bootscript/text.go", "# boot.scr of ShelfOS, for @NAME@\n", "echo \"" + script + "\"\n"}), words...)
	disk := filepath.Join(t.TempDir(), "disk.img")
	duplicate(t, v1.image, disk)
	// U-Boot's shell passes all of it as it is; the node hands a module its parameter.
	const own = `virtio-blk.num_request_queues=1 shelf.watchdog=on a="b; reset" c=$d`
	onBoot(t, disk, "usercmdline.txt", own+"\r\nnot=this\r\n")
	_, cable := testLAN(t)
	options := vm.Options{Image: disk, Kept: true, Name: "server", Machine: "virt", Memory: 2048, Links: []*vm.Link{cable}}
	g := boot(t, options)[0]

	// is looks at a node that has just booted: version, slot, place of BOOT, script since before.
	is := func(before int, r release, slot, place string) {
		t.Helper()
		g.up()
		s := g.login()
		runs(t, s, r, slot)
		if got := s.run("sudo shelf firmware"); got != "board rpi4, BOOT is in the "+place+" place" {
			t.Errorf("the firmware is %q, want the %s place", got, place)
		}
		if got := strings.Contains(g.Output()[before:], script); got != (place == "second") {
			t.Errorf("the second version's script has run: %v", got)
		}
		if got := s.run("cat /proc/cmdline"); !strings.HasSuffix(got, " "+own) {
			t.Errorf("the kernel's command line is %q, want %q at its end", got, own)
		}
		if got := s.run("cat /sys/module/virtio_blk/parameters/num_request_queues"); got != "1" {
			t.Errorf("the module's parameter is %s, want 1", got)
		}
		if got := s.run("sudo cat /boot/report.txt | tr -d '\\r\\n'"); strings.Contains(got, "shelf.watchdog") {
			t.Errorf("the report has a problem of the command line: %.1000q", got)
		}
	}
	is(0, v1, "a", "first")

	// The new slot under the old BOOT, then under the new one.
	before := len(g.Output())
	if out, code := l.upgrade(t, g, v2, "from="+v1.image); code != 0 || !strings.Contains(out, "is committed") {
		t.Fatalf("the slot: code %d", code)
	}
	is(before, v2, "b", "first")
	before = len(g.Output())
	if out, code := l.upgrade(t, g, v2, "firmware=yes"); code != 0 || !strings.Contains(out, "boots with the firmware of "+v2.version) {
		t.Fatalf("the firmware: code %d", code)
	}
	is(before, v2, "b", "second")
	if out, code := l.upgrade(t, g, v2, "firmware=yes"); code != 0 || !strings.Contains(out, "is there already") {
		t.Errorf("once more: code %d: %s", code, out)
	}

	// The old slot under the new BOOT, then under the old one.
	s := g.login()
	before = len(g.Output())
	s.until("sudo shelf rollback", "yields to the system in slot a")
	g.see(`shelf: booting slot a`)
	is(before, v1, "a", "second")
	before = len(g.Output())
	g.login().try("sudo shelf firmware rollback")
	g.see(`shelf: booting slot a`)
	is(before, v1, "a", "first")
	g.login().off()

	// A laptop swaps the card.
	imgbuildMust(t, "", "firmware", disk)
	_, cable = testLAN(t)
	options.Links = []*vm.Link{cable}
	g = start(t, options)[0]
	is(0, v1, "a", "second")
	g.login().off()
	if r := records(t, disk); r.Active != bootstate.A || r.Trial != "" || r.A != bootstate.Good {
		t.Errorf("the boot record is %+v", r)
	}
}
