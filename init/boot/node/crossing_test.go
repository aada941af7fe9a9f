package node

import (
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s/backup"
	"imgbuild/init/upgrade/ledger"
)

// The refusal to go back names the last backup, and whether it is from before the upgrade.
func TestCrossed(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	a := ledger.Attempt{Result: ledger.Committed, Ended: at, FromK3s: "v1.34.1+k3s1", System: ledger.System{K3s: "v1.35.0+k3s1"}}
	back := a
	back.Restore = &ledger.Restore{Name: "node-1.tar.zst"}
	s := backup.State{To: "sftp://nas/shelf", Name: "node-2.tar.zst", Last: at.Add(-time.Hour)}
	late := s
	late.Last = at.Add(time.Hour)
	for _, c := range []struct {
		name string
		a    ledger.Attempt
		s    backup.State
		says []string
		not  string
	}{
		{"one from before", a, s, []string{"node-2.tar.zst at sftp://nas/shelf", "restore=FILE", "v1.35.0+k3s1", "v1.34.1+k3s1"}, "older one"},
		{"one from after", a, late, []string{"node-2.tar.zst", "restore=FILE", "an older one is needed"}, ""},
		{"none", a, backup.State{}, []string{"no backup", "restore=FILE"}, "node-2"},
		{"after a rollback", back, s, []string{"node-1.tar.zst", "shelf upgrade SOURCE"}, "restore=FILE"},
	} {
		err := crossed(&c.a, c.s)
		if fault.Code(err) != int(fault.Usage) || c.not != "" && strings.Contains(err.Error(), c.not) {
			t.Errorf("%s: got %v", c.name, err)
		}
		for _, want := range c.says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q in it", c.name, err, want)
			}
		}
	}
}

// Only the last commit counts, and only if it crossed a minor version of k3s.
func TestCrossing(t *testing.T) {
	a := func(r ledger.Result, from, to string) ledger.Attempt {
		return ledger.Attempt{Result: r, FromK3s: from, System: ledger.System{K3s: to}}
	}
	const v34, v35, v35b = "v1.34.1+k3s1", "v1.35.0+k3s1", "v1.35.2+k3s1"
	for _, c := range []struct {
		name string
		l    []ledger.Attempt
		want bool
	}{
		{"none", nil, false},
		{"across", []ledger.Attempt{a(ledger.Committed, v34, v35)}, true},
		{"across, and one that was rolled back", []ledger.Attempt{a(ledger.Committed, v34, v35), a(ledger.RolledBack, v35, v35b)}, true},
		{"across, and a patch after it", []ledger.Attempt{a(ledger.Committed, v34, v35), a(ledger.Committed, v35, v35b)}, false},
		{"rolled back", []ledger.Attempt{a(ledger.RolledBack, v34, v35)}, false},
		{"without k3s", []ledger.Attempt{a(ledger.Committed, "", "")}, false},
	} {
		if got := crossing(ledger.Ledger{History: c.l}); (got != nil) != c.want {
			t.Errorf("%s: got %+v, want %v", c.name, got, c.want)
		}
	}
}
