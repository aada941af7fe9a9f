package boot

import (
	"strings"
	"testing"

	"imgbuild/init/boot/crash"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/disk"
	"imgbuild/init/start/layout"
	"imgbuild/init/start/preinit"
	"imgbuild/init/supervise"
)

// found is a tester whose machine and root are known, without a data partition.
func found(t *testing.T, role string, cmdline preinit.Cmdline) *Node {
	t.Helper()
	n := tester()
	n.lay = &layout.Layout{Degraded: true}
	n.Found.Store(&preinit.State{
		Cmdline: cmdline, Model: "Raspberry Pi 4", Memory: 2 << 30, Slot: "a", Disk: &disk.Disk{Name: "mmcblk0", Sectors: 8 << 21},
		Manifest: &manifest.Manifest{
			Family: "rpi64", Version: "20261121-7271e76d", Kernel: "6.12", InitSHA256: strings.Repeat("ab", 32), Roles: []string{"server", "worker"},
		},
	})
	cfg := &config.Config{}
	cfg.Shelf.Role = role
	n.Newest.Store(cfg)
	n.Units.Store(supervise.New(supervise.Options{}))
	return n
}

// The head of the report names machine, system and disk, and what is known of the boot before.
func TestIntroduce(t *testing.T) {
	n := found(t, "worker", preinit.Cmdline{"shelf.last": "panic", "shelf.trial": "1", "shelf.left": "2"})
	n.introduce()
	text := string(n.Base.Report.Text())
	for _, want := range []string{"Raspberry Pi 4, 2048 MiB", "rpi64 20261121-7271e76d, slot a", "6.12", "mmcblk0, 8192 MiB", "ended with: panic", "on trial, attempts left: 2", "abababababab"} {
		if !strings.Contains(text, want) {
			t.Errorf("got no %q in\n%s", want, text)
		}
	}
	n = tester() // a machine on which nothing was found
	n.introduce()
	if text := string(n.Base.Report.Text()); strings.Contains(text, "slot") || strings.Contains(text, "trial") {
		t.Errorf("without a disk: got\n%s", text)
	}
}

// A panic of an earlier boot is reported with its first words, and notes nothing in a record that
// has it already.
func TestCrashed(t *testing.T) {
	n := found(t, "worker", preinit.Cmdline{"shelf.last": "panic"})
	n.crashed(crash.Found{Who: n.system() + "program x", Words: "panic: no such thing\n\ngoroutine 1"}, true)
	p := n.Base.Report.Problems()
	if len(p) != 1 || p[0].Step != "panic" || !strings.Contains(p[0].What, "no such thing") || !strings.HasPrefix(n.how, "panic: ") {
		t.Errorf("reported %+v, ended with %q", p, n.how)
	}
}

// Without its data partition a node runs no role and none of its own services, and keeps nothing.
func TestDegradedNode(t *testing.T) {
	n := found(t, "server", nil)
	if err := startRole(n); err != nil {
		t.Errorf("got %v", err)
	}
	if err := takeCrash(n); err != nil || n.how != "" {
		t.Errorf("got %v, %q", err, n.how)
	}
	if err := openLedger(n); err != nil {
		t.Errorf("got %v", err)
	}
	if n.Disk.Load() != nil || n.Upkeep.Load() != nil || n.importer().Overwrite != nil {
		t.Error("a node without data uses a disk")
	}
	if f := n.fitsWith(n.Config()); f.Token != "" || len(f.Roles) != 2 || f.Memory != 2<<30 {
		t.Errorf("got %+v", f)
	}
	n.Newest.Load().InitCmd = []string{"exit 3"}
	n.lay.Rescue = "by request"
	if err := initCommands(n); err != nil {
		t.Errorf("the rescue system runs init_cmd: %v", err)
	}
}

// A role that the slot does not have is an error that names those it has.
func TestStartRole(t *testing.T) {
	n := found(t, "router", nil)
	n.lay.Degraded = false
	if err := startRole(n); err == nil || !strings.Contains(err.Error(), "server, worker") || !strings.Contains(err.Error(), `"router"`) {
		t.Errorf("got %v", err)
	}
	if text := string(n.Base.Report.Text()); !strings.Contains(text, "router") {
		t.Errorf("got\n%s", text)
	}
}
