package module

import (
	"sort"
	"strings"
)

// patterns finds the aliases that match a string without trying thousands of them. Almost all patterns are either
// device tree ones, of:N*T*CVENDOR,DEVICE with or without C* behind, which are looked up by each compatible of the device,
// or start with a long fixed part, by which they are found; the few that are left are tried one by one.
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
			if Match(r.pattern, s) {
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

// compatibles gives everything that could be a compatible in Cfoo,barCbaz: the modalias joins them with a C, which may
// also be part of a name, so every piece between two C's is tried.
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

// Match is fnmatch(3) as modprobe uses it: * any run, ? any byte, [a-z] [!a-z] a class, \ quotes. A broken class matches
// itself. It takes linear space and at most quadratic time.
func Match(pattern, s string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(s) {
		if i < len(pattern) {
			switch pattern[i] {
			case '*':
				star, mark = i, j
				i++
				continue
			case '[':
				if ok, n := class(pattern[i:], s[j]); n > 0 {
					if ok {
						i += n
						j++
						continue
					}
					break
				}
				if s[j] == '[' {
					i++
					j++
					continue
				}
			case '\\':
				if i+1 < len(pattern) && pattern[i+1] == s[j] {
					i += 2
					j++
					continue
				}
			default:
				if pattern[i] == '?' || pattern[i] == s[j] {
					i++
					j++
					continue
				}
			}
		}
		if star < 0 {
			return false
		}
		mark++
		i, j = star+1, mark
	}
	for i < len(pattern) && pattern[i] == '*' {
		i++
	}
	return i == len(pattern)
}

// class matches c against the class at the start of p and gives the class's length; 0 if it is none.
func class(p string, c byte) (bool, int) {
	i, not, ok := 1, false, false
	if i < len(p) && (p[i] == '!' || p[i] == '^') {
		not = true
		i++
	}
	for first := true; i < len(p); first = false {
		if p[i] == ']' && !first {
			return ok != not, i + 1
		}
		lo, hi := p[i], p[i]
		if i+2 < len(p) && p[i+1] == '-' && p[i+2] != ']' {
			hi = p[i+2]
			i += 2
		}
		ok = ok || lo <= c && c <= hi
		i++
	}
	return false, 0
}
