package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/boot/decide"
	"imgbuild/init/boot/order"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/checks"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/disk"
	"imgbuild/init/net/clock"
	"imgbuild/init/net/network"
	"imgbuild/init/start/layout"
	"imgbuild/init/start/preinit"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/status/health"
	"imgbuild/init/status/metrics"
	"imgbuild/init/supervise"
)

// made is a running node without hardware: its disk is a file, its only service one that is missing
// or runs.
func made(t *testing.T, trial bool, running ...string) *View {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 16<<20); err != nil {
		t.Fatal(err)
	}
	d, err := bootstate.OpenDisk(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	rec := bootstate.Fresh(bootstate.A)
	cmdline := preinit.Cmdline{"shelf.left": "2", "shelf.last": "reboot"}
	rec.Left = 2
	if trial {
		rec.Trial, cmdline["shelf.trial"] = bootstate.B, "1"
	}
	if _, err := bootstate.Store(d, rec); err != nil {
		t.Fatal(err)
	}
	s := &Shared{Orders: order.NewQueue()}
	s.Base = report.Reporter{Console: &report.Console{}, Report: &report.Report{}, Step: "run"}
	s.Record.On(path)
	s.Found.Store(&preinit.State{Slot: rec.Slot(), Cmdline: cmdline, Manifest: &manifest.Manifest{
		Version: "20261121-7271e76d", Roles: []string{"worker"}, K3s: &manifest.K3s{Source: "none"},
		Health: map[string]manifest.Health{"worker": {Checks: []string{checks.Data, checks.SSHD, checks.K3s}, Deadline: 60}},
	}})
	cfg := &config.Config{}
	cfg.Shelf.Role = "worker"
	s.Newest.Store(cfg)
	s.Up.Store(true)
	units := supervise.New(supervise.Options{})
	for _, name := range running {
		if err := units.Add(supervise.Unit{Name: name, Command: []string{"/bin/sleep", "1000"}}); err != nil {
			t.Fatal(err)
		}
	}
	s.Units.Store(units)
	net := network.New(cfg, "node", filepath.Join(t.TempDir(), "resolv.conf"), func(string, ...any) {})
	return &View{
		Shared: s, How: "reboot", Logs: t.TempDir(), Layout: &layout.Layout{}, Services: units, Net: net, Clock: &clock.Keeper{},
		Watch: metrics.New(&metrics.Watch{}),
	}
}

func (v *View) state(t *testing.T) bootstate.Record {
	t.Helper()
	r, err := v.Record.Read()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A trial whose service runs is committed; the attempts of a committed slot are restored.
func TestSettles(t *testing.T) {
	for _, trial := range []bool{false, true} {
		v := made(t, trial, "sshd")
		if err := v.Services.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		v.Settle()
		want, slot := bootstate.Fresh(bootstate.A), v.Pre().Slot
		want.Active = slot
		if got := v.state(t); got.Active != slot || got.Trial != "" || got.Left != bootstate.MaxLeft || got.State(slot) != bootstate.Good {
			t.Errorf("trial %v: got %+v", trial, got)
		}
		if text := string(v.Base.Report.Text()); !strings.Contains(text, "The node is up.") {
			t.Errorf("trial %v: the report is\n%s", trial, text)
		}
		if st := v.Status(); st.Health != health.Good || len(st.Checks) != 2 || st.LastEnd != "reboot" || st.Record.Active != slot || len(st.Services) != 1 {
			t.Errorf("trial %v: %+v", trial, st)
		}
		v.Stop(time.Minute)
	}
}

// A trial whose service never comes is given up with the name of the check; its record is written
// by the order's end.
func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := made(t, true)
		v.Settle()
		o := <-v.Orders.Next()
		if o != (order.Order{Verb: order.Reboot, Reason: "unhealthy: sshd", Fault: true}) {
			t.Errorf("got %+v", o)
		}
		if p := v.Base.Report.Problems(); len(p) != 1 || !strings.Contains(p[0].What, "not healthy after 1m0s: sshd is bad; sshd: not set up") {
			t.Errorf("reported: %+v", p)
		}
		if got := v.state(t); got.Trial != bootstate.B {
			t.Errorf("before the end: %+v", got)
		}
		v.Note(o)
		if got := v.state(t); got.Trial != "" || got.B != bootstate.Bad || got.Active != bootstate.A || got.Last != "unhealthy-sshd" {
			t.Errorf("after the end: %+v", got)
		}
	})
}

// A lost data partition ends a trial immediately; the committed system stays.
func TestDegraded(t *testing.T) {
	v := made(t, true)
	v.Layout = &layout.Layout{Degraded: true}
	v.Settle()
	if o := <-v.Orders.Next(); o.Reason != "unhealthy: data" || !o.Fault {
		t.Errorf("got %+v", o)
	}
}

// The words of a program are not a verdict: a reason that sounds like a fault gives up no trial.
func TestReasonsOfPeople(t *testing.T) {
	v := made(t, true)
	if _, err := v.Answer(control.Request{Verb: order.Reboot, Reason: "the disk failed"}, true); err != nil {
		t.Fatal(err)
	}
	v.Note(<-v.Orders.Next())
	if got := v.state(t); got.Trial != bootstate.B || got.Last != "the-disk-failed" {
		t.Errorf("got %+v", got)
	}
}

func TestDamaged(t *testing.T) {
	// damage finds two blocks on a node whose other slot is in a state.
	damage := func(state string) *View {
		v := made(t, false)
		v.Pre().Disk = &disk.Disk{Name: "vda"}
		if err := v.Damage.Open(filepath.Join(t.TempDir(), "damage.json"), bootstate.A, "v1"); err != nil {
			t.Fatal(err)
		}
		for _, step := range map[string][]func() error{
			bootstate.Good: {func() error { return v.Record.Arm(bootstate.B) }, func() error { return v.Record.Healthy(bootstate.B) }, func() error { return v.Record.Select(bootstate.A, "test") }},
			bootstate.Bad:  {func() error { return v.Record.Arm(bootstate.B) }, func() error { return v.Record.Note(decide.Blame, "test") }},
		}[state] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		v.Damaged("7")
		select {
		case o := <-v.Orders.Next():
			t.Errorf("other slot %s, the first block: got %+v", state, o)
		default:
		}
		v.Damaged("8")
		return v
	}
	v := damage(bootstate.Good)
	if o := <-v.Orders.Next(); o != (order.Order{Verb: order.Reboot, Reason: "verity-block-8", Fault: true}) {
		t.Errorf("got %+v", o)
	}
	if got := v.state(t); got.Active != bootstate.B || got.A != bootstate.Bad || got.Last != "verity-block-8" {
		t.Errorf("got %+v", got)
	}
	v.Pre().Manifest.Health["worker"] = manifest.Health{} // an older slot: the floor
	if st := v.Status(); st.Health != health.Bad || !strings.HasPrefix(strings.Join(st.Why, "; "), "/usr is damaged (block 7)") {
		t.Errorf("got %s %q", st.Health, st.Why)
	}
	for _, state := range []string{bootstate.Bad, bootstate.Empty} { // there is no other system to go to
		v := damage(state)
		select {
		case o := <-v.Orders.Next():
			t.Errorf("other slot %s: got %+v", state, o)
		default:
		}
		if got := v.state(t); got.Active != bootstate.A || got.A != bootstate.Good {
			t.Errorf("other slot %s: got %+v", state, got)
		}
		if st := v.Status(); st.Health != health.Bad {
			t.Errorf("other slot %s: got %s", state, st.Health)
		}
	}
}

func TestAnswer(t *testing.T) {
	v := made(t, false, "sshd", "x")
	if err := v.Services.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer v.Stop(time.Minute)
	for _, verb := range []string{"reboot", "logs", "reset", "stop", "config-apply"} {
		if _, err := v.Answer(control.Request{Verb: verb}, false); err == nil || !strings.Contains(err.Error(), "only root") {
			t.Errorf("%s for a stranger: %v", verb, err)
		}
	}
	if st, err := v.Answer(control.Request{Verb: "status"}, false); err != nil || st.(status.Status).Role != "worker" {
		t.Errorf("status for a stranger: %+v, %v", st, err)
	}
	for _, c := range []struct {
		r    control.Request
		want string
	}{
		{control.Request{Verb: "nonsense"}, "unknown request"},
		{control.Request{Verb: "stop"}, "which service?"},
		{control.Request{Verb: "stop", Args: map[string]string{"name": "y"}}, `no service "y"`},
		{control.Request{Verb: "logs", Args: map[string]string{"name": "y", "lines": "1"}}, `no log of "y"`},
		{control.Request{Verb: "config-revert"}, "no configuration is on trial"},
	} {
		if _, err := v.Answer(c.r, true); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.r, err, c.want)
		}
	}
	for _, verb := range []string{"stop", "start", "restart"} {
		st, err := v.Answer(control.Request{Verb: verb, Args: map[string]string{"name": "x"}}, true)
		if err != nil || st.(status.Service).Ready != (verb != "stop") {
			t.Errorf("%s: %+v, %v", verb, st, err)
		}
	}
	names, err := v.Answer(control.Request{Verb: "lognames"}, true)
	if err != nil || strings.Join(names.([]string), " ") != "commands sshd x" {
		t.Errorf("logs: %q, %v", names, err)
	}
	v.Layout = &layout.Layout{Degraded: true}
	if _, err := v.Answer(control.Request{Verb: "reset"}, true); err == nil {
		t.Error("a node without data was reset")
	}
	v.Up.Store(false)
	if _, err := v.Answer(control.Request{Verb: "config-revert"}, true); err == nil || !strings.Contains(err.Error(), "still booting") {
		t.Errorf("got %v", err)
	}
}
