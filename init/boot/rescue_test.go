package boot

import (
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/settings/identity"
	"imgbuild/init/start/layout"
	"imgbuild/init/supervise"
)

func TestMayRun(t *testing.T) {
	for phase, want := range map[string][3]bool{"init_cmd": {true, true, false}, "boot_cmd": {true, true, false}, "run_cmd": {true, false, false}} {
		for i, l := range []layout.Layout{{}, {Degraded: true}, {Degraded: true, Rescue: "rescue.txt on the boot partition"}} {
			if n := (&Node{lay: &l}); n.mayRun(phase) != want[i] {
				t.Errorf("%s with %+v: %v", phase, l, !want[i])
			}
		}
	}
}

func TestFingerprints(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ssh")
	if _, err := identity.HostKeys(dir); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(fingerprints(dir), "\n")
	if !strings.Contains(got, "ed25519 SHA256:") || strings.Count(got, "SHA256:") != 2 {
		t.Errorf("%q", got)
	}
}

func TestGettys(t *testing.T) {
	units := gettys([]string{"tty0", "ttyAMA0", "ttyS1"})
	want := []string{"getty-tty1", "getty-ttyAMA0", "getty-ttyS1"}
	for i, u := range units {
		if u.Name != want[i] || !u.Optional || !strings.Contains(strings.Join(u.Command, " "), " "+strings.TrimPrefix(want[i], "getty-")+" ") {
			t.Errorf("%+v", u)
		}
		if err := supervise.New(supervise.Options{}).Add(u); err != nil {
			t.Error(err)
		}
	}
}
