package rescue

import (
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/settings/identity"
)

var (
	well   = Node{}
	lost   = Node{Degraded: true}
	asked  = Node{Degraded: true, Rescue: "rescue.txt on the boot partition"}
	forced = Node{Degraded: true, Rescue: "the kernel's command line", Forced: true}
)

func TestMayRun(t *testing.T) {
	for phase, want := range map[string][3]bool{"init_cmd": {true, true, false}, "boot_cmd": {true, true, false}, "run_cmd": {true, false, false}} {
		for i, n := range []Node{well, lost, asked} {
			if got := n.MayRun(phase); got != want[i] {
				t.Errorf("%s with %+v: got %v, want %v", phase, n, got, want[i])
			}
		}
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		n                   Node
		summary, head, back string
	}{
		{well, "The node is up.", "", ""},
		{lost, "keeps nothing", "DEGRADED: ", "shows why"},
		{asked, "because of rescue.txt on the boot partition", "RESCUE (rescue.txt", "sudo shelf rescue off"},
		{forced, "because of the kernel's command line", "RESCUE (the kernel's", "shows how"},
	} {
		head, back := c.n.Greeting()
		if !strings.Contains(c.n.Summary(), c.summary) || !strings.HasPrefix(head, c.head) || !strings.Contains(back, c.back) || (c.head == "") != (head == "") {
			t.Errorf("%+v: got %q, %q, %q", c.n, c.n.Summary(), head, back)
		}
	}
	if _, back := forced.Greeting(); strings.Contains(back, "rescue off") {
		t.Errorf("what the command line asks for cannot be switched off, got %q", back)
	}
}

func TestFingerprints(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ssh")
	if _, err := identity.HostKeys(dir); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(Fingerprints(dir), "\n")
	if !strings.Contains(got, "ed25519 SHA256:") || strings.Count(got, "SHA256:") != 2 {
		t.Errorf("%q", got)
	}
}
