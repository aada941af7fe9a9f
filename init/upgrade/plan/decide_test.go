package plan

import (
	"testing"
	"testing/quick"

	"imgbuild/init/contract/fault"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/ledger"
)

func TestDecide(t *testing.T) {
	end := func(bundle string, r ledger.Result, b ledger.Blame) ledger.Attempt {
		return ledger.Attempt{System: ledger.System{Bundle: bundle, Version: "v2"}, Result: r, Blame: b, Reason: "k3s was never ready"}
	}
	history := func(list ...ledger.Attempt) ledger.Ledger { return ledger.Ledger{History: list} }
	for _, c := range []struct {
		name    string
		running string
		node    install.Facts
		want    Step
		code    int
	}{
		{"another one runs", "old", install.Facts{}, Install, 0},
		{"nothing can be read of what runs", "", install.Facts{}, Install, 0},
		{"it runs", "new", install.Facts{}, Over, 0},
		{"it runs on trial", "new", install.Facts{Trial: true}, Wait, 0},
		{"another one is on trial", "old", install.Facts{Trial: true}, Wait, 0},
		{"it boots", "new", install.Facts{Booting: true}, Wait, 0},
		{"nothing is kept", "new", install.Facts{Degraded: true}, Failed, int(fault.Device)},
		{"it is armed", "old", install.Facts{Armed: true}, Install, 0},
		{"rolled back", "old", install.Facts{Ledger: history(end("new", ledger.RolledBack, ledger.Own))}, Failed, 1},
		{"rolled back, not known why", "old", install.Facts{Ledger: history(end("new", ledger.RolledBack, ledger.Open))}, Failed, 1},
		{"rolled back for something from outside", "old", install.Facts{Ledger: history(end("new", ledger.RolledBack, ledger.External))}, Failed, 1},
		{"rolled back, then taken back by hand", "old", install.Facts{Ledger: history(end("new", ledger.RolledBack, ledger.Own), end("new", ledger.Withdrawn, ""))}, Failed, 1},
		{"taken back by hand", "old", install.Facts{Ledger: history(end("new", ledger.Withdrawn, ""))}, Install, 0},
		{"another one was rolled back", "old", install.Facts{Ledger: history(end("third", ledger.RolledBack, ledger.Own))}, Install, 0},
		{"it was committed once", "old", install.Facts{Ledger: history(end("new", ledger.RolledBack, ledger.Own), end("new", ledger.Committed, ""))}, Install, 0},
		{"it runs although it was rolled back once", "new", install.Facts{Ledger: history(end("new", ledger.RolledBack, ledger.Own))}, Over, 0},
	} {
		d := Decide(Facts{Want: "new", Version: "v2", Running: c.running, Node: c.node})
		if d.Do != c.want || fault.Code(d.Err) != c.code || (d.Do == Failed) != (d.Err != nil) || (d.Do == Wait) != (d.Why != "") {
			t.Errorf("%s: got %+v, want %d with code %d", c.name, d, c.want, c.code)
		}
	}
}

// TestOver: whatever else holds, the end is a system that runs, is committed and keeps its data.
func TestOver(t *testing.T) {
	err := quick.Check(func(runs, trial, booting, degraded, armed, rolledBack bool) bool {
		f := Facts{Want: "new", Running: "old", Node: install.Facts{Trial: trial, Booting: booting, Degraded: degraded, Armed: armed}}
		if runs {
			f.Running = "new"
		}
		if rolledBack {
			f.Node.Ledger.History = []ledger.Attempt{{System: ledger.System{Bundle: "new"}, Result: ledger.RolledBack}}
		}
		return (Decide(f).Do == Over) == (runs && !trial && !booting && !degraded)
	}, &quick.Config{MaxCount: 500})
	if err != nil {
		t.Error(err)
	}
}
