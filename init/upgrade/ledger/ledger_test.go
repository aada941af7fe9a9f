package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/status/health"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upgrade", "ledger.json")
	l, err := Load(path)
	if err != nil || l.Last() != nil {
		t.Fatalf("got %+v, %v", l, err)
	}
	l.Attempt = &Attempt{System: System{Bundle: "b1", Version: "v2", Floor: 7, K3s: "v1.35.0+k3s1"}, Slot: "b", From: "v1", Armed: now, Before: []string{"sshd"},
		Judged: []health.Result{{Check: "k3s", State: health.Bad, Why: []string{"k3s: failed"}}}, Failed: []string{"k3s"}}
	for range 2 {
		if err := l.Save(path); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if err != nil || !reflect.DeepEqual(got, l) {
			t.Fatalf("got %+v, %v, want %+v", got, err, l)
		}
		l.End(RolledBack, "unhealthy: k3s", now)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Load(path); fault.Code(err) != int(fault.Device) || l == nil || l.Last() != nil {
		t.Errorf("damaged: got %+v, %v", l, err)
	}
}

// The floor rises with commits only, and never falls; the history is bounded.
func TestEnd(t *testing.T) {
	l := &Ledger{Floor: 3}
	l.End(Committed, "", now) // nothing is under way
	for i, c := range []struct {
		floor int64
		r     Result
		want  int64
	}{{5, RolledBack, 3}, {5, Withdrawn, 3}, {5, Committed, 5}, {4, Committed, 5}, {6, Committed, 6}} {
		l.Attempt = &Attempt{System: System{Floor: c.floor}, Slot: "b"}
		if l.End(c.r, "why", now); l.Floor != c.want || l.Attempt != nil || len(l.History) != i+1 || l.Last().Result != c.r || l.Last().Reason != "why" {
			t.Errorf("%d: got %+v", i, l)
		}
	}
	for i := range 3 * Most {
		l.Attempt = &Attempt{System: System{Version: fmt.Sprint(i)}}
		l.End(Committed, "", now)
	}
	if len(l.History) != Most || l.Last().Version != fmt.Sprint(3*Most-1) {
		t.Errorf("%d entries, the last one is %+v", len(l.History), l.Last())
	}
}

func TestRefuse(t *testing.T) {
	type end struct {
		bundle string
		r      Result
		b      Blame
	}
	for _, c := range []struct {
		name string
		ends []end
		ok   bool
	}{
		{"never seen", nil, true},
		{"another one failed", []end{{"y", RolledBack, Own}}, true},
		{"it failed", []end{{"x", RolledBack, Own}}, false},
		{"nobody knows yet why", []end{{"x", RolledBack, Open}}, false},
		{"for something from outside", []end{{"x", RolledBack, External}}, true},
		{"twice so", []end{{"x", RolledBack, External}, {"y", Committed, ""}, {"x", RolledBack, External}}, false},
		{"it failed, then for something from outside", []end{{"x", RolledBack, Own}, {"x", RolledBack, External}}, false},
		{"taken back", []end{{"x", Withdrawn, ""}}, true},
		{"failed, forced, committed", []end{{"x", RolledBack, Own}, {"x", Committed, ""}}, true},
		{"committed, later failed", []end{{"x", Committed, ""}, {"x", RolledBack, Own}}, false},
	} {
		l := &Ledger{}
		for _, e := range c.ends {
			l.History = append(l.History, Attempt{System: System{Bundle: e.bundle}, Result: e.r, Blame: e.b})
		}
		err := l.Refuse("x")
		if (err == nil) != c.ok || err != nil && fault.Code(err) != int(fault.Unhealthy) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}
