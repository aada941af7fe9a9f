package node

import (
	"testing"

	"imgbuild/init/upgrade/ledger"
)

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
