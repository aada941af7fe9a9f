package install

import (
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/upgrade/ledger"
	"imgbuild/init/upgrade/source"
)

var today = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name  string
		kind  string
		with  func(m *bundle.Manifest, f *Facts)
		force bool
		want  fault.Kind
		note  string
	}{
		{name: "fits"},
		{name: "another family", with: func(m *bundle.Manifest, _ *Facts) { m.Family = "xu4" }, want: fault.Input},
		{name: "another processor", with: func(m *bundle.Manifest, _ *Facts) { m.Arch = "armhf" }, want: fault.Input},
		{name: "another role", with: func(_ *bundle.Manifest, f *Facts) { f.Role = "storage" }, want: fault.Input},
		{name: "below the floor", with: func(_ *bundle.Manifest, f *Facts) { f.Ledger.Floor = 8 }, want: fault.Verify},
		{name: "below the floor, forced", force: true, with: func(_ *bundle.Manifest, f *Facts) { f.Ledger.Floor = 8 }, want: fault.Verify},
		{name: "on the floor", with: func(_ *bundle.Manifest, f *Facts) { f.Ledger.Floor = 7 }},
		{name: "too large", with: func(m *bundle.Manifest, _ *Facts) { m.Slot.Size = 1<<20 + 512 }, want: fault.Device},
		{name: "under trial", with: func(_ *bundle.Manifest, f *Facts) { f.Trial = true }, want: fault.Unhealthy},
		{name: "without data", with: func(_ *bundle.Manifest, f *Facts) { f.Degraded = true }, want: fault.Device},
		{name: "booting", with: func(_ *bundle.Manifest, f *Facts) { f.Booting = true }, want: fault.Unhealthy},
		{name: "no other slot", with: func(_ *bundle.Manifest, f *Facts) { f.Target = "" }, want: fault.Device},
		{name: "rolled back before", with: rolledBack(ledger.Own), want: fault.Unhealthy},
		{name: "rolled back before, forced", force: true, with: rolledBack(ledger.Own)},
		{name: "rolled back for something outside", with: rolledBack(ledger.External)},
		{name: "this one waits", with: func(_ *bundle.Manifest, f *Facts) {
			f.Armed, f.Ledger.Attempt = true, &ledger.Attempt{System: ledger.System{Bundle: "new"}}
		}},
		{name: "another one waits", with: func(_ *bundle.Manifest, f *Facts) {
			f.Armed, f.Ledger.Attempt = true, &ledger.Attempt{System: ledger.System{Bundle: "other"}}
		}, want: fault.Unhealthy},
		{name: "stale, by ssh", kind: source.FromSSH, with: stale(true), note: "is stale since 2026-11-29"},
		{name: "stale, a file", kind: source.FromFile, with: stale(true), note: "is stale since 2026-11-29"},
		{name: "stale, a stick", kind: source.FromUSB, with: stale(true), note: "is stale since 2026-11-29"},
		{name: "stale, by http", kind: source.FromHTTP, with: stale(true), want: fault.Verify},
		{name: "stale, from a registry", kind: source.FromOCI, with: stale(true), want: fault.Verify},
		{name: "stale, by itself", kind: source.FromAuto, with: stale(true), want: fault.Verify},
		{name: "stale, by http, without the time", kind: source.FromHTTP, with: stale(false), note: "may be stale"},
		{name: "stale tomorrow", kind: source.FromHTTP, with: func(m *bundle.Manifest, f *Facts) { f.Synced, m.Expires = true, today.Unix()+1 }},
	} {
		m := &bundle.Manifest{Family: "rpi64", Arch: "arm64", Roles: []string{"server", "worker"}, Version: "v2", Floor: 7, Slot: bundle.Slot{Size: 1 << 20, Manifest: "new"}}
		f := Facts{Family: "rpi64", Arch: "arm64", Role: "worker", Slot: "a", Running: "/dev/x2", Target: "/dev/x3"}
		if c.with != nil {
			c.with(m, &f)
		}
		notes, err := Judge(m, c.kind, f, 1<<20, c.force, today)
		if fault.Code(err) != int(c.want) {
			t.Errorf("%s: got %v, want code %d", c.name, err, c.want)
		}
		if got := strings.Join(notes, "; "); !strings.Contains(got, c.note) || c.note == "" && got != "" {
			t.Errorf("%s: notes %q, want %q", c.name, got, c.note)
		}
	}
}

func stale(synced bool) func(*bundle.Manifest, *Facts) {
	return func(m *bundle.Manifest, f *Facts) { f.Synced, m.Expires = synced, today.Add(-24*time.Hour).Unix() }
}

func rolledBack(b ledger.Blame) func(*bundle.Manifest, *Facts) {
	return func(_ *bundle.Manifest, f *Facts) {
		f.Ledger.History = []ledger.Attempt{{System: ledger.System{Bundle: "new"}, Result: ledger.RolledBack, Blame: b}}
	}
}

// Progress comes once a second and at the end; what was there already does not count as speed.
func TestMeter(t *testing.T) {
	now := today
	var got []dialogue.Progress
	m := newMeter(PhaseWrite, func(p dialogue.Progress) { got = append(got, p) }, func() time.Time { return now })
	for _, done := range []int64{1000, 1050, 1100, 1200, 1300, 1400} {
		m.report(done, 1400)
		now = now.Add(500 * time.Millisecond)
	}
	if len(got) != 3 {
		t.Fatalf("got %+v", got)
	}
	if p := got[0]; p.Done != 1100 || p.Rate != 100 || p.Left != 3 {
		t.Errorf("got %+v", p)
	}
	if p := got[2]; p.Done != 1400 || p.Rate != 160 || p.Left != 0 {
		t.Errorf("got %+v", p)
	}
}
