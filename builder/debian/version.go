package debian

import "strings"

// CompareVersions orders two Debian versions, [epoch:]upstream[-revision], as Debian Policy 5.6.12
// and dpkg do. The result is negative, 0 or positive. Any string is accepted: a version that breaks
// the rules still has its place, so that the order is total.
func CompareVersions(a, b string) int {
	ea, ua, ra := splitVersion(a)
	eb, ub, rb := splitVersion(b)
	if c := compareNumbers(ea, eb); c != 0 {
		return c
	}
	if c := comparePart(ua, ub); c != 0 {
		return c
	}
	return comparePart(ra, rb)
}

// splitVersion takes a version apart; what is missing is "", which compares like "0".
func splitVersion(v string) (epoch, upstream, revision string) {
	if i := strings.IndexByte(v, ':'); i >= 0 && allDigits(v[:i]) {
		epoch, v = v[:i], v[i+1:]
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return epoch, v[:i], v[i+1:]
	}
	return epoch, v, ""
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !digit(s[i]) {
			return false
		}
	}
	return true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// weight is the place of a byte outside numbers: '~' before the end, the end before letters,
// letters before the rest.
func weight(s string, i int) int {
	if i >= len(s) || digit(s[i]) {
		return 0
	}
	switch c := s[i]; {
	case c == '~':
		return -1
	case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
		return int(c)
	default:
		return int(c) + 256
	}
}

// comparePart compares runs of non-digits and numbers in turn.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		i, j := 0, 0
		for (i < len(a) && !digit(a[i])) || (j < len(b) && !digit(b[j])) {
			if d := weight(a, i) - weight(b, j); d != 0 {
				return d
			}
			// The weights are equal, so both have a byte here: the end has weight 0, and no byte
			// outside numbers has.
			i++
			j++
		}
		a, b = a[i:], b[j:]
		na, nb := leadingDigits(a), leadingDigits(b)
		if d := compareNumbers(a[:na], b[:nb]); d != 0 {
			return d
		}
		a, b = a[na:], b[nb:]
	}
	return 0
}

func leadingDigits(s string) int {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return n
}

// compareNumbers compares decimal numbers of any length.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
