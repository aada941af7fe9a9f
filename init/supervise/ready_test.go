package supervise

import (
	"testing"
	"time"
)

// The command that shows readiness sees what the unit sees: its environment and directory.
func TestReadyCommandRunsAsTheUnit(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Unit{
		Name: "x", Command: sh("exec sleep 1000"), Env: []string{"ASKED=yes"}, Dir: dir,
		Ready: Ready{Kind: Succeeds, Command: sh(`test "$ASKED" = yes && test "$PWD" = ` + dir), Timeout: time.Minute},
	})
	if err := s.Wait(within(t), "x"); err != nil {
		t.Fatal(err)
	}
}
