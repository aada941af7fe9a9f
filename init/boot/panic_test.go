package boot

import (
	"testing"

	"imgbuild/init/supervise"
)

func TestLastWords(t *testing.T) {
	who := "slot a, system 20261121-7271e76d, program x, booted 2026-11-22T17:00:00Z"
	clean := crashText(who)
	if len(clean) != crashSize {
		t.Errorf("%d bytes", len(clean))
	}
	if w, words := lastWords(clean); w != who || words != "" {
		t.Errorf("a boot that is well: %q, %q", w, words)
	}
	after := clean
	copy(after[crashHead:], "panic: x\n\ngoroutine 1 [running]:\nmain.main()\n")
	if w, words := lastWords(after); w != who || words != "panic: x\n\ngoroutine 1 [running]:\nmain.main()" {
		t.Errorf("%q, %q", w, words)
	}
	for words, want := range map[string]string{
		"panic: x\n\ngoroutine 1 [running]:": "panic: x",
		"goroutine 92 [running]:\ninternal/sync.fatal({0x5a9f66?, 0x525c80?})\n\truntime/panic.go:1191 +0x20": "error of the runtime in internal/sync.fatal",
		"goroutine 9": "error of the runtime in ",
		"":            "",
	} {
		if got := gist(words); got != want {
			t.Errorf("%q: %q", words, got)
		}
	}
	// Cut short by a power cut, or by somebody.
	for _, n := range []int{0, 1, 100, crashHead, crashHead + 1} {
		if _, words := lastWords(crashText(who)[:n]); words != "" {
			t.Errorf("%d bytes: %q", n, words)
		}
	}
}

func TestWorthSaying(t *testing.T) {
	st := func(phase supervise.Phase, detail string, failures int) supervise.State {
		return supervise.State{Name: "x", Phase: phase, Detail: detail, Failures: failures, Optional: true}
	}
	for _, c := range []struct {
		was, is supervise.State
		want    bool
	}{
		{st(supervise.Starting, "", 0), st(supervise.Up, "", 0), true},
		{st(supervise.Up, "1", 0), st(supervise.Up, "2", 0), false}, // a unit that talks
		{st(supervise.Pending, "a", 0), st(supervise.Pending, "b", 0), true},
		{st(supervise.Pending, "a", 0), st(supervise.Pending, "a", 0), false},
		{st(supervise.Up, "", 2), st(supervise.Failed, "exit status 1", 3), true},
		{st(supervise.Up, "", 4), st(supervise.Failed, "exit status 1", 5), false},
		{st(supervise.Up, "", 7), st(supervise.Failed, "exit status 1", 8), true},
		{st(supervise.Failed, "", 1), st(supervise.Starting, "", 1), false},
	} {
		if got := worthSaying(c.was, c.is); got != c.want {
			t.Errorf("%+v -> %+v: %v", c.was, c.is, got)
		}
	}
	loop := st(supervise.Failed, "exit status 1", 5)
	loop.Optional = false
	if !worthSaying(st(supervise.Up, "", 4), loop) {
		t.Error("a service that the node is for fails in silence")
	}
}
