package fsck

import (
	"context"
	"fmt"
	"testing"

	"imgbuild/init/supervise"
)

func TestRun(t *testing.T) {
	for code, want := range map[int]struct{ sound, repaired, failed bool }{
		0: {sound: true}, 1: {sound: true, repaired: true}, 2: {sound: true, repaired: true}, 4: {}, 5: {}, 8: {failed: true}, 12: {failed: true},
	} {
		r, err := run(t.Context(), supervise.Cmd("/bin/sh", "-c", fmt.Sprintf("echo first; echo ' last '; exit %d", code)))
		if err != nil || r.Code != code || r.Last != "last" {
			t.Errorf("got %+v, %v, want code %d and the line last", r, err, code)
		}
		if r.Sound() != want.sound || r.Repaired() != want.repaired || r.Failed() != want.failed {
			t.Errorf("code %d: got sound %v, repaired %v, failed %v, want %+v", code, r.Sound(), r.Repaired(), r.Failed(), want)
		}
	}
	if r, err := run(t.Context(), supervise.Cmd("/nowhere/e2fsck")); err == nil {
		t.Errorf("no program: got %+v, want an error", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := run(ctx, supervise.Cmd("/bin/sh", "-c", "exit 1")); err == nil {
		t.Errorf("stopped: got %+v, want an error", r)
	}
}
