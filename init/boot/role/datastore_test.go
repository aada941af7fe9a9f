package role

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/boot/decide"
	"imgbuild/init/boot/record"
	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/upgrade/datastore"
	"imgbuild/init/upgrade/ledger"
)

const before, after = "v1.34.1+k3s1", "v1.35.0+k3s1"

func newReporter() report.Reporter {
	return report.Reporter{Console: &report.Console{}, Report: &report.Report{}, Step: "run"}
}

// bootRecord is one on a disk of its own that runs slot a.
func bootRecord(t *testing.T) *record.Record {
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
	if _, err := bootstate.Store(d, bootstate.Fresh(bootstate.A)); err != nil {
		t.Fatal(err)
	}
	r := &record.Record{}
	r.On(path)
	return r
}

// server is one whose database holds a text, and the datastore of the system that runs on it.
func server(t *testing.T, text string) (d *Datastore, database string) {
	t.Helper()
	cfg := &config.Config{}
	cfg.Shelf.Role = "server"
	data := t.TempDir()
	cfg.K3OS.Environment = map[string]string{"K3S_DATA_DIR": data}
	database = filepath.Join(data, "server/db/state.db")
	if err := os.MkdirAll(filepath.Dir(database), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, database, text)
	write(t, filepath.Join(data, k3sstep.NoteName), before+"\n")
	d = &Datastore{
		Config: func() *config.Config { return cfg }, Record: bootRecord(t), Upgrades: &upgrades.Keeper{}, Bundle: "old",
		Patience: func(time.Duration) {}, Reporter: newReporter(),
	}
	return d, database
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// attempt arms a system with the next k3s in slot b.
func attempt(t *testing.T, d *Datastore) ledger.Attempt {
	t.Helper()
	a := ledger.Attempt{System: ledger.System{Bundle: "new", K3s: after}, Slot: "b", FromK3s: before}
	if err := d.Hooks().Arm(a); err != nil {
		t.Fatal(err)
	}
	if err := d.Record.Arm(bootstate.B); err != nil {
		t.Fatal(err)
	}
	return a
}

// trial is the first start of k3s on the new system, which changes the database.
func trial(t *testing.T, d *Datastore, database string) {
	t.Helper()
	d.Bundle = "new"
	if err := d.Upgrades.Open("", "b", true, d.Record, ""); err != nil {
		t.Fatal(err)
	}
	if err := d.Before(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, database, "new")
}

// The datastore is copied at the reboot into the trial, and put back when that was not committed.
func TestDatastoreFallsBack(t *testing.T) {
	d, database := server(t, "old")
	var patience time.Duration
	d.Patience = func(limit time.Duration) { patience = limit }
	a := attempt(t, d)
	if err := d.Hooks().Leave(a); err != nil || patience <= copyLimit {
		t.Fatalf("got %v with a watchdog of %v, want more than the copy's %v", err, patience, copyLimit)
	}
	trial(t, d, database)
	if !d.Crossed() {
		t.Error("the commit of another minor version of k3s crosses none")
	}
	if err := d.Record.Note(decide.Blame, "unhealthy"); err != nil {
		t.Fatal(err)
	}
	d.Bundle, d.Upgrades = "old", &upgrades.Keeper{}
	if err := d.Before(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(database); string(got) != "old" {
		t.Errorf("after the fallback: got %q, %v, want old", got, err)
	}
	if got, err := os.ReadFile(filepath.Join(filepath.Dir(database)+datastore.BeforeFallback, "state.db")); string(got) != "new" {
		t.Errorf("what the trial made: got %q, %v, want new", got, err)
	}
	if d.Crossed() {
		t.Error("after the fallback there is a trial left")
	}
}

// A commit drops the copy; so does a trial that is taken back before it runs.
func TestDatastoreCommitted(t *testing.T) {
	for what, end := range map[string]func(upgrades.Hooks, ledger.Attempt){
		"committed": func(h upgrades.Hooks, a ledger.Attempt) { h.Commit(a) },
		"withdrawn": func(h upgrades.Hooks, a ledger.Attempt) { h.Withdrawn(a) },
	} {
		d, database := server(t, "old")
		a := attempt(t, d)
		if err := d.Hooks().Leave(a); err != nil {
			t.Fatal(err)
		}
		if what == "committed" {
			trial(t, d, database)
		}
		end(d.Hooks(), a)
		if left, err := (datastore.Store{Data: filepath.Dir(filepath.Dir(filepath.Dir(database)))}).Plan(); left != nil || err != nil {
			t.Errorf("%s: got the plan %+v, %v, want none", what, left, err)
		}
		if p := d.Reporter.Report.Problems(); len(p) != 0 {
			t.Errorf("%s: reported %+v, want length 0", what, p)
		}
	}
}

// Without the name of the running system k3s does not start on data that a trial may have changed.
func TestDatastoreOfAnUnknownSystem(t *testing.T) {
	d, _ := server(t, "old")
	if err := d.Before(t.Context()); err != nil {
		t.Errorf("without a plan: got %v", err)
	}
	attempt(t, d)
	d.Bundle = ""
	if err := d.Before(t.Context()); fault.Kind(fault.Code(err)) != fault.Device {
		t.Errorf("got %v, want a fault of the device", err)
	}
	if (*Datastore)(nil).Crossed() {
		t.Error("a node without a datastore crosses something")
	}
}

// A step over a minor version is refused before anything is written; a server without data has
// nothing to copy.
func TestDatastoreRefuses(t *testing.T) {
	d, database := server(t, "old")
	err := d.Hooks().Arm(ledger.Attempt{System: ledger.System{Bundle: "new", K3s: "v1.37.0+k3s1"}, Slot: "b", FromK3s: before})
	if err == nil || !strings.Contains(err.Error(), "1.35") {
		t.Errorf("got %v, want a refusal that names the version in between", err)
	}
	if err := os.RemoveAll(filepath.Dir(filepath.Dir(database))); err != nil {
		t.Fatal(err)
	}
	a := ledger.Attempt{System: ledger.System{Bundle: "new", K3s: "v1.37.0+k3s1"}, Slot: "b", FromK3s: before}
	if err := d.Hooks().Arm(a); err != nil {
		t.Errorf("a server without data: got %v", err)
	}
	if plan, err := d.store().Plan(); plan != nil || err != nil {
		t.Errorf("a server without data: got the plan %+v, %v", plan, err)
	}
}
