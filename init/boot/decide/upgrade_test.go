package decide

import (
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/checks"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/ledger"
)

// rec makes a record of words: active, trial, left, a, b.
func rec(active, trial string, left int, a, b string) bootstate.Record {
	return bootstate.Record{V: 1, Seq: 7, Active: active, Trial: trial, Left: left, A: a, B: b}
}

func TestFate(t *testing.T) {
	for _, c := range []struct {
		name string
		p    Past
		want Fate
	}{
		{"armed", Past{"b", "a", false, rec("a", "b", 3, "good", "empty")}, Waits},
		{"tried for the first time", Past{"b", "b", true, rec("a", "b", 2, "good", "empty")}, OnTrial},
		{"for the last time", Past{"b", "b", true, rec("a", "b", 0, "good", "empty")}, OnTrial},
		{"it did not load", Past{"b", "a", false, rec("a", "b", 2, "good", "empty")}, FellBack},
		{"its attempts are used up", Past{"b", "a", false, rec("a", "", 2, "good", "bad")}, FellBack},
		{"it gave itself up", Past{"b", "a", false, rec("a", "", 3, "good", "bad")}, FellBack},
		{"committed, and then the power went", Past{"b", "b", false, rec("b", "", 2, "good", "good")}, Committed},
		{"committed, and the slot before runs", Past{"b", "a", false, rec("b", "", 2, "good", "good")}, Committed},
		{"noted, and then the power went", Past{"b", "a", false, rec("a", "", 2, "good", "empty")}, Unknown},
		{"forgotten for another one", Past{"b", "a", false, rec("a", "", 3, "good", "empty")}, Unknown},
		{"the record is lost", Past{"b", "a", false, bootstate.Record{}}, Unknown},
		{"the record is new", Past{"b", "a", false, bootstate.Fresh("a")}, Unknown},
		{"to slot a", Past{"a", "b", false, rec("b", "", 3, "bad", "good")}, FellBack},
	} {
		if got := c.p.Fate(); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

func TestBlameOf(t *testing.T) {
	const good, starting, waiting, bad = health.Good, health.Starting, health.Waiting, health.Bad
	failed := []string{checks.K3s, checks.Kubelet}
	for _, c := range []struct {
		name   string
		failed []string
		v      health.Verdict
		late   bool
		want   ledger.Blame
	}{
		{"it starts", failed, verdict(checks.K3s, starting, checks.Kubelet, starting), false, ledger.Open},
		{"it does not come", failed, verdict(checks.K3s, bad, checks.Kubelet, starting), true, ledger.External},
		{"it waits", failed, verdict(checks.K3s, waiting), true, ledger.External},
		{"one passes", failed, verdict(checks.K3s, good, checks.Kubelet, starting), false, ledger.Own},
		{"all pass", failed, verdict(checks.K3s, good, checks.Kubelet, good), true, ledger.Own},
		{"others fail", failed, verdict(checks.SSHD, bad), true, ledger.Own},
		{"nobody knows why it fell back", nil, verdict(checks.SSHD, bad), true, ledger.Own},
	} {
		if got := BlameOf(c.failed, c.v, c.late); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestGoBack(t *testing.T) {
	for _, c := range []struct {
		running string
		trial   bool
		r       bootstate.Record
		want    Return
	}{
		{"b", true, rec("a", "b", 2, "good", "empty"), EndTrial},
		{"b", true, rec("b", "", 3, "good", "good"), Switch}, // committed in this boot
		{"a", false, rec("a", "b", 3, "good", "empty"), GiveBack},
		{"a", false, rec("a", "", 3, "good", "good"), Switch},
		{"b", false, rec("b", "", 3, "bad", "good"), NoWay},
		{"b", false, rec("b", "", 3, "empty", "good"), NoWay},
		{"a", false, bootstate.Record{}, NoWay},
	} {
		if got := GoBack(c.running, c.trial, c.r); got != c.want {
			t.Errorf("%s, trial %v, %+v: got %d, want %d", c.running, c.trial, c.r, got, c.want)
		}
	}
}

// Held: nothing is decided, whatever time it is. By order: it is committed, whatever the result of
// the checks.
func TestByHand(t *testing.T) {
	fails := verdict(checks.Data, health.Good, checks.SSHD, health.Good, checks.K3s, health.Bad)
	well := verdict(checks.Data, health.Good, checks.SSHD, health.Good, checks.K3s, health.Good)
	for _, c := range []struct {
		name string
		s    Settling
		want Outcome
	}{
		{"held", Settling{Trial: true, Held: true, Late: true, Verdict: fails}, Wait},
		{"held, and well", Settling{Trial: true, Held: true, Verdict: well}, Wait},
		{"held, not on trial", Settling{Held: true, Verdict: well}, Commit},
		{"ordered", Settling{Trial: true, Ordered: true, Verdict: fails}, Commit},
		{"ordered while held", Settling{Trial: true, Ordered: true, Held: true, Verdict: fails}, Commit},
		{"ordered, and it panics", Settling{Trial: true, Ordered: true, Panicking: true, Verdict: well}, Stay},
	} {
		if got, _ := c.s.Settle(); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}
