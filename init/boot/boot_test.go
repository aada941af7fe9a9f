package boot

import (
	"os"
	"testing"

	"imgbuild/init/supervise"
)

func TestSteps(t *testing.T) {
	want := []string{"preinit", "layout", "config", "network", "services"} // the tests of whole images wait for these names
	for i, s := range Steps {
		if s.Name != want[i] || s.Run == nil || s.Limit <= 0 {
			t.Errorf("step %d: %+v", i, s)
		}
		if s.Fatal != (i < 2) {
			t.Errorf("%s: fatal %v, but only without a system is there nothing to go on with", s.Name, s.Fatal)
		}
	}
}

func TestMarks(t *testing.T) {
	dir := t.TempDir()
	boot := func(want string) {
		t.Helper()
		if got, err := markRunning(dir); err != nil || got != want {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
	boot("")
	boot("no orderly shutdown: the power went, or the watchdog reset the board")
	if err := markStopped(dir, "upgrade"); err != nil {
		t.Fatal(err)
	}
	boot("upgrade")
	if err := markStopped(dir, "poweroff"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/running"); err == nil {
		t.Error("the mark stays")
	}
}

func TestSSHD(t *testing.T) {
	if err := supervise.New(supervise.Options{}).Add(new(Node).sshd()); err != nil {
		t.Error(err)
	}
}
