package debian

import "context"

// CompareScripts looks at the maintainer scripts of packages whose locks have different hashes of
// them, and fills Change.Scripts. The older package comes from the cache or the archive; where it
// is not available any more, all that the new one does is listed. The new packages have to be
// fetched already.
func (c *Client) CompareScripts(ctx context.Context, changes []Change) error {
	for i := range changes {
		ch := &changes[i]
		if !ch.ScriptsChanged() {
			continue
		}
		after, err := c.Scripts(ctx, ch.New)
		if err != nil {
			return err
		}
		var was []string
		known := ch.Old.Name == ""
		if !known {
			before, err := c.Scripts(ctx, ch.Old)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if known = err == nil; known {
				was = ScriptEffects(before.Scripts)
			}
		}
		ch.Scripts = diffLines(was, ScriptEffects(after.Scripts))
		ch.same = known && len(ch.Scripts) == 0
	}
	return nil
}

// diffLines returns the lines of a that are not in b, marked "- ", and those of b that are not in
// a, marked "+ ", in order, by a longest common subsequence.
func diffLines(a, b []string) []string {
	length := make([][]int, len(a)+1) // of the subsequence of a[i:] and b[j:]
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var out []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || length[i+1][j] >= length[i][j+1]):
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return out
}
