// Package fnmatch is fnmatch(3) without flags and by bytes, as modprobe matches the aliases of
// kernel modules: * any run, ? any byte, [a-z] a class, [!a-z] or [^a-z] its complement, \ quotes
// the next byte. A class without an end matches itself. The builder chooses modules by it, the node
// loads them by it.
package fnmatch

// Match reports whether the whole of s fits pattern. Its time is bounded by the product of the
// lengths: it goes back to the last * only, which is enough.
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

// class matches c against the class at the start of p and returns the class's length; 0 if it is
// none.
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
