// Package check knows what k3s needs of a node, as data: facts.txt has one line a fact, with the probe that looks at it and the
// breaker that a test uses to see the probe fail.
package check

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed facts.txt
var facts string

// Fact is one line of facts.txt.
type Fact struct {
	ID    string
	Roles string   // all, server or agent
	Probe []string // name and arguments
	Break []string // name and arguments; only tests use it
	Why   string
}

// Facts reads the list. Errors name the line.
func Facts() ([]Fact, error) { return parse(facts) }

func parse(text string) ([]Fact, error) {
	var all []Fact
	seen := map[string]bool{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, " | ")
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		bad := func(what string) error { return fmt.Errorf("facts.txt:%d: %s: %s", n, what, line) }
		if len(f) != 5 || f[4] == "" {
			return nil, bad("a line has five fields")
		}
		p, b := split(f[2]), split(f[3])
		switch {
		case len(p) == 0 || probes[p[0]] == nil:
			return nil, bad("unknown probe")
		case len(b) == 0:
			return nil, bad("no breaker")
		case !slices.Contains([]string{"all", "server", "agent"}, f[1]):
			return nil, bad("unknown role")
		case seen[f[0]]:
			return nil, bad("seen before")
		}
		seen[f[0]] = true
		all = append(all, Fact{ID: f[0], Roles: f[1], Probe: p, Break: b, Why: f[4]})
	}
	return all, nil
}

// split cuts a field at blanks; double quotes keep blanks together.
func split(s string) []string {
	var out []string
	for {
		s = strings.TrimLeft(s, " ")
		if s == "" {
			return out
		}
		if s[0] == '"' {
			word, rest, _ := strings.Cut(s[1:], `"`)
			out, s = append(out, word), rest
			continue
		}
		word, rest, _ := strings.Cut(s, " ")
		out, s = append(out, word), rest
	}
}

// Failure is a fact that does not hold.
type Failure struct {
	Fact Fact
	Err  error
}

func (f Failure) Error() string {
	return fmt.Sprintf("FAIL %s: %v (%s)", f.Fact.ID, f.Err, f.Fact.Why)
}

// Run looks at every fact of the host's role and gives those that do not hold, in the list's order, and how many do.
func Run(h *Host) (failed []Failure, held int, err error) {
	all, err := Facts()
	if err != nil {
		return nil, 0, err
	}
	for _, f := range all {
		if f.Roles != "all" && f.Roles != h.Role {
			continue
		}
		if err := probes[f.Probe[0]](h, f.Probe[1:]); err != nil {
			failed = append(failed, Failure{f, err})
			continue
		}
		held++
	}
	return failed, held, nil
}
