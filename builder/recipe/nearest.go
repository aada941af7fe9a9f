package recipe

// Nearest gives the known word that a mistyped one most likely means, or "" when none is near: an edit distance of at
// most a third of its length, and at least one.
func Nearest(word string, known []string) string {
	best, bestDist := "", len(word)/3+1
	for _, k := range known {
		if d := distance(word, k); d <= bestDist && (best == "" || d < distance(word, best)) {
			best = k
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			diag = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
