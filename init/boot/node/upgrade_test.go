package node

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/boot/order"
	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/checks"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/status/control"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/ledger"
)

var attempt = ledger.Attempt{System: ledger.System{Bundle: "b2", Version: "v2", Floor: 7}, Slot: "b", From: "v1", Source: "ssh"}

// withLedger writes a ledger whose attempt is a for a node, nil for none.
func (v *View) withLedger(t *testing.T, a *ledger.Attempt) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.json")
	if err := (&ledger.Ledger{Attempt: a}).Save(path); err != nil {
		t.Fatal(err)
	}
	if err := v.Upgrades.Open(path, v.Pre().Slot, v.OnTrial(), &v.Record, v.Pre().Cmdline["shelf.last"]); err != nil {
		t.Fatal(err)
	}
	return path
}

func (v *View) order(t *testing.T, verb string, args map[string]string, out any) error {
	t.Helper()
	data, err := v.Answer(control.Request{Verb: verb, Args: args}, true)
	if err == nil && out != nil {
		text, _ := json.Marshal(data)
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatal(err)
		}
	}
	return err
}

// An upgrade is armed with what passes now, shows in the status, and can be taken back.
func TestArms(t *testing.T) {
	v := made(t, false, "sshd")
	if err := errors.Join(v.Services.Start(t.Context()), v.Services.Wait(t.Context(), "sshd")); err != nil {
		t.Fatal(err)
	}
	defer v.Stop(time.Minute)
	v.withLedger(t, nil)
	refused := []string{"k3os.modules"}
	v.Refused.Store(&refused)
	var f install.Facts
	if err := v.order(t, upgrades.Facts, nil, &f); err != nil || f.Slot != "a" || f.Role != "worker" || f.Version != "20261121-7271e76d" || f.Trial || f.Armed || f.Deadline != 60 {
		t.Errorf("facts %+v, %v", f, err)
	}
	if u := v.Status().Upgrade; u != nil {
		t.Errorf("an upgrade out of nothing: %+v, want nil", u)
	}
	text, _ := json.Marshal(attempt)
	if err := v.order(t, upgrades.Forget, map[string]string{"slot": "a"}, nil); err == nil {
		t.Error("the running slot was forgotten")
	}
	if err := v.order(t, upgrades.Forget, map[string]string{"slot": "b"}, nil); err != nil {
		t.Error(err)
	}
	if err := v.order(t, upgrades.Arm, map[string]string{"attempt": string(text)}, nil); err != nil {
		t.Fatal(err)
	}
	if r := v.state(t); r.Trial != "b" || r.Left != bootstate.MaxLeft {
		t.Errorf("record %+v, want Trial %q and Left %v", r, "b", bootstate.MaxLeft)
	}
	if u := v.Status().Upgrade; u == nil || u.State != "armed" || u.Version != "v2" || !slices.Equal(u.Before, []string{checks.Data, checks.SSHD}) {
		t.Errorf("status %+v", u)
	}
	if a := v.Upgrades.Armed(); a == nil || !slices.Equal(a.Refused, refused) {
		t.Errorf("armed %+v", a)
	}
	if err := v.order(t, upgrades.Facts, nil, &f); err != nil || !f.Armed {
		t.Errorf("facts %+v, %v", f, err)
	}
	var b upgrades.Back
	if err := v.order(t, upgrades.Rollback, nil, &b); err != nil || b.What != "withdrawn" || b.Version != "v2" || b.Reboot || v.state(t).Trial != "" {
		t.Errorf("%+v, %v, record %+v", b, err, v.state(t))
	}
	if err := v.order(t, upgrades.Rollback, nil, nil); fault.Code(err) != int(fault.Usage) {
		t.Errorf("back to nothing: %v, want code %v", err, int(fault.Usage))
	}
	for _, verb := range []string{upgrades.Commit, upgrades.Hold} {
		if err := v.order(t, verb, map[string]string{"seconds": "60"}, nil); fault.Code(err) != int(fault.Usage) {
			t.Errorf("%s without a trial: %v, want code %v", verb, err, int(fault.Usage))
		}
	}
	if _, err := v.Answer(control.Request{Verb: upgrades.Arm}, false); err == nil {
		t.Error("a stranger arms")
	}
	if l, err := v.Answer(control.Request{Verb: upgrades.History}, false); err != nil || len(l.(ledger.Ledger).History) != 1 {
		t.Errorf("history for a stranger: %+v, %v", l, err)
	}
}

// A trial is judged by what had passed before: it falls back for that, writes down why, and a check
// that had not passed does not matter.
func TestJudgedByBefore(t *testing.T) {
	for _, c := range []struct {
		before []string
		falls  bool
	}{{[]string{checks.Data, checks.SSHD, checks.K3s}, true}, {[]string{checks.Data, checks.SSHD}, false}} {
		synctest.Test(t, func(t *testing.T) {
			v := made(t, true)
			v.Pre().Manifest.K3s.Source = "embedded" // and its unit is not there
			v.Pre().Manifest.Health["worker"] = manifest.Health{Checks: []string{checks.Data, checks.K3s}, Deadline: 60}
			a := attempt
			a.Before = c.before
			path := v.withLedger(t, &a)
			if u := v.Status().Upgrade; u == nil || u.State != "trial" {
				t.Errorf("status %+v", u)
			}
			v.Settle()
			l, err := ledger.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if !c.falls {
				if got := v.state(t); got.Active != "b" || l.Floor != 7 || l.Last().Result != ledger.Committed {
					t.Errorf("record %+v, ledger %+v", got, l)
				}
				return
			}
			o := <-v.Orders.Next()
			if o.Reason != "unhealthy: k3s" || l.Attempt == nil || !slices.Equal(l.Attempt.Failed, []string{checks.K3s}) || l.Attempt.Reason != o.Reason {
				t.Errorf("order %+v, ledger %+v", o, l.Attempt)
			}
			if text := v.UpgradeText(); !strings.Contains(text, "k3s: not set up") {
				t.Errorf("the report is %q", text)
			}
		})
	}
}

// A key of the configuration that the system before took and this one refuses fails the trial.
func TestNewlyRefused(t *testing.T) {
	v := made(t, true)
	a := attempt
	a.Refused = []string{"k3os.a"}
	v.withLedger(t, &a)
	now := []string{"k3os.a", "k3os.b"}
	v.Refused.Store(&now)
	v.Pre().Manifest.Health = nil // the floor
	r, ok := v.judge().Of(checks.Config)
	if !ok || r.State != health.Bad || len(r.Why) != 1 || !strings.HasSuffix(r.Why[0], ": k3os.b") {
		t.Errorf("got %+v", r)
	}
	now = []string{"k3os.a"}
	if r, _ := v.judge().Of(checks.Config); r.State != health.Good {
		t.Errorf("got %+v", r)
	}
}

// Held, a trial is neither committed nor given up; by hand it is committed whatever the result of
// its checks.
func TestHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := made(t, true)
		v.withLedger(t, &attempt)
		if err := v.order(t, upgrades.Hold, map[string]string{"seconds": "3600"}, nil); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { v.Settle(); close(done) }()
		time.Sleep(50 * time.Minute) // of the bubble's clock; the deadline is one minute
		select {
		case o := <-v.Orders.Next():
			t.Fatalf("given up: %+v", o)
		case <-done:
			t.Fatal("committed")
		default:
		}
		if err := v.order(t, upgrades.Commit, nil, nil); err != nil {
			t.Fatal(err)
		}
		<-done
		if got := v.state(t); got.Active != "b" || got.Trial != "" || v.Upgrades.Trialing() {
			t.Errorf("record %+v", got)
		}
		// From here the way back is the other slot.
		var b upgrades.Back
		if err := v.order(t, upgrades.Rollback, nil, &b); err != nil || b.What != "switched" || b.Slot != "a" || v.state(t).Active != "a" {
			t.Errorf("%+v, %v, record %+v", b, err, v.state(t))
		}
		if o := <-v.Orders.Next(); o != (order.Order{Verb: order.Reboot, Reason: "rollback"}) {
			t.Errorf("got %+v", o)
		}
	})
}

// By hand, a trial ends as one that failed.
func TestTrialEndsByHand(t *testing.T) {
	v := made(t, true)
	v.withLedger(t, &attempt)
	var b upgrades.Back
	if err := v.order(t, upgrades.Rollback, nil, &b); err != nil || b.What != "trial" || !b.Reboot {
		t.Errorf("%+v, %v", b, err)
	}
	v.Note(<-v.Orders.Next())
	if got := v.state(t); got.Trial != "" || got.B != bootstate.Bad {
		t.Errorf("record %+v", got)
	}
}

// A deadline of the configuration is that of trials; the system before has at least its role's.
func TestDeadlines(t *testing.T) {
	v := made(t, false)
	for _, c := range []struct {
		configured     int
		deadline, fair time.Duration
	}{{0, time.Minute, time.Minute}, {20, 20 * time.Second, time.Minute}, {600, 10 * time.Minute, 10 * time.Minute}} {
		v.Config().Upgrade.Deadline = c.configured
		if got, fair := v.deadline(), v.fair(); got != c.deadline || fair != c.fair {
			t.Errorf("upgrade.deadline %d: got %v and %v, want %v and %v", c.configured, got, fair, c.deadline, c.fair)
		}
	}
}
