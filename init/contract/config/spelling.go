package config

import (
	"strings"
)

// fold brings every spelling of a name that k3OS accepted to one form: ssh_authorized_keys,
// sshAuthorizedKeys, SSHAuthorizedKeys and, beyond k3OS, ssh-authorized-keys and
// SSH_AUTHORIZED_KEYS.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '_' || r == '-':
			return -1
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// spellings returns the folded forms under which k is found: its name, the name without a final s
// or es (k3OS took those off for the singular), and its aliases. A name is not shortened below
// three letters.
func spellings(k *Key) []string {
	name := fold(k.name)
	out := []string{name}
	for _, end := range []string{"s", "es"} {
		if short, ok := strings.CutSuffix(name, end); ok && len(short) > 2 {
			out = append(out, short)
		}
	}
	for _, a := range k.Aliases {
		out = append(out, fold(a))
	}
	return out
}

// took reports whether k3OS read its key k under this spelling: in camel case, with underscores or
// joined, each also without the final s or es, and the camel case in any mixture of letters.
func (k *Key) took(name string) bool {
	var camel strings.Builder
	for i, part := range strings.Split(k.name, "_") {
		if i > 0 && part != "" {
			part = strings.ToUpper(part[:1]) + part[1:]
		}
		camel.WriteString(part)
	}
	if strings.EqualFold(name, camel.String()) || contains(k.Aliases, name) {
		return true
	}
	for _, form := range []string{camel.String(), k.name, strings.ReplaceAll(k.name, "_", "")} {
		if name == form || name == strings.TrimSuffix(form, "s") || name == strings.TrimSuffix(form, "es") {
			return true
		}
	}
	return false
}

// find returns the child of k that name means, or nil.
func (k *Key) find(name string) *Key { return k.spelling[fold(name)] }

// nearest returns the canonical path of the key that an unknown name under k most likely means, or
// "". It looks among k's own keys first, then for the same name elsewhere in the table.
func nearest(k *Key, name string) string {
	folded := fold(name)
	if len(folded) < 2 || len(folded) > 64 {
		return ""
	}
	best, bestCost := "", len(folded)/3+1
	for _, c := range k.children {
		for _, s := range spellings(c) {
			cost := distance(folded, s)
			if cost < bestCost || cost == bestCost && best == "" {
				best, bestCost = c.Path, cost
			}
		}
	}
	if best != "" {
		return best
	}
	for _, other := range Table() {
		if _, ok := k.spelling[fold(other.name)]; ok || strings.Count(other.Path, ".") > 2 {
			continue
		}
		for _, s := range spellings(other) {
			if s == folded {
				return other.Path
			}
		}
	}
	for _, c := range k.children {
		if n := fold(c.name); strings.HasPrefix(n, folded) || strings.HasSuffix(n, folded) {
			return c.Path
		}
	}
	return ""
}

// NearestWord returns the word of words closest to s, or "" when none is close.
func NearestWord(s string, words []string) string {
	s = strings.ToLower(s)
	best, bestCost := "", len(s)/2+1
	for _, w := range words {
		if cost := distance(s, strings.ToLower(w)); cost < bestCost {
			best, bestCost = w, cost
		}
	}
	return best
}

// distance is the number of inserted, dropped, changed or swapped bytes between a and b (optimal
// string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 { // nobody mistypes a name that long, and the table is quadratic
		return max(len(a), len(b))
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
