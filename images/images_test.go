package images

import (
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"imgbuild/boards"
	"imgbuild/init/contract/checks"
)

func TestRoles(t *testing.T) {
	for _, name := range []string{"server", "worker"} {
		r, s, err := Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if r == nil || s == nil || s.Name != "k3s" || !s.K3s || r.MemoryMB == 0 || len(r.Services) == 0 || r.Health.Deadline == 0 {
			t.Errorf("%s is %+v of %+v", name, r, s)
		}
	}
	if got := strings.Join(RolesOf("k3s"), " "); got != "server worker" {
		t.Errorf("the slot k3s serves %q", got)
	}
	for _, board := range boards.Names() {
		b, _, err := boards.Get(board)
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range b.Roles {
			if r, _, err := Get(role); err != nil || r == nil {
				t.Errorf("%s has the role %s, which is not there: %v", board, role, err)
			}
		}
	}
}

func TestPatternsAreWellFormed(t *testing.T) {
	b, err := GetBase()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(append([]string(nil), b.Strip...), b.Keep...) {
		if _, err := path.Match(strings.TrimSuffix(p, "/**"), "x"); err != nil || strings.HasPrefix(p, "/") {
			t.Errorf("pattern %q: %v", p, err)
		}
	}
}

// Every role promises the floor, something of its own, and nothing that there is no check for.
func TestHealthOf(t *testing.T) {
	for _, name := range Names() {
		h, err := HealthOf(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := checks.Valid(h.Checks); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, floor := range checks.Floor() {
			if !slices.Contains(h.Checks, floor) {
				t.Errorf("%s does not promise %s", name, floor)
			}
		}
		r, _, _ := Get(name)
		if h.Deadline != r.Health.Deadline || len(h.Checks) <= len(checks.Floor()) {
			t.Errorf("%s: %+v", name, h)
		}
	}
	if h, err := HealthOf("nonsense"); err != nil || len(h.Checks) != 0 {
		t.Errorf("an unknown role promises %+v, %v", h, err)
	}
}

// docs/health.md has every check, with the roles that promise it and what it means for an upgrade.
func TestHealthIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/health.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks.All {
		var roles []string
		for _, name := range Names() {
			if h, err := HealthOf(name); err != nil {
				t.Fatal(err)
			} else if slices.Contains(h.Checks, c.Name) {
				roles = append(roles, name)
			}
		}
		who, fails := strings.Join(roles, ", "), "if it passed before"
		if b, _ := GetBase(); slices.Contains(b.Checks, c.Name) {
			who = "all"
		}
		switch {
		case c.Floor:
			fails = "always"
		case c.Advisory:
			fails = "never"
		}
		if row := "| `" + c.Name + "` | " + c.Means + " | " + who + " | " + fails + " |\n"; !strings.Contains(string(text), row) {
			t.Errorf("docs/health.md lacks the row\n%s", row)
		}
	}
}
