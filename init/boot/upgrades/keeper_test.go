package upgrades

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"imgbuild/init/boot/decide"
	"imgbuild/init/boot/record"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/checks"
	"imgbuild/init/contract/fault"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/ledger"
)

// machine is a disk with a boot record, and a data partition. boot returns the keeper of a boot.
type machine struct {
	t    *testing.T
	path string
	disk string
	rec  *record.Record
	did  []string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, path: filepath.Join(t.TempDir(), "upgrade", "ledger.json"), disk: filepath.Join(t.TempDir(), "disk"), rec: new(record.Record)}
	if err := errors.Join(os.WriteFile(m.disk, nil, 0o600), os.Truncate(m.disk, 16<<20)); err != nil {
		t.Fatal(err)
	}
	m.rec.On(m.disk)
	m.store(bootstate.Fresh(bootstate.A))
	return m
}

func (m *machine) store(r bootstate.Record) {
	m.t.Helper()
	d, err := bootstate.OpenDisk(m.disk, true)
	if err != nil {
		m.t.Fatal(err)
	}
	defer d.Close()
	if _, err := bootstate.Store(d, r); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) state() bootstate.Record {
	m.t.Helper()
	r, err := m.rec.Read()
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// boot does what the boot script does, with loads saying that the chosen slot loads, and opens the
// ledger.
func (m *machine) boot(loads bool) *Keeper {
	m.t.Helper()
	r := m.state()
	slot, trial := r.Slot(), r.Trial != ""
	if r.Left == 0 && trial {
		if r.Trial == bootstate.A {
			r.A = bootstate.Bad
		} else {
			r.B = bootstate.Bad
		}
		r.Last, r.Trial, r.Left = "trial-"+r.Trial+"-exhausted", "", bootstate.MaxLeft
		slot, trial = r.Active, false
	}
	if r.Left > 0 { // at 0 a committed slot boots on
		r.Left--
	}
	if !loads {
		slot, trial = bootstate.Other(slot), false
	}
	m.store(r)
	k := new(Keeper)
	note := func(what string) func(ledger.Attempt) {
		return func(a ledger.Attempt) { m.did = append(m.did, what+" "+a.Version) }
	}
	k.Hooks = Hooks{Commit: note("commit"), FellBack: note("fell back"), Withdrawn: note("withdrawn")}
	if err := k.Open(m.path, slot, trial, m.rec, r.Last); err != nil {
		m.t.Fatal(err)
	}
	return k
}

func (m *machine) hooks() string { return strings.Join(m.did, ", ") }

// last is the newest attempt as the next boot would read it.
func (m *machine) last() ledger.Attempt {
	m.t.Helper()
	l, err := ledger.Load(m.path)
	if err != nil || l.Last() == nil {
		m.t.Fatalf("no attempt in the ledger: %v", err)
	}
	return *l.Last()
}

func results(pairs ...any) health.Verdict {
	var v health.Verdict
	for i := 0; i < len(pairs); i += 2 {
		v.Results = append(v.Results, health.Result{Check: pairs[i].(string), State: pairs[i+1].(health.State)})
	}
	return v
}

var (
	v2   = ledger.Attempt{System: ledger.System{Bundle: "b2", Version: "v2", Floor: 7}, Slot: "b", From: "v1"}
	well = results(checks.SSHD, health.Good, checks.K3s, health.Good)
	ill  = results(checks.SSHD, health.Good, checks.K3s, health.Bad)
)

func (m *machine) arm(k *Keeper, v health.Verdict) {
	m.t.Helper()
	if err := k.Forget("b"); err != nil {
		m.t.Fatal(err)
	}
	if err := k.Arm(v2, v, []string{"k3os.x"}, time.Now()); err != nil {
		m.t.Fatal(err)
	}
}

func TestCommit(t *testing.T) {
	m := newMachine(t)
	k := m.boot(true)
	m.arm(k, well)
	if a := k.Armed(); a == nil || a.Version != "v2" || k.Trial() != nil {
		t.Fatalf("armed %+v, trial %+v", a, k.Trial())
	}
	if err := k.Arm(v2, well, nil, time.Now()); fault.Code(err) != int(fault.Unhealthy) {
		t.Errorf("armed twice: %v, want code %v", err, int(fault.Unhealthy))
	}
	k = m.boot(true)
	a := k.Trial()
	if a == nil || !reflect.DeepEqual(a.Before, []string{checks.SSHD, checks.K3s}) || !reflect.DeepEqual(a.Refused, []string{"k3os.x"}) {
		t.Fatalf("on trial: %+v", a)
	}
	if err := k.Forget("a"); fault.Code(err) != int(fault.Unhealthy) {
		t.Errorf("the slot before was forgotten: %v, want code %v", err, int(fault.Unhealthy))
	}
	if err := errors.Join(m.rec.Healthy("b"), k.Committed(well)); err != nil {
		t.Fatal(err)
	}
	if k.Trial() != nil || m.hooks() != "commit v2" || k.Ledger().Floor != 7 {
		t.Errorf("trial %+v, hooks %q, floor %d", k.Trial(), m.hooks(), k.Ledger().Floor)
	}
	if got := m.last(); got.Result != ledger.Committed || got.Reason != "its checks passed" || len(got.Judged) != 2 {
		t.Errorf("got %+v", got)
	}
	if k = m.boot(true); k.Ledger().Attempt != nil || m.hooks() != "commit v2" {
		t.Errorf("at the next boot: %+v, hooks %q", k.Ledger().Attempt, m.hooks())
	}
}

// The power goes between the boot record and the ledger: the next boot ends the attempt, and the
// floor rises all the same.
func TestCommitCut(t *testing.T) {
	m := newMachine(t)
	m.arm(m.boot(true), well)
	m.boot(true)
	if err := m.rec.Healthy("b"); err != nil {
		t.Fatal(err)
	}
	if k := m.boot(true); k.Ledger().Floor != 7 || m.last().Result != ledger.Committed || m.hooks() != "commit v2" {
		t.Errorf("floor %d, %+v, hooks %q", k.Ledger().Floor, m.last(), m.hooks())
	}
	// Between the ledger and arming: nothing was armed.
	m = newMachine(t)
	k := m.boot(true)
	m.arm(k, well)
	if err := m.rec.Disarm(); err != nil {
		t.Fatal(err)
	}
	if k = m.boot(true); k.Ledger().Attempt != nil || len(k.Ledger().History) > 0 || k.Armed() != nil {
		t.Errorf("got %+v", k.Ledger())
	}
}

// A trial that gives itself up leaves behind what was judged; the system before reports whether it
// was something from outside.
func TestFallBack(t *testing.T) {
	for _, c := range []struct {
		name string
		v    health.Verdict
		late bool
		want ledger.Blame
	}{{"the system's own fault", well, false, ledger.Own}, {"nobody knows yet", ill, false, ledger.Open}, {"something from outside", ill, true, ledger.External}} {
		m := newMachine(t)
		m.arm(m.boot(true), well)
		k := m.boot(true)
		if err := k.GaveUp("unhealthy: k3s", ill, ill.Results[1:]); err != nil {
			t.Fatal(err)
		}
		if err := m.rec.Note(decide.Blame, "unhealthy: k3s"); err != nil {
			t.Fatal(err)
		}
		k = m.boot(true)
		if got := m.last(); got.Result != ledger.RolledBack || got.Reason != "unhealthy: k3s" || got.Blame != ledger.Open || len(got.Judged) != 2 || m.hooks() != "fell back v2" {
			t.Errorf("%s: %+v, hooks %q", c.name, got, m.hooks())
		}
		done, err := k.Blame(c.v, c.late)
		if err != nil || done != (c.want != ledger.Open) || m.last().Blame != c.want {
			t.Errorf("%s: done %v, %v, blame %s, want %s", c.name, done, err, m.last().Blame, c.want)
		}
		if k.Ledger().Floor != 0 {
			t.Errorf("%s: the floor rose", c.name)
		}
		err = (func() error { l := k.Ledger(); return l.Refuse("b2") })()
		if (err == nil) != (c.want == ledger.External) {
			t.Errorf("%s: tried again: %v", c.name, err)
		}
	}
}

// A trial that does not come far enough to report why.
func TestFallBackSilently(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		loads        bool
		boots        int
	}{{"it does not load", "it did not start", false, 1}, {"it hangs", "trial-b-exhausted", true, 3}} {
		m := newMachine(t)
		m.arm(m.boot(true), well)
		for range c.boots {
			m.boot(c.loads)
		}
		m.boot(true)
		if got := m.last(); got.Result != ledger.RolledBack || got.Reason != c.reason || got.Blame != ledger.Own || m.hooks() != "fell back v2" {
			t.Errorf("%s: %+v, hooks %q", c.name, got, m.hooks())
		}
	}
}

// What passed in the hour before counts, what passed longer ago does not.
func TestBefore(t *testing.T) {
	m := newMachine(t)
	k := m.boot(true)
	now := time.Now()
	k.Sample(results(checks.K3s, health.Good, checks.API, health.Good), now.Add(-2*time.Hour))
	k.Sample(results(checks.K3s, health.Good, checks.API, health.Bad), now.Add(-59*time.Minute))
	if err := k.Arm(v2, results(checks.SSHD, health.Good, checks.K3s, health.Bad, checks.API, health.Bad, checks.Kubelet, health.Waiting), nil, now); err != nil {
		t.Fatal(err)
	}
	if got := m.last().Before; !reflect.DeepEqual(got, []string{checks.SSHD, checks.K3s}) {
		t.Errorf("got %v", got)
	}
}

func TestWithdraw(t *testing.T) {
	m := newMachine(t)
	k := m.boot(true)
	m.arm(k, well)
	if err := k.Withdraw("by hand"); err != nil || k.Armed() != nil || m.state().Trial != "" || m.last().Result != ledger.Withdrawn || m.hooks() != "withdrawn v2" {
		t.Errorf("%v: armed %+v, record %+v, %+v", err, k.Armed(), m.state(), m.last())
	}
	// What has to be done when the services have stopped fails: the upgrade is not tried.
	m.arm(k, well)
	k.Hooks.Leave = func(ledger.Attempt) error { return errors.New("no space for the copy") }
	if err := k.Leave(); err == nil || m.state().Trial != "" || m.last().Reason != "no space for the copy" {
		t.Errorf("%v, record %+v, %+v", err, m.state(), m.last())
	}
	k.Hooks.Leave = nil
	m.arm(k, well)
	if err := k.Leave(); err != nil || m.state().Trial != "b" {
		t.Errorf("%v, record %+v", err, m.state())
	}
	// Refused before arming.
	if err := k.Withdraw(""); err != nil {
		t.Fatal(err)
	}
	k.Hooks.Arm = func(ledger.Attempt) error { return fault.New(fault.Device, "", "no space") }
	if err := k.Arm(v2, well, nil, time.Now()); fault.Code(err) != int(fault.Device) || m.state().Trial != "" {
		t.Errorf("%v, record %+v", err, m.state())
	}
}

// By hand: hold, commit, and back to the system before.
func TestByHand(t *testing.T) {
	m := newMachine(t)
	k := m.boot(true)
	now := time.Now()
	if err := errors.Join(k.Hold(time.Hour, now), k.Order()); fault.Code(err) != int(fault.Usage) {
		t.Errorf("without a trial: %v, want code %v", err, int(fault.Usage))
	}
	m.arm(k, well)
	k = m.boot(true)
	if err := k.Hold(time.Hour, now); err != nil || !k.Held(now.Add(59*time.Minute)) || k.Held(now.Add(time.Hour)) {
		t.Errorf("%v, held %v, an hour later %v", err, k.Held(now), k.Held(now.Add(time.Hour)))
	}
	if err := k.Hold(25*time.Hour, now); fault.Code(err) != int(fault.Usage) {
		t.Errorf("held for a day and more: %v, want code %v", err, int(fault.Usage))
	}
	if err := k.Order(); err != nil || !k.Ordered() {
		t.Error(err)
	}
	if err := errors.Join(m.rec.Healthy("b"), k.Committed(ill)); err != nil || m.last().Reason != "by hand" || k.Held(now) {
		t.Errorf("%v, %+v", err, m.last())
	}
	k.Hooks.Unwind = func(ledger.Ledger) error { return fault.New(fault.Unhealthy, "", "another minor") }
	if err := k.Select("a"); fault.Code(err) != int(fault.Unhealthy) || m.state().Active != "b" {
		t.Errorf("%v, %+v", err, m.state())
	}
	k.Hooks.Unwind = nil
	if err := errors.Join(k.Select("a"), k.Unwound("v2")); err != nil || m.state().Active != "a" || m.last().Result != ledger.RolledBack || m.last().Reason != "by hand" {
		t.Errorf("%v, %+v, %+v", err, m.state(), m.last())
	}
	if l := k.Ledger(); l.Floor != 7 || (&l).Refuse("b2") == nil {
		t.Errorf("floor %d, tried again: %v", l.Floor, l.Refuse("b2"))
	}
}

// Without its data partition a node arms nothing; a ledger that is damaged costs the history only.
func TestWithoutLedger(t *testing.T) {
	m := newMachine(t)
	k := new(Keeper)
	if err := k.Open("", "a", false, m.rec, ""); err != nil {
		t.Fatal(err)
	}
	if err := k.Arm(v2, well, nil, time.Now()); fault.Code(err) != int(fault.Device) || m.state().Trial != "" {
		t.Errorf("%v", err)
	}
	m.arm(m.boot(true), well)
	if err := os.WriteFile(m.path, []byte("\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Open(m.path, "b", true, m.rec, ""); fault.Code(err) != int(fault.Device) {
		t.Errorf("got %v", err)
	}
	if k.Trial() != nil {
		t.Error("a trial out of nothing")
	}
	if err := errors.Join(m.rec.Healthy("b"), k.Committed(well)); err != nil || m.state().Active != "b" {
		t.Errorf("%v, %+v", err, m.state())
	}
}
