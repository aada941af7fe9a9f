package module

import (
	"sort"
	"strings"

	"imgbuild/init/contract/fnmatch"
)

// patterns finds the aliases that match a string without trying thousands of them. Almost all
// patterns are either device tree ones, of:N*T*CVENDOR,DEVICE with or without C* at the end, which
// are looked up by each compatible of the device, or start with a long fixed part, by which they
// are found; the few that are left are tried one by one.
type patterns struct {
	compatible map[string][]string // VENDOR,DEVICE -> modules
	fixed      map[string][]rule   // by the part before the first * ? or [
	lengths    []int               // that occur among the keys of fixed
}

type rule struct{ pattern, module string }

const ofPrefix = "of:N*T*C"

func (p *patterns) add(pattern, module string) {
	if rest, ok := strings.CutPrefix(pattern, ofPrefix); ok {
		if rest = strings.TrimSuffix(rest, "C*"); rest != "" && !strings.ContainsAny(rest, "*?[\\") {
			if p.compatible == nil {
				p.compatible = map[string][]string{}
			}
			p.compatible[rest] = append(p.compatible[rest], module)
			return
		}
	}
	if p.fixed == nil {
		p.fixed = map[string][]rule{}
	}
	key := pattern
	if i := strings.IndexAny(pattern, "*?[\\"); i >= 0 {
		key = pattern[:i]
	}
	p.fixed[key] = append(p.fixed[key], rule{pattern, module})
}

func (p *patterns) sort() {
	seen := map[int]bool{}
	for key := range p.fixed {
		if !seen[len(key)] {
			seen[len(key)] = true
			p.lengths = append(p.lengths, len(key))
		}
	}
	sort.Ints(p.lengths)
}

func (p *patterns) match(s string) []string {
	found := map[string]bool{}
	if rest, ok := strings.CutPrefix(s, "of:N"); ok {
		if _, rest, ok = strings.Cut(rest, "C"); ok {
			for _, c := range compatibles(rest) {
				for _, m := range p.compatible[c] {
					found[m] = true
				}
			}
		}
	}
	for _, n := range p.lengths {
		if n > len(s) {
			break
		}
		for _, r := range p.fixed[s[:n]] {
			if fnmatch.Match(r.pattern, s) {
				found[r.module] = true
			}
		}
	}
	out := make([]string, 0, len(found))
	for m := range found {
		out = append(out, m)
	}
	sort.Strings(out)
	return out
}

// compatibles returns everything that could be a compatible in Cfoo,barCbaz: the modalias joins
// them with a C, which may also be part of a name, so every piece between two C's is tried.
func compatibles(s string) []string {
	ends := []int{}
	for i := 0; i < len(s); i++ {
		if s[i] == 'C' {
			ends = append(ends, i)
		}
	}
	ends = append(ends, len(s))
	var out []string
	start := 0
	for i, end := range ends {
		for _, e := range ends[i:] {
			out = append(out, s[start:e])
		}
		start = end + 1
	}
	return out
}
