package debian

import (
	"fmt"
	"strings"
)

// Relation is one name of a relationship field: "name:qual (op version)".
type Relation struct {
	Name    string
	Arch    string // the qualifier after a colon: "any", "native", an architecture, or ""
	Op      string // "<<", "<=", "=", ">=", ">>", or "" when there is no version
	Version string
}

// String returns the relation as it is in a control file.
func (r Relation) String() string {
	s := r.Name
	if r.Arch != "" {
		s += ":" + r.Arch
	}
	if r.Op != "" {
		s += " (" + r.Op + " " + r.Version + ")"
	}
	return s
}

// Clause is a list of alternatives, the first being preferred.
type Clause []Relation

// String returns the alternatives with bars between them.
func (c Clause) String() string {
	parts := make([]string, len(c))
	for i, r := range c {
		parts[i] = r.String()
	}
	return strings.Join(parts, " | ")
}

// allows reports whether version satisfies r's version condition.
func (r Relation) allows(version string) bool {
	if r.Op == "" {
		return true
	}
	c := CompareVersions(version, r.Version)
	switch r.Op {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	default: // ">>"
		return c > 0
	}
}

// ParseDepends reads a relationship field (Debian Policy 7.1) for one architecture: commas between
// clauses, bars between alternatives; "[arch !arch]" lists are applied, "<profile>" lists hold only
// for sources and make an entry void.
func ParseDepends(text, arch string) ([]Clause, error) {
	var out []Clause
	for part := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(part) == "" {
			continue // a trailing comma is allowed
		}
		var clause Clause
		for alt := range strings.SplitSeq(part, "|") {
			r, holds, err := parseRelation(alt, arch)
			if err != nil {
				return nil, err
			}
			if holds {
				clause = append(clause, r)
			}
		}
		if len(clause) > 0 {
			out = append(out, clause)
		}
	}
	return out, nil
}

func parseRelation(text, arch string) (r Relation, holds bool, err error) {
	bad := func(why string) (Relation, bool, error) {
		return Relation{}, false, fmt.Errorf("%s in the relation %.80q", why, strings.TrimSpace(text))
	}
	s := strings.TrimSpace(text)
	end := strings.IndexAny(s, " \t\n([<")
	if end < 0 {
		end = len(s)
	}
	r.Name, r.Arch, _ = strings.Cut(s[:end], ":")
	if !validName(r.Name) {
		return bad("no package name")
	}
	holds = true
	for s = strings.TrimSpace(s[end:]); s != ""; s = strings.TrimSpace(s) {
		closing := map[byte]string{'(': ")", '[': "]", '<': ">"}[s[0]]
		inner, rest, ok := strings.Cut(s[1:], closing)
		if closing == "" || !ok {
			return bad("stray text")
		}
		inner = strings.TrimSpace(inner)
		switch s[0] {
		case '(':
			if r.Op != "" {
				return bad("two versions")
			}
			n := 0
			for n < len(inner) && strings.IndexByte("<=>", inner[n]) >= 0 {
				n++
			}
			r.Op, r.Version = inner[:n], strings.TrimSpace(inner[n:])
			switch r.Op {
			case "<": // dpkg reads the old forms like this
				r.Op = "<="
			case ">":
				r.Op = ">="
			case "<<", "<=", "=", ">=", ">>":
			default:
				return bad("no operator of a version")
			}
			if r.Version == "" || strings.ContainsAny(r.Version, " \t\n(") {
				return bad("no version")
			}
		case '[':
			holds = holds && archListed(strings.Fields(inner), arch)
		default:
			holds = false
		}
		s = rest
	}
	return r, holds, nil
}

// archListed applies an architecture list: "a b" means one of them, "!a !b" none of them.
func archListed(list []string, arch string) bool {
	negative := false
	for _, a := range list {
		name, not := strings.CutPrefix(a, "!")
		negative = negative || not
		if name == arch || name == "any" || name == "linux-any" {
			return !not
		}
	}
	return negative
}

// validName follows Policy 5.6.1, loosely: names in the archive are at least two bytes of
// [a-z0-9+.-]; capitals and underscores are in a few old virtual names.
func validName(s string) bool {
	if s == "" || len(s) > 200 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digit(c)
		if !letter && (i == 0 || strings.IndexByte("+.-_", c) < 0) {
			return false
		}
	}
	return true
}
