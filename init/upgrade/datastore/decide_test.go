package datastore

import (
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/fault"
)

func TestArming(t *testing.T) {
	const v34, v34b, v35, v36 = "v1.34.1+k3s1", "v1.34.5+k3s1", "v1.35.0+k3s1", "v1.36.0+k3s1"
	const size = 100 << 20
	const enough = size + size/4 + 32<<20
	for _, c := range []struct {
		name string
		a    Arming
		copy bool
		code int
	}{
		{"another minor version", Arming{Kind: SQLite, From: v34, To: v35, Size: size, Free: enough}, true, 0},
		{"etcd of one server", Arming{Kind: Etcd, From: v34, To: v35, Size: size, Free: enough}, true, 0},
		{"the same minor version", Arming{Kind: SQLite, From: v34, To: v34b, Size: size}, false, 0},
		{"a patch back", Arming{Kind: SQLite, From: v34b, To: v34, Size: size}, false, 0},
		{"no data yet", Arming{Kind: None, From: v34, To: v36}, false, 0},
		{"too little space", Arming{Kind: SQLite, From: v34, To: v35, Size: size, Free: enough - 1}, false, int(fault.Device)},
		{"too little space, kept", Arming{Kind: SQLite, From: v34, To: v35, Size: size, Keep: true}, false, 0},
		{"several servers", Arming{Kind: Several, From: v34, To: v35, Free: enough}, false, int(fault.Input)},
		{"several servers, kept", Arming{Kind: Several, From: v34, To: v35, Keep: true}, false, 0},
		{"several servers, the same minor version", Arming{Kind: Several, From: v34, To: v34b}, false, 0},
		{"a database elsewhere", Arming{Kind: External, From: v34, To: v35, Free: enough}, false, int(fault.Input)},
		{"a database elsewhere, kept", Arming{Kind: External, From: v34, To: v35, Keep: true}, false, 0},
		{"two minor versions, kept", Arming{Kind: SQLite, From: v34, To: v36, Keep: true}, false, int(fault.Input)},
		{"back, kept", Arming{Kind: SQLite, From: v35, To: v34, Keep: true}, false, int(fault.Input)},
		{"a binary of the user's", Arming{Kind: SQLite, From: v34, To: "file-12345678", Size: size, Free: enough}, true, 0},
	} {
		copied, err := c.a.Decide()
		if copied != c.copy || fault.Code(err) != c.code {
			t.Errorf("%s: got %v, %v; want %v, code %d", c.name, copied, err, c.copy, c.code)
		}
	}
}

func TestStart(t *testing.T) {
	plan := &Plan{Bundle: "new", Slot: "b", From: "v1.34.1+k3s1", To: "v1.35.0+k3s1", Kind: SQLite, Copy: true}
	same := &Plan{Bundle: "new", Slot: "b", From: "v1.35.1+k3s1", To: "v1.35.0+k3s1", Kind: SQLite}
	kept := &Plan{Bundle: "new", Slot: "b", From: "v1.34.1+k3s1", To: "v1.35.0+k3s1", Kind: Several}
	const bad, good, empty = bootstate.Bad, bootstate.Good, bootstate.Empty
	for _, c := range []struct {
		name string
		s    Start
		want Action
	}{
		{"no trial", Start{Bundle: "old", Read: true, State: empty}, Nothing},
		{"k3s restarts between arming and the reboot", Start{Plan: plan, Bundle: "old", Read: true, Armed: true, State: empty}, Nothing},
		{"the same, of a second attempt", Start{Plan: plan, Bundle: "old", Read: true, Armed: true, State: empty, Started: true, Complete: true}, Nothing},
		{"trial, first start", Start{Plan: plan, Bundle: "new", Trial: true, Read: true, Armed: true, State: empty, Complete: true}, Begin},
		{"trial, the power failed before or while it was copied", Start{Plan: plan, Bundle: "new", Trial: true, Read: true, Armed: true, State: empty}, Copy},
		{"trial, second attempt", Start{Plan: plan, Bundle: "new", Trial: true, Read: true, Armed: true, State: empty, Complete: true, Started: true}, Nothing},
		{"trial without a copy", Start{Plan: kept, Bundle: "new", Trial: true, Read: true, Armed: true, State: empty}, Begin},
		{"committed, and not dropped yet", Start{Plan: plan, Bundle: "new", Read: true, State: good, Complete: true, Started: true}, Drop},
		{"committed, a day and three power cuts later", Start{Plan: nil, Bundle: "new", Read: true, State: good}, Nothing},
		{"fell back", Start{Plan: plan, Bundle: "old", Read: true, State: bad, Complete: true, Started: true}, Restore},
		{"fell back before k3s started", Start{Plan: plan, Bundle: "old", Read: true, State: bad, Complete: true}, Drop},
		{"fell back, the same minor version", Start{Plan: same, Bundle: "old", Read: true, State: bad, Started: true}, Drop},
		{"fell back, several servers", Start{Plan: kept, Bundle: "old", Read: true, State: bad, Started: true}, Drop},
		{"fell back without a whole copy", Start{Plan: plan, Bundle: "old", Read: true, State: bad, Started: true}, Aside},
		{"the record is lost", Start{Plan: plan, Bundle: "old", Complete: true, Started: true}, Aside},
		{"the record is lost before k3s started", Start{Plan: plan, Bundle: "old", Complete: true}, Drop},
		{"the other one is good: it was committed", Start{Plan: plan, Bundle: "old", Read: true, State: good, Complete: true, Started: true}, Aside},
		{"nothing is known of the other one", Start{Plan: plan, Bundle: "old", Read: true, State: empty, Complete: true, Started: true}, Aside},
		{"a rollback with a backup fell back, of the same minor version too", Start{Plan: &Plan{Bundle: "new", Slot: "b", From: "v1.35.1+k3s1", To: "v1.35.0+k3s1", Kind: SQLite, Copy: true, Bring: true}, Bundle: "old", Read: true, State: bad, Complete: true, Started: true}, Restore},
		{"a third system", Start{Plan: plan, Bundle: "third", Trial: true, Read: true, State: bad, Complete: true, Started: true}, Restore},
		{"the power failed while it was put back", Start{Plan: plan, Bundle: "old", Read: true, State: bad, Started: true, Swapping: true}, Restore},
		{"the same, and the record is lost", Start{Plan: plan, Bundle: "old", Started: true, Swapping: true}, Restore},
	} {
		if got := c.s.Decide(); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// Whatever is known: nothing is put back that a commit or a good record speaks against, and a
// trial's k3s never starts without the copy that was decided.
func TestStartAlways(t *testing.T) {
	plans := []*Plan{nil}
	for _, copied := range []bool{true, false} {
		for _, to := range []string{"v1.34.2+k3s1", "v1.35.0+k3s1", "file-1"} {
			plans = append(plans, &Plan{Bundle: "new", Slot: "b", From: "v1.34.1+k3s1", To: to, Kind: SQLite, Copy: copied})
		}
	}
	for _, p := range plans[1:] { // the same, of a rollback with a backup
		if p.Copy {
			back := *p
			back.Bring = true
			plans = append(plans, &back)
		}
	}
	for bits := range 1 << 6 {
		bit := func(n int) bool { return bits>>n&1 == 1 }
		for _, p := range plans {
			for _, state := range []string{bootstate.Good, bootstate.Bad, bootstate.Empty, ""} {
				for _, bundle := range []string{"old", "new"} {
					s := Start{Plan: p, Bundle: bundle, Trial: bit(0), Read: bit(1), Armed: bit(2), Complete: bit(3), Started: bit(4), Swapping: bit(5), State: state}
					switch got := s.Decide(); {
					case got == Restore && !s.Swapping && (bundle == "new" || !s.Read || state != bootstate.Bad || !s.Started || !s.Complete || !p.Copy):
						t.Fatalf("puts back: %+v", s)
					case got == Begin && p.Copy && !s.Complete:
						t.Fatalf("begins without a copy: %+v", s)
					case got == Drop && bundle == "old" && s.Started && p.Copy && (p.Crosses() || p.Bring):
						t.Fatalf("drops what may be needed: %+v", s)
					case p == nil && got != Nothing:
						t.Fatalf("acts without a plan: %+v", s)
					}
				}
			}
		}
	}
}
