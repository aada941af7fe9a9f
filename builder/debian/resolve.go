package debian

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"imgbuild/init/contract/fault"
)

// Resolution is the closure of some packages.
type Resolution struct {
	Packages []*Package // sorted by name
	Dropped  []string   // names of the drop list that something asked for, sorted
	Unmet    []string   // what was not available, one sentence each; Resolve then returns an error as well
}

// Resolve computes what `apt-get install --no-install-recommends` would install on an empty system:
// Depends and Pre-Depends of all, with Provides, alternatives, Conflicts and Breaks. A relation to
// a name in drop, be it a package or a virtual one, counts as satisfied and brings nothing.
//
// Clauses with one way to satisfy them go first; alternatives are decided after that, in the order
// of the packages that ask, so that whatever is there anyway is preferred, then the first that is
// available. A name that is not a package is satisfied by its provider of the highest priority.
//
// Errors are of the kind Input: a wanted package that does not exist, a dependency that is not
// available.
func (ix *Index) Resolve(want, drop []string) (Resolution, error) {
	s := &solver{ix: ix, drop: map[string]bool{}, chosen: map[string]*Package{}, dropped: map[string]bool{},
		provided: map[string][]provider{}, enemies: map[string][]enemy{}}
	for _, d := range drop {
		s.drop[d] = true
	}
	for _, name := range want {
		p, ok := ix.newest[name]
		if !ok {
			list := ix.providers[name]
			if len(list) == 0 {
				s.unmet = append(s.unmet, fmt.Sprintf("there is no package %s for %s%s", name, ix.Arch, ix.hint(name)))
				continue
			}
			p = list[0].pkg
		}
		if why := s.blocked(p); why != "" {
			s.unmet = append(s.unmet, fmt.Sprintf("%s is not available: %s", name, why))
			continue
		}
		s.take(p)
	}
	s.run()
	res := Resolution{Unmet: s.unmet}
	for _, p := range s.chosen {
		res.Packages = append(res.Packages, p)
	}
	slices.SortFunc(res.Packages, func(a, b *Package) int { return strings.Compare(a.Name, b.Name) })
	for d := range s.dropped {
		res.Dropped = append(res.Dropped, d)
	}
	sort.Strings(res.Dropped)
	if len(res.Unmet) > 0 {
		return res, fault.New(fault.Input, "correct the list of packages, or put what is not needed on the drop list",
			"packages cannot be resolved: %s", strings.Join(res.Unmet, "; "))
	}
	return res, nil
}

type solver struct {
	ix       *Index
	drop     map[string]bool
	chosen   map[string]*Package
	provided map[string][]provider // by the chosen packages
	enemies  map[string][]enemy    // by the name that chosen packages do not bear
	dropped  map[string]bool
	unmet    []string
	hard     []demand // clauses with one alternative, in the order they came up
	soft     []demand // the others
}

type demand struct {
	by     *Package
	clause Clause
}

type enemy struct {
	by *Package
	r  Relation
}

// take makes p part of the closure and notes what it demands.
func (s *solver) take(p *Package) {
	if s.chosen[p.Name] != nil {
		return
	}
	s.chosen[p.Name] = p
	for _, c := range s.parse(p, "Provides", p.Provides) {
		s.provided[c[0].Name] = append(s.provided[c[0].Name], provider{p, c[0].Version})
	}
	for _, text := range []string{p.Conflicts, p.Breaks} {
		for _, c := range s.parse(p, "Conflicts or Breaks", text) {
			s.enemies[c[0].Name] = append(s.enemies[c[0].Name], enemy{p, c[0]})
		}
	}
	for _, text := range []string{p.PreDepends, p.Depends} {
		for _, c := range s.parse(p, "Depends", text) {
			if len(c) == 1 {
				s.hard = append(s.hard, demand{p, c})
			} else {
				s.soft = append(s.soft, demand{p, c})
			}
		}
	}
}

func (s *solver) parse(p *Package, name, text string) []Clause {
	list, err := ParseDepends(text, s.ix.Arch)
	if err != nil {
		s.unmet = append(s.unmet, fmt.Sprintf("package %s, %s: %v", p.Name, name, err))
	}
	return list
}

// run works the demands off.
func (s *solver) run() {
	for {
		var d demand
		switch {
		case len(s.hard) > 0:
			d, s.hard = s.hard[0], s.hard[1:]
		case len(s.soft) > 0:
			d, s.soft = s.soft[0], s.soft[1:]
		default:
			return
		}
		s.satisfy(d)
	}
}

func (s *solver) satisfy(d demand) {
	for _, r := range d.clause {
		if s.satisfied(r) {
			return
		}
	}
	var why []string
	for _, r := range d.clause {
		if s.drop[r.Name] {
			s.dropped[r.Name] = true
			return
		}
		candidates, reason := s.candidates(r)
		for _, p := range candidates {
			if s.drop[p.Name] {
				s.dropped[p.Name] = true
				return
			}
		}
		for _, p := range candidates {
			if reason = s.blocked(p); reason == "" {
				s.take(p)
				return
			}
		}
		why = append(why, reason)
	}
	s.unmet = append(s.unmet, fmt.Sprintf("%s needs %s, but %s", d.by.Name, d.clause, strings.Join(why, ", and ")))
}

// satisfied reports whether a chosen package satisfies r.
func (s *solver) satisfied(r Relation) bool {
	if !s.ix.archFits(r) {
		return false
	}
	if p := s.chosen[r.Name]; p != nil && r.allows(p.Version) {
		return true
	}
	for _, q := range s.provided[r.Name] {
		if r.Op == "" || q.version != "" && r.allows(q.version) {
			return true
		}
	}
	return false
}

// archFits: the qualifier names what one architecture can give.
func (ix *Index) archFits(r Relation) bool {
	return r.Arch == "" || r.Arch == "any" || r.Arch == "native" || r.Arch == ix.Arch
}

// candidates are the packages that could satisfy r, the best first; reason is why there are none.
func (s *solver) candidates(r Relation) (list []*Package, reason string) {
	if !s.ix.archFits(r) {
		return nil, fmt.Sprintf("%s is of another architecture", r)
	}
	reason = fmt.Sprintf("there is no package %s", r.Name)
	if p := s.ix.newest[r.Name]; p != nil {
		if r.allows(p.Version) {
			list = append(list, p)
		} else {
			reason = fmt.Sprintf("%s has version %s", p.Name, p.Version)
		}
	}
	for _, q := range s.ix.providers[r.Name] {
		if r.Op == "" || q.version != "" && r.allows(q.version) {
			list = append(list, q.pkg)
		}
	}
	return list, reason
}

// blocked reports why p cannot be installed next to what is chosen; "" when it can.
func (s *solver) blocked(p *Package) string {
	for _, e := range s.enemies[p.Name] {
		if e.by != p && s.ix.archFits(e.r) && e.r.allows(p.Version) {
			return fmt.Sprintf("%s conflicts with %s", e.by.Name, p.Name)
		}
	}
	for _, c := range s.parse(p, "Provides", p.Provides) {
		for _, e := range s.enemies[c[0].Name] {
			if e.by != p && (e.r.Op == "" || c[0].Version != "" && e.r.allows(c[0].Version)) {
				return fmt.Sprintf("%s conflicts with %s, which %s provides", e.by.Name, c[0].Name, p.Name)
			}
		}
	}
	for _, text := range []string{p.Conflicts, p.Breaks} {
		for _, c := range s.parse(p, "Conflicts or Breaks", text) {
			r := c[0]
			if q := s.chosen[r.Name]; q != nil && q != p && r.allows(q.Version) {
				return fmt.Sprintf("%s conflicts with %s", p.Name, q.Name)
			}
			for _, q := range s.provided[r.Name] {
				if q.pkg != p && (r.Op == "" || q.version != "" && r.allows(q.version)) {
					return fmt.Sprintf("%s conflicts with %s, which %s provides", p.Name, r.Name, q.pkg.Name)
				}
			}
		}
	}
	return ""
}

// hint names the package whose name is nearest, when one is near.
func (ix *Index) hint(name string) string {
	best, at := "", 3
	for have := range ix.newest {
		d := distance(name, have, at+1)
		if d < at || d == at && best != "" && have < best {
			best, at = have, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

// distance is the Levenshtein distance of two short names, or limit when it is not below that.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit || len(a) > 64 || len(b) > 64 {
		return limit
	}
	var row [65]int
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return min(row[len(b)], limit)
}
