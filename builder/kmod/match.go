package kmod

// match says whether an alias pattern fits a name: * and ? and [set], as fnmatch(3) without flags. It goes back to the
// last * only, which is enough, so that its time is bounded by the product of the lengths.
func match(pattern, name string) bool {
	star, again := -1, 0 // where to resume: behind the last *, and with which part of the name
	p, n := 0, 0
	for {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			star, again = p, n
			continue
		case p == len(pattern) && n == len(name):
			return true
		case p < len(pattern) && n < len(name):
			if width := one(pattern[p:], name[n]); width > 0 {
				p, n = p+width, n+1
				continue
			}
		}
		if star < 0 || again >= len(name) {
			return false
		}
		again++
		p, n = star, again
	}
}

// one matches a single character and gives the length of the pattern's part for it, 0 for no match.
func one(pattern string, c byte) int {
	switch pattern[0] {
	case '?':
		return 1
	case '[':
		if in, width := bracket(pattern, c); width > 0 {
			if in {
				return width
			}
			return 0
		}
	}
	if pattern[0] == c {
		return 1
	}
	return 0
}

// bracket reads [set], [!set] with ranges: whether c is in it, and its length; 0 if it has no end.
func bracket(pattern string, c byte) (in bool, width int) {
	i := 1
	negate := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negate {
		i++
	}
	for first := i; i < len(pattern); {
		if pattern[i] == ']' && i > first {
			return in != negate, i + 1
		}
		low, high, n := pattern[i], pattern[i], 1
		if i+2 < len(pattern) && pattern[i+1] == '-' && pattern[i+2] != ']' {
			high, n = pattern[i+2], 3
		}
		in = in || low <= c && c <= high
		i += n
	}
	return false, 0
}
